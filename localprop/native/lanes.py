"""Small matrix products, of which eight columns at once lie in the lanes of a vector.

Numba offers no vectors, and the loops that its compiler makes of so short rows spend their time on
adding up lanes. Here every sum stays in its lane.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from .codes import LANES
from .jit import jit

TOGETHER = 8  # rows, as many sums as hide the time that a multiplication takes


def _rows(many: int) -> Any:
    """Returns an intrinsic that does for `many` rows what `products` does."""

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
        x_step: Any,
        out: Any,
        out0: Any,
        out_step: Any,
    ) -> Any:
        del typing, at, across, inner, along, x0, x_step, out0, out_step
        size = types.intp
        signature = types.void(w, size, size, size, size, x, size, size, out, size, size)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            w, at, across, inner, along, x, x0, x_step, out, out0, out_step = args
            kinds = (signature.args[0], w), (signature.args[5], x), (signature.args[8], out)
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
            with cgutils.for_range(builder, inner) as loop:
                s = lanes(x, builder.add(x0, builder.mul(loop.index, x_step)))
                s = builder.load(s, align=align)
                place = builder.add(at, builder.mul(loop.index, along))
                for total in sums:
                    one = builder.load(builder.gep(w, [place]), align=align)
                    every = builder.insert_element(nothing, one, first)
                    every = builder.shuffle_vector(every, nothing, places)
                    product = builder.fmul(every, s, flags=flags)
                    builder.store(builder.fadd(builder.load(total), product, flags=flags), total)
                    place = builder.add(place, across)
            for total in sums:
                builder.store(builder.load(total), lanes(out, out0), align=align)
                out0 = builder.add(out0, out_step)
            return context.get_dummy_value()

        return signature, generate

    return rows


_several, _one = _rows(TOGETHER), _rows(1)


@jit(inner=True)
def plain(number: Any) -> Any:
    """Returns a number whose type does not say which one it is.

    What is called with a literal is compiled for that very number, and again for another.
    """
    return number + 0


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
    x_step: int,
    out: Any,
    out0: int,
    out_step: int,
) -> None:
    """Writes $y_{rs} = \\sum_k w_{rk} x_{ks}$ for eight columns $s$.

    **Arguments:** of flat arrays. `w`: element $(r, k)$ at `at + r * across + k * along`; `rows`,
    `inner`: how many $r$ and $k$; `x`: element $(k, s)$ at `x0 + k * x_step + s`; `out`: element
    $(r, s)$ at `out0 + r * out_step + s`.
    """
    r = 0
    while r + TOGETHER <= rows:
        place, to = at + r * across, out0 + r * out_step
        _several(w, place, across, inner, along, x, x0, x_step, out, to, out_step)
        r += TOGETHER
    while r < rows:
        place, to = at + r * across, out0 + r * out_step
        _one(w, place, across, inner, along, x, x0, x_step, out, to, out_step)
        r += 1
