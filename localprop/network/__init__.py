"""What is computed: digraphs of neurons or of blocks, and their drive."""

from .. import by_name as by_name
from .activation import ACTIVATIONS as ACTIVATIONS
from .activation import Activation as Activation
from .base import AbstractNetwork as AbstractNetwork
from .block import Block as Block
from .block import add as add
from .block import concatenate as concatenate
from .digraph import Digraph as Digraph
from .feedback import FeedbackWeights as FeedbackWeights
from .grow import grow as grow
from .layered import Layered as Layered
from .modes import ModeBank as ModeBank
from .modes import Modes as Modes
from .modes import read_modes as read_modes
from .shared import SharedWeights as SharedWeights
from .shared import of_one_stream as of_one_stream
