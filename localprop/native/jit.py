"""How the fused loops are compiled: by Numba, for this processor, and kept on disk.

This module is imported only when a first loop is asked for, for Numba takes its time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions

from ..kept_loops import kept_loop

# Sums may be taken in another order, so that they are vectors, and products be fused into sums.
# Never that no number is NaN or infinite: there is no target where it is NaN, and what diverges is
# to be seen.
FAST = {"reassoc", "contract", "nsz"}


def kernel(loop: Callable[..., Any], **more: Any) -> Any:
    """Returns a loop compiled when it is first called, for its arguments, without Python's lock."""
    options: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}
    return kept_loop(loop, **options, _nrt=False, no_cfunc_wrapper=True, **more)


def called(loop: Callable[..., Any], **more: Any) -> Any:
    """Returns a loop that other loops call, and Python never: ways in from there take time."""
    return kernel(loop, no_cpython_wrapper=True, **more)


# What Numba's compiler can be told and its decorator has no word for: that no two arrays overlap.
# Without it the compiler asks at every row, and gives up where there are more than four.
CPUTargetOptions.noalias = TargetOptions.Mapping("noalias")  # pyright: ignore


def inner(loop: Callable[..., Any]) -> Any:
    """Returns a loop that becomes a part of whatever calls it: passing arrays on takes time."""
    return called(loop, forceinline=True)


def apart(loop: Callable[..., Any]) -> Any:
    """Returns an inner loop over arrays of which no two overlap, unless nothing is written."""
    return called(loop, forceinline=True, noalias=True)
