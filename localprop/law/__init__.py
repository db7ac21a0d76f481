"""How it moves: laws, policies, masses, integrators."""

from .base import AbstractLaw as AbstractLaw
from .base import Energies as Energies
from .base import Phase as Phase
from .hamiltonian import Hamiltonian as Hamiltonian
from .integrator import AbstractIntegrator as AbstractIntegrator
from .integrator import ExplicitEuler as ExplicitEuler
from .integrator import ExponentialEuler as ExponentialEuler
from .mass import AbstractMass as AbstractMass
from .mass import Adaptive as Adaptive
from .mass import Constant as Constant
from .policy import AbstractPolicy as AbstractPolicy
from .policy import Cauchy as Cauchy
from .policy import CostateReversal as CostateReversal
