"""Processes forked from one in which JAX was running.

JAX computes in threads of its own. `os.fork` copies none of them, and a computation in the child
waits for them for ever. A child that was forked before JAX had begun to compute is sound.

Pickle makes arrays of JAX by a computation, too. A `Phase` is therefore pickled as plain numbers,
and one that arrives in such a child holds NumPy arrays: it can be read, not learned with. What
else holds large arrays, a `Layered` of ready modules say, is built in the child or goes to a
spawned one.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.xla_bridge import backends_are_initialized  # there is no public way to ask
from jax.core import Tracer

from .errors import ForkError

_lame = False


def refuse_lame_fork() -> None:
    """Raises `ForkError` where a computation would never end."""
    if _lame:
        raise ForkError(
            f"process {os.getpid()} was forked after JAX had begun to compute, and JAX's threads "
            "do not survive a fork: start processes by multiprocessing.get_context('spawn'), or "
            "fork before anything is built or learned"
        )


def as_numbers(leaf: Any) -> Any:
    """Returns a leaf as pickle should find it: JAX's arrays as NumPy's."""
    known = isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer)
    return np.asarray(leaf) if known else leaf


def from_numbers(leaf: Any) -> Any:
    """Returns a leaf as an array of JAX, or as it is in a process where that might not end."""
    return leaf if _lame or not isinstance(leaf, np.ndarray) else jnp.asarray(leaf)


def _note() -> None:
    global _lame
    _lame = backends_are_initialized()


if sys.platform != "win32":  # which cannot fork
    os.register_at_fork(after_in_child=_note)
