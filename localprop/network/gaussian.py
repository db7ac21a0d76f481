"""Random initial weights."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from ..kept_programs import kept_program
from .uncompiled import placed, zeros

# Of the biases of hidden neurons, where a network is made in layers: inputs of order 1 then bend
# each in a place of its own, within their own range (benchmarks/defaults.md).
BIAS_SCALE = 0.8
SHARED = 1 << 20  # draws up to here share a few compiled programs; a larger one has its own


def gaussian(key: PRNGKeyArray, shape: tuple[int, ...], scale: float | np.ndarray) -> Array:
    """Returns independent Gaussian numbers of mean 0 in the default precision.

    A program that draws takes a fifth of a second to compile, for every shape anew. Hence draws
    come in powers of two, which leaves the numbers as they are, and are cut by NumPy.

    **Arguments:** `key`; `shape`; `scale`: the standard deviation, one or of that shape.
    """
    if np.ndim(scale) == 0 and scale == 0:
        return jnp.zeros(shape) if isinstance(key, Tracer) else zeros(shape)
    size = math.prod(shape)
    count = 1 << max(12, (size - 1).bit_length()) if size <= SHARED else size
    if isinstance(key, Tracer):
        return jax.random.normal(key, (count,))[:size].reshape(shape) * scale
    drawn = np.asarray(jax.random.normal(key, (count,)))
    return placed(drawn[:size].reshape(shape) * scale)


def split(key: PRNGKeyArray, count: int) -> list[PRNGKeyArray]:
    """Returns as many keys as `jax.random.split` makes of one, which takes long to compile."""
    if isinstance(key, Tracer) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return list(jax.random.split(key, count))
    kind, bits = jax.random.key_impl(key), jax.random.key_data(key)
    keys = np.asarray(_splitter(count, kind, bits.shape)(bits))
    return [jax.random.wrap_key_data(placed(k), impl=kind) for k in keys]


@cache
def _splitter(count: int, kind: Any, shape: tuple[int, ...]) -> Any:
    def halves(bits: Array) -> Array:
        keys = jax.random.split(jax.random.wrap_key_data(bits, impl=kind), count)
        return jax.random.key_data(keys)

    return kept_program(halves, f"split {count} {kind}", (np.zeros(shape, np.uint32),), 0)
