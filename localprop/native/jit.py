"""Functions compiled by Numba, which are kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kept_loops import kept_loop

# Sums may be added up in any order, as vector instructions do. Nothing may take NaN or infinity
# for impossible: a target that is not there is NaN, and what diverges has to be seen.
FAST = {"reassoc", "contract", "nsz"}


def jit(*, fast: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Returns what compiles a function, without Python's lock."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    options["fastmath"] = FAST if fast else False
    return lambda function: kept_loop(function, **options)
