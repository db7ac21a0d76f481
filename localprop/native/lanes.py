"""Small matrix products for eight streams at once, each in a lane of a vector instruction.

Numba offers no vectors, and the loops that its compiler makes of so short rows spend their time on
adding up lanes. Here the sum of each stream stays in its lane.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .jit import jit

LANES = 8
TOGETHER = 8  # rows, as many sums as hide the time that a multiplication takes


def _rows(many: int) -> Any:
    """Returns an intrinsic that adds up `many` rows of a matrix times eight streams."""

    @intrinsic
    def rows(
        typing: Any,
        w: Any,
        at: Any,
        across: Any,
        inner: Any,
        along: Any,
        x: Any,
        x0: Any,
        out: Any,
        out0: Any,
    ) -> Any:
        del typing, at, across, inner, along, x0, out0
        size = types.intp
        signature = types.void(w, size, size, size, size, x, size, out, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, at, across, inner, along, x, x0, out, out0 = args
            kinds = (signature.args[0], w), (signature.args[5], x), (signature.args[7], out)
            w, x, out = (make_array(kind)(context, builder, a).data for kind, a in kinds)
            number = context.get_data_type(signature.args[0].dtype)
            vector, flags = ir.VectorType(number, LANES), ("contract",)
            align = context.get_abi_sizeof(number)
            places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)

            def lanes(base: Any, offset: Any) -> Any:
                return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

            zero = ir.Constant(vector, [0.0] * LANES)
            sums = [cgutils.alloca_once_value(builder, zero) for _ in range(many)]
            eight = context.get_constant(types.intp, LANES)
            with cgutils.for_range(builder, inner) as loop:
                s = lanes(x, builder.add(x0, builder.mul(loop.index, eight)))
                s = builder.load(s, align=align)
                place = builder.add(at, builder.mul(loop.index, along))
                for total in sums:
                    one = builder.load(builder.gep(w, [place]), align=align)
                    every = builder.insert_element(nothing, one, first)
                    every = builder.shuffle_vector(every, nothing, places)
                    product = builder.fmul(every, s, flags=flags)
                    builder.store(builder.fadd(builder.load(total), product, flags=flags), total)
                    place = builder.add(place, across)
            for r, total in enumerate(sums):
                offset = builder.add(out0, context.get_constant(types.intp, r * LANES))
                builder.store(builder.load(total), lanes(out, offset), align=align)
            return context.get_dummy_value()

        return signature, generate

    return rows


_several, _one = _rows(TOGETHER), _rows(1)


@jit(fast=True)
def products(
    w: Any,
    at: int,
    rows: int,
    across: int,
    inner: int,
    along: int,
    x: Any,
    x0: int,
    out: Any,
    out0: int,
) -> None:
    """Writes $y_{rs} = \\sum_k w_{rk} x_{ks}$ for eight streams $s$.

    **Arguments:** of flat arrays. `w`: element $(r, k)$ at `at + r * across + k * along`; `rows`,
    `inner`: how many $r$ and $k$; `x`: element $(k, s)$ at `x0 + 8 k + s`; `out`: element $(r, s)$
    at `out0 + 8 r + s`.
    """
    r = 0
    while r + TOGETHER <= rows:
        _several(w, at + r * across, across, inner, along, x, x0, out, out0 + r * LANES)
        r += TOGETHER
    while r < rows:
        _one(w, at + r * across, across, inner, along, x, x0, out, out0 + r * LANES)
        r += 1
