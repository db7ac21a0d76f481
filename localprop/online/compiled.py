"""Loops over single rows, compiled by Numba and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(loop: Callable[..., Any]) -> Any:
    """Returns the function compiled, which is kept on disk where that can be written."""
    import numba

    try:
        return numba.njit(loop, cache=True, nogil=True)
    except RuntimeError:  # no folder that could keep it
        return numba.njit(loop, nogil=True)
