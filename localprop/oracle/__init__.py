"""What localprop is checked against: references that share no code with the hop."""

from . import backprop as backprop
from . import boundary_value as boundary_value
from . import bptt as bptt
from . import constrained as constrained
from . import heavy_ball as heavy_ball
from . import linear_quadratic as linear_quadratic
from . import riccati as riccati
from . import rtrl as rtrl
from .boundary_value import Solution as Solution
from .boundary_value import solve as solve
from .constrained import Constrained as Constrained
from .transcription import Problem as Problem
