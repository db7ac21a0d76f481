"""The papers' claims, measured: one command, one table, their figures."""

from .claim import Claim as Claim
from .claim import Part as Part
from .reproduction import Reproduction as Reproduction
from .run import plan as plan
from .run import reproduce as reproduce
