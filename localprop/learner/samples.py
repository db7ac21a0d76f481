"""Pieces of a stream, as arrays: the one place where what a user hands over is read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..errors import ConfigError, StreamError
from ..options import shown

Trace = dict[str, np.ndarray]  # what was recorded of a stream, by name


class Samples(NamedTuple):
    """A piece of a stream.

    **Fields:** `u`: inputs `(T, d)`; `z`: targets `(T, m)`, NaN where there is none; `duration`:
    `(T,)`, or `None` for the learner's own; `query`: inputs `(T, d)` to be answered after each
    sample was learned, or `None`; `weight`: of each sample's loss, `(T,)`, 0 for none, or `None`;
    `begins`: where a new sequence begins, `(T,)` of truth values, so that states, costates and
    traces are at rest before that sample, or `None`. With several streams, all but durations have
    the stream as their second axis. Arrays of any library and nested lists are read alike; a masked
    target is one that is not there.

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
    weight: Any = None
    begins: Any = None


def count(samples: Samples) -> int:
    """Returns the number of samples."""
    return len(jax.tree.leaves(samples.u)[0])


def pad(a: Any, capacity: int) -> Any:
    """Returns the array with zero rows at its end, up to `capacity` rows."""
    missing, to = capacity - len(a), jnp if isinstance(a, jax.Array) else np
    return a if missing == 0 else to.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1))


def pieces(stream: Any, most: int) -> Iterator[Samples]:
    """Cuts a stream, whole or in pieces, into pieces of at most `most` samples.

    **Raises:** `StreamError` for what is no stream, and for numbers that cannot be learned.
    """
    if not isinstance(stream, Iterable):
        raise StreamError(_no_piece(stream))
    done = 0
    for piece in [stream] if isinstance(stream, tuple) else stream:
        samples = check_shapes(read(piece))
        for start in range(0, count(samples), most):
            part = jax.tree.map(lambda a, s=start: a[s : s + most], samples)
            yield check_values(part, done)
            done += count(part)


def read(piece: Any) -> Samples:
    """Returns a piece as arrays in the precision in which JAX computes.

    **Arguments:** `piece`: two to six arrays or nested lists, in the order of `Samples`; inputs
    may be a mapping from names to arrays.

    **Raises:** `StreamError` for anything else.
    """
    if not isinstance(piece, tuple | list) or not 2 <= len(piece) <= len(Samples._fields):
        raise StreamError(_no_piece(piece))
    given = zip(Samples._fields, piece, strict=False)
    values = {name: value for name, value in given if value is not None}
    if "u" not in values or "z" not in values:
        raise StreamError("inputs or targets are None; where there is no target, give NaN")
    return Samples(**{name: read_tree(value, name) for name, value in values.items()})


def read_tree(value: Any, name: str) -> Any:
    """Returns an array, or a mapping of arrays, in the precision in which JAX computes."""
    if isinstance(value, Mapping):
        return {key: read_tree(part, f"{name}[{key!r}]") for key, part in value.items()}
    return _read_array(value, name)


def check_shapes(samples: Samples) -> Samples:
    """Returns the piece, whose arrays have one row per sample.

    **Raises:** `StreamError` for arrays of different lengths; `ConfigError` under `jit` or `vmap`.
    """
    length = None
    for name, value in zip(Samples._fields, samples, strict=True):
        leaves = jax.tree.leaves(value)
        if name == "u" and not leaves:
            raise StreamError("u holds no array; give one row per sample")
        for leaf in leaves:
            if isinstance(leaf, Tracer):
                raise ConfigError(TRACED)
            if leaf.ndim == 0 or (name == "duration" and leaf.ndim > 1):
                raise StreamError(f"{name} has shape {leaf.shape}; {SHAPES[name]}")
            length = len(leaf) if length is None else length
            if len(leaf) != length:
                raise StreamError(f"{len(leaf)} rows of {name} for {length} samples")
    return samples


