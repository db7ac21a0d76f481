"""The law as fused loops for the processor, compiled by Numba when first asked for."""

from .known import AnyEngine as AnyEngine
from .known import engine_of as engine_of
