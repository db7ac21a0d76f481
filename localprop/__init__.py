"""localprop: learning while the stream happens, local in space and time."""

from . import by_name as by_name
from . import checkpoint as checkpoint
from .audit import Audit as Audit
from .audit import SampleAudit as SampleAudit
from .audit import audit as audit
from .audit import audit_sample as audit_sample
from .cost import Cost as Cost
from .cost import SoftmaxCrossEntropy as SoftmaxCrossEntropy
from .cost import SquaredError as SquaredError
from .errors import CheckpointError as CheckpointError
from .errors import ConfigError as ConfigError
from .errors import DivergenceError as DivergenceError
from .errors import ForkError as ForkError
from .errors import GraphError as GraphError
from .errors import LocalpropError as LocalpropError
from .errors import StreamError as StreamError
from .errors import UnsettledWarning as UnsettledWarning
from .law import AbstractLaw as AbstractLaw
from .law import Adaptive as Adaptive
from .law import Cauchy as Cauchy
from .law import Constant as Constant
from .law import CostateReversal as CostateReversal
from .law import ExplicitEuler as ExplicitEuler
from .law import ExponentialEuler as ExponentialEuler
from .law import FastCostates as FastCostates
from .law import Hamiltonian as Hamiltonian
from .law import HamiltonianTrack as HamiltonianTrack
from .law import Inertial as Inertial
from .law import LeastAction as LeastAction
from .law import Overdamped as Overdamped
from .law import Phase as Phase
from .law import Review as Review
from .law import SemiImplicitEuler as SemiImplicitEuler
from .law import SignFlip as SignFlip
from .law import Splitting as Splitting
from .learner import Learner as Learner
from .learner import Samples as Samples
from .network import AbstractNetwork as AbstractNetwork
from .network import Block as Block
from .network import Digraph as Digraph
from .network import FeedbackWeights as FeedbackWeights
from .network import Layered as Layered
from .network import SharedWeights as SharedWeights
from .online import Online as Online

__version__ = "0.1.0"
