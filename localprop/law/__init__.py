"""How it moves: laws, policies, masses, integrators."""

from .base import AbstractLaw as AbstractLaw
from .base import Energies as Energies
from .base import Phase as Phase
from .hamiltonian import Hamiltonian as Hamiltonian
from .integrator import AbstractIntegrator as AbstractIntegrator
from .integrator import ExplicitEuler as ExplicitEuler
from .integrator import ExponentialEuler as ExponentialEuler
from .least_action import ActionEnergies as ActionEnergies
from .least_action import LeastAction as LeastAction
from .mass import AbstractMass as AbstractMass
from .mass import Adaptive as Adaptive
from .mass import Constant as Constant
from .motion import AbstractMotion as AbstractMotion
from .motion import AbstractNeurons as AbstractNeurons
from .motion import Inertial as Inertial
from .motion import Overdamped as Overdamped
from .motion import SemiImplicitEuler as SemiImplicitEuler
from .motion import Splitting as Splitting
from .policy import AbstractPolicy as AbstractPolicy
from .policy import Cauchy as Cauchy
from .policy import CostateReversal as CostateReversal
from .policy import FastCostates as FastCostates
from .policy import HamiltonianTrack as HamiltonianTrack
from .policy import SignFlip as SignFlip
from .review import Review as Review
from .untuned import untuned_law as untuned_law
