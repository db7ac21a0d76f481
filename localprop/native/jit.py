"""How the fused loops are compiled: by Numba, for this processor, and kept on disk.

Numba is imported here, and this module only when a first loop is asked for: it takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numba
from numba.core.cpu import CPUTargetOptions
from numba.core.options import TargetOptions

# Sums may be taken in another order, so that they are vectors, and products be fused into sums.
# Never that no number is NaN or infinite: there is no target where it is NaN, and what diverges is
# to be seen.
MATHS = {"reassoc", "contract", "nsz"}

# A compiled loop is found again by its name and its own file. Others of this folder are compiled
# into it, so that all of them are in its name.
SOURCES = crc32(b"".join(f.read_bytes() for f in sorted(Path(__file__).parent.glob("*.py"))))


def kernel(loop: Callable[..., Any], **more: Any) -> Any:
    """Returns a loop compiled when it is first called, for the types of its arguments."""
    loop.__qualname__ = f"{loop.__qualname__}-{SOURCES:08x}"
    settings: dict[str, Any] = {
        "nogil": True,
        "fastmath": MATHS,
        "error_model": "numpy",
        "_nrt": False,
        **more,
    }
    try:
        return numba.njit(loop, cache=True, **settings)
    except RuntimeError:  # no folder that could keep it
        return numba.njit(loop, **settings)


# What Numba's compiler can be told and its decorator has no word for: that no two arrays overlap.
# Without it the compiler asks at every row, and gives up where there are more than four.
CPUTargetOptions.noalias = TargetOptions.Mapping("noalias")  # pyright: ignore


def inner(loop: Callable[..., Any]) -> Any:
    """Returns a loop that becomes a part of whatever calls it: passing arrays on takes time."""
    return kernel(loop, forceinline=True)


def apart(loop: Callable[..., Any]) -> Any:
    """Returns an inner loop over arrays of which no two overlap, unless nothing is written."""
    return kernel(loop, forceinline=True, noalias=True)
