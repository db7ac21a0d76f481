"""Functions compiled by Numba, which are kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kept_loops import kept_loop

# Sums may be added up in any order, as vector instructions do. Nothing may take NaN or infinity
# for impossible: a target that is not there is NaN, and what diverges has to be seen.
FAST = {"reassoc", "contract", "nsz"}


def jit(*, fast: bool = False, inner: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Returns what compiles a function, without Python's lock.

    **Arguments:** `fast`: whether sums may be added up in any order; `inner`: whether it is called
    by other such functions alone, and then needs no way in from Python.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if inner:
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    options["fastmath"] = FAST if fast else False
    return lambda function: kept_loop(function, **options)
