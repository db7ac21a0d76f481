"""Loops over single rows, compiled by Numba and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..kept_loops import kept_loop


@cache
def compiled(loop: Callable[..., Any]) -> Any:
    """Returns the function compiled, which is kept on disk where that can be written."""
    return kept_loop(loop, nogil=True, _nrt=False, no_cfunc_wrapper=True)
