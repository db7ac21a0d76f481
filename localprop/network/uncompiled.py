"""Arrays to begin with, made by NumPy: JAX would compile a program for every shape of them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


def placed(numbers: np.ndarray) -> Array:
    """Returns numbers as an array of JAX, in JAX's precision; nobody may change them any more.

    `jnp.asarray` does the same by a compiled program for every shape.
    """
    return jax.device_put(numbers)


def zeros(shape: tuple[int, ...], dtype: Any = float) -> Array:
    """Returns zeros."""
    return placed(np.zeros(shape, jnp.result_type(dtype)))


def zeros_like(a: Array) -> Array:
    """Returns zeros of the shape and precision of an array, traced or not."""
    return jnp.zeros_like(a) if isinstance(a, Tracer) else zeros(a.shape, a.dtype)