def check_values(samples: Samples, done: int) -> Samples:
    """Returns the piece, of which the first is sample `done` of the stream.

    **Raises:** `StreamError` for numbers that cannot be learned.
    """
    for name, value in zip(Samples._fields, samples, strict=True):
        for leaf in jax.tree.leaves(value):
            _check_leaf(name, leaf, done)
    return samples


def read_inputs(u: Any) -> tuple[Any, int]:
    """Returns inputs to be answered, traced or not, and how many rows they have.

    **Raises:** `StreamError` for arrays of different lengths, or numbers that are not finite.
    """
    u = read_tree(u, "u")
    leaves = jax.tree.leaves(u)
    lengths = {len(leaf) if leaf.ndim else None for leaf in leaves}
    if len(lengths) != 1 or None in lengths:
        shapes = ", ".join(str(leaf.shape) for leaf in leaves) or "none"
        raise StreamError(f"u has arrays of shape {shapes}; {SHAPES['u']}")
    for leaf in leaves:
        if not isinstance(leaf, Tracer):
            _check_leaf("u", leaf, 0)
    return u, len(leaves[0])


TRACED = (
    "learning a stream compiles itself and cannot be traced by jit, vmap or grad: call it outside "
    "of them, or trace Learner.step"
)
SHAPES = {
    "u": "give one row per sample",
    "z": "give one row per sample, with a column per output",
    "duration": "give one number per sample",
    "query": "give one row per sample",
    "weight": "give one number per sample, and stream",
    "begins": "give one truth value per sample, and stream",
}


def _check_leaf(name: str, leaf: np.ndarray, done: int) -> None:
    need, wrong = "finite", ~np.isfinite(leaf)
    if name == "z":
        need, wrong = "finite, or NaN where there is none", np.isinf(leaf)
    elif name == "duration":
        need, wrong = "above 0 and finite", ~((leaf > 0) & (leaf < np.inf))
    elif name == "weight":
        need, wrong = "0 or more, and finite", ~((leaf >= 0) & (leaf < np.inf))
    if wrong.any():
        first = int(np.argwhere(wrong)[0][0])
        raise StreamError(f"{name} of sample {done + first} must be {need}")


def _read_array(value: Any, name: str) -> Any:
    dtype = np.result_type(jnp.result_type(float))
    if isinstance(value, Tracer):
        if jnp.iscomplexobj(value):
            raise StreamError(_complex(name))
        return jnp.asarray(value, dtype)
    if isinstance(value, list | tuple) and any(isinstance(a, np.ma.MaskedArray) for a in value):
        value = np.ma.array(value)
    try:
        found = np.asanyarray(value) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        if found.dtype.kind == "c":
            raise StreamError(_complex(name))
        if found.dtype.kind in "mMSU":
            raise TypeError(f"values of type {found.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and said to be
            found = found.astype(dtype, copy=False)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if "inhomogeneous" in str(error) or "broadcast" in str(error):
            problem = "is ragged: its rows have different lengths; give as many numbers in each"
        else:
            problem = f"cannot be read as numbers ({' '.join(str(error).split())})"
        raise StreamError(f"{name} {problem}") from None
    if not isinstance(found, np.ma.MaskedArray):
        return found
    if name != "z" and np.ma.getmaskarray(found).any():
        raise StreamError(f"{name} has masked values; only targets may be missing, fill the others")
    return found.filled(np.nan)


def _complex(name: str) -> str:
    return (
        f"{name} holds complex numbers, and learning takes real ones; give real and imaginary "
        "parts as columns of their own"
    )


def _no_piece(thing: Any) -> str:
    given = f"{len(thing)} parts" if isinstance(thing, tuple | list) else shown(type(thing))
    return (
        "a stream is (u, z), (u, z, duration), (u, z, duration, query) or Samples, or an iterable "
        f"of such pieces; not {given}"
    )
