"""Some columns of eight rows of weights, moved for a hop in the lanes of vectors."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .codes import ADAPTIVE, CONSTANT, GROWING, LANES
from .jit import inner
from .lanes import WIDE, Numbers


def _move(mass: int) -> Any:
    """Returns an intrinsic that moves eight rows, as `dense.move` does one, at a kind of mass."""

    @intrinsic
    def move_rows(
        typing: Any,
        w: Any,
        p: Any,
        v: Any,
        at: Any,
        step: Any,
        f: Any,
        decay: Any,
        keep: Any,
        push: Any,
        by_new: Any,
        by_old: Any,
        v_keep: Any,
        v_gain: Any,
        floor: Any,
    ) -> Any:
        del typing, at, step, decay, keep, push, by_new, by_old, v_keep, v_gain, floor
        numbers = (w.dtype,) * 8
        signature = types.void(w, p, v, types.intp, types.intp, f, *numbers)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays, kinds = (*args[:3], args[5]), (*signature.args[:3], signature.args[5])
            of = Numbers(context, builder, kinds, WIDE)
            w, p, v, f = (of.data(*pair) for pair in zip(kinds, arrays, strict=True))
            decay, keep, push, by_new, by_old, v_keep, v_gain, floor = (
                of.everywhere(number) for number in args[6:]
            )
            own = ir.Constant(args[3].type, 0)
            for place in of.rows(args[3], args[4], LANES):
                here, old = of.load(w, place), of.load(p, place)
                force = of.fused(of.load(f, own), decay, here)
                new = of.fused(of.product(keep, old), push, force)
                way = of.fused(of.product(by_new, new), by_old, old)
                if mass != CONSTANT:
                    memory = of.product(v_keep, of.load(v, place))
                    memory = of.fused(memory, of.product(v_gain, force), force)
                    of.store(memory, v, place)
                    heavy = of.fused(of.everywhere(1.0), memory, floor)
                    if mass == ADAPTIVE:
                        heavy = builder.fadd(of.root(memory), floor)
                    way = builder.fdiv(way, heavy)
                of.store(new, p, place)
                of.store(builder.fadd(here, way), w, place)
                own = builder.add(own, ir.Constant(own.type, WIDE))
            return context.get_dummy_value()

        return signature, generate

    return move_rows


_constant, _adaptive, _growing = _move(CONSTANT), _move(ADAPTIVE), _move(GROWING)


@inner
def move_eight(
    w, p, v, at, stride, f, decay, mass, implicit, keep, push, step, v_keep, v_gain, floor
):  # fmt: skip
    """Moves `WIDE` columns of eight rows under a force.

    **Arguments:** of arrays in one piece. `w`, `p`, `v`: element $(r, k)$ at `at + r * stride + k`;
    `f`: $(r, k)$ at `r * WIDE + k`; the rest as for `dense.move`.
    """
    new, old = (step, step * 0) if implicit else (step * 0, step)
    if mass == CONSTANT:
        _constant(w, p, p, at, stride, f, decay, keep, push, new, old, v_keep, v_gain, floor)
    elif mass == ADAPTIVE:
        _adaptive(w, p, v, at, stride, f, decay, keep, push, new, old, v_keep, v_gain, floor)
    else:
        _growing(w, p, v, at, stride, f, decay, keep, push, new, old, v_keep, v_gain, floor)
