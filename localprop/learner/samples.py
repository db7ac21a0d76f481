"""Pieces of a stream, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import StreamError

Trace = dict[str, np.ndarray]  # what was recorded of a stream, by name


class Samples(NamedTuple):
    """A piece of a stream.

    **Fields:** `u`: inputs `(T, d)`; `z`: targets `(T, m)`, NaN where there is none; `duration`:
    `(T,)`, or `None` for the learner's own; `query`: inputs `(T, d)` to be answered after each
    sample was learned, or `None`. With several streams, `u`, `z` and `query` have the stream as
    their second axis.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import Samples
        >>> piece = Samples(u=np.zeros((3, 2)), z=np.array([[1.0], [np.nan], [0.0]]))
        >>> piece.u.shape, piece.duration
        ((3, 2), None)

        ```
    """

    u: Any
    z: Any
    duration: Any = None
    query: Any = None


def count(samples: Samples) -> int:
    """Returns the number of samples."""
    return len(jax.tree.leaves(samples.u)[0])


def pad(a: np.ndarray, capacity: int) -> np.ndarray:
    """Returns the array with zero rows at its end, up to `capacity` rows."""
    missing = capacity - len(a)
    return a if missing == 0 else np.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1))


def as_array(a: Any) -> np.ndarray:
    """Returns the numbers in the precision in which JAX computes."""
    return np.asarray(a, dtype=np.result_type(jnp.result_type(float)))


def pieces(stream: Any, most: int) -> Iterator[Samples]:
    """Cuts a stream, whole or in pieces, into pieces of at most `most` samples."""
    whole = isinstance(stream, tuple)
    for piece in [stream] if whole else stream:
        samples = jax.tree.map(as_array, Samples(*piece))
        for start in range(0, count(samples), most):
            yield jax.tree.map(lambda a, s=start: a[s : s + most], samples)


def check(samples: Samples, done: int) -> int:
    """Returns the number of samples, of which the first is sample `done` of the stream.

    **Raises:** `StreamError` for arrays of different lengths, or numbers that cannot be learned.
    """
    length = count(samples)
    for name, value in zip(Samples._fields, samples, strict=True):
        for leaf in jax.tree.leaves(value):
            if len(leaf) != length:
                raise StreamError(f"{len(leaf)} rows of {name} for {length} samples")
            need, wrong = "finite", ~np.isfinite(leaf)
            if name == "z":
                need, wrong = "finite, or NaN where there is none", np.isinf(leaf)
            elif name == "duration":
                need, wrong = "above 0 and finite", ~((leaf > 0) & (leaf < np.inf))
            if wrong.any():
                first = int(np.argwhere(wrong)[0][0])
                raise StreamError(f"{name} of sample {done + first} must be {need}")
    return length
