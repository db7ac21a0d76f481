"""Small steps between Arrow and NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers


def floats(array: pa.Array) -> np.ndarray:
    """Returns an array as float64, NaN where it is null."""
    array = array.cast(pa.float64(), safe=False)
    return (array.fill_null(np.nan) if array.null_count else array).to_numpy(zero_copy_only=False)


def keep(array: pa.Array, where: np.ndarray) -> pa.Array:
    """Returns the array with null wherever `where` is false."""
    return pc.if_else(pa.array(where), array, pa.scalar(None, array.type))


def mask(array: pa.Array) -> np.ndarray:
    """Returns truth values as NumPy has them, false where null."""
    return array.fill_null(False).to_numpy(zero_copy_only=False)


def matches(array: pa.Array, grammar: str) -> np.ndarray:
    """Returns which strings a regular expression matches."""
    return mask(pc.match_substring_regex(array, grammar))


def per_second(unit: str) -> float:
    """Returns how many of an Arrow unit of time make a second."""
    return {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]


def seconds(array: pa.Array) -> np.ndarray:
    """Returns timestamps as seconds since 1970, NaN where missing."""
    return floats(array.view(pa.int64())) / per_second(array.type.unit)
