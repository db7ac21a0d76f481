"""The law as fused loops for the processor, compiled by Numba when first asked for."""

from .engine import RECORDS as RECORDS
from .engine import Engine as Engine
from .known import engine_of as engine_of
