"""Where threads of one loop wait for each other, and what they learn of one another."""

from __future__ import annotations

import sys

from numba import types
from numba.extending import intrinsic

from .jit import kernel

TURNS = 2000  # of waiting awake, some microseconds; then others may have the core
YIELD = types.ExternalFunction("sched_yield", types.int32())
CAN_WAIT = sys.platform != "win32"  # which has no such call


@intrinsic
def _add(context, array, amount):
    """Adds to the first number of an array at once for all threads, and returns what it was."""
    del context

    def emit(context, builder, signature, arguments):
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, arguments[1], "seq_cst")

    return types.int64(array, types.int64), emit


@intrinsic
def _look(context, array):
    """Returns the first number of an array as it is now."""
    del context

    def emit(context, builder, signature, arguments):
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        return builder.load_atomic(data, "seq_cst", 8)

    return types.int64(array), emit


@kernel
def wait(arrived, threads, turn):
    """Returns the number of the next turn, once all threads have come to the end of this one.

    **Arguments:** `arrived`: how often a thread came to such an end, `(1,)`; `turn`: from 1.
    """
    if threads == 1:
        return turn
    _add(arrived, 1)  # pyright: ignore
    spins = 0
    while _look(arrived) < turn * threads:
        spins += 1
        if spins > TURNS:
            YIELD()
    return turn + 1
