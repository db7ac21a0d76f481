"""Numbers too small to be normal, which a processor may take a hundred times as long for.

Momenta and memories of weights that nothing moves any more decay into them, and stay.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

# Results and operands that are subnormal are 0 (flush to zero, denormals are zero), in the register
# of control and status that each thread has. Programs of XLA's run so, too.
AS_ZERO = 0x8040
KNOWN = platform.machine().lower() in ("x86_64", "amd64")  # others lose little by them


def _call(builder: Any, name: str, place: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}")
    builder.call(function, [builder.bitcast(place, byte)])


def _without_subnormals(typing: Any) -> Any:
    """Takes subnormal numbers for 0 from now on in this thread; returns what `back_to` needs."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del context, signature, args
        number = ir.IntType(32)
        if not KNOWN:
            return number(0)
        place = cgutils.alloca_once(builder, number)
        _call(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, number(AS_ZERO)), place)
        _call(builder, "ldmxcsr", place)
        return before

    return types.int32(), generate


def _back_to(typing: Any, before: Any) -> Any:
    """Takes subnormal numbers as this thread did before."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        if KNOWN:
            place = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(args[0], place)
            _call(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(before), generate


without_subnormals: Any = intrinsic(_without_subnormals)
back_to: Any = intrinsic(_back_to)
