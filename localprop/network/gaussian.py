"""Random initial weights."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

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
        return jnp.zeros(shape)
    size = math.prod(shape)
    drawn = jax.random.normal(
        key, (1 << max(12, (size - 1).bit_length()) if size <= SHARED else size,)
    )
    xp = jnp if isinstance(key, Tracer) else np
    return jnp.asarray(xp.asarray(drawn)[:size].reshape(shape) * scale)
