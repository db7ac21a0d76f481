"""How weights move in a hop, in the lanes of vectors; and some columns of eight rows that do."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from .codes import ADAPTIVE, CONSTANT, GROWING, LANES
from .jit import inner
from .lanes import HALF, WIDE, Numbers, variable

PUSH = 1  # the place of `push` in `moving`


def in_all_lanes(of: Numbers, moving: Any) -> list[Any]:
    """Returns the numbers by which weights move, a vector of each; `moving`: see `loop`."""
    return [of.everywhere(number) for number in cgutils.unpack_tuple(of.builder, moving)]


def moved(
    of: Numbers,
    mass: int,
    implicit: Any,
    moving: Any,
    state: Any,
    at: tuple[Any, Any],
    force: tuple[Any, Any],
    pushed: tuple[Any, Any],
) -> Any:
    """Returns code for weights after a hop, and stores their momenta and masses: `dense.move`.

    **Arguments:** `implicit`: whether they follow the new momenta; `moving`: `in_all_lanes`;
    `state`: where weights, momenta and masses are; `at`: the place, and the lanes that are wanted,
    see `Numbers.some`; `force`: two factors of it, but for what decays; `pushed`: two of it times
    `push`.
    """
    (w, p, v), (keep, push, step, v_keep, v_gain, floor, decay, _) = state, moving
    here, old = of.some(w, *at), of.some(p, *at)
    new = of.product(keep, old)
    if mass == CONSTANT:
        new = of.fused(of.fused(new, of.product(push, decay), here), *pushed)
    else:
        f = of.fused(of.product(decay, here), *force)
        memory = of.product(v_keep, of.some(v, *at))
        memory = of.fused(memory, of.product(v_gain, f), f)
        of.put(memory, v, *at)
        new = of.fused(new, push, f)
    of.put(new, p, *at)
    way = of.product(step, of.builder.select(implicit, new, old))
    if mass == CONSTANT:
        return of.plus(here, way)
    heavy = of.fused(of.everywhere(1.0), memory, floor)
    if mass == ADAPTIVE:
        heavy = of.plus(of.root(memory), floor)
    return of.plus(here, of.builder.fdiv(way, heavy))


def _move(lanes: int) -> Any:
    """Returns an intrinsic that moves some columns of eight rows, under a sum over the streams."""

    @intrinsic
    def move_rows(
        typing: Any,
        w: Any,
        p: Any,
        v: Any,
        at: Any,
        step: Any,
        x: Any,
        x0: Any,
        x_step: Any,
        d: Any,
        d0: Any,
        d_step: Any,
        streams: Any,
        mass: Any,
        implicit: Any,
        moving: Any,
    ) -> Any:
        del typing, at, step, x0, x_step, d0, d_step, streams
        pair = types.intp, types.intp
        signature = types.void(
            w, p, v, *pair, x, *pair, d, *pair, types.intp, mass, implicit, moving
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            of = Numbers(context, builder, signature.args, lanes)
            w, p, v, x, d = (of.data(signature.args[k], args[k]) for k in (0, 1, 2, 5, 8))
            at, step, x0, x_step, d0, d_step, streams, code, implicit = (
                args[k] for k in (3, 4, 6, 7, 9, 10, 11, 12, 13)
            )
            moving = in_all_lanes(of, args[14])
            sums = [variable(builder, of.zero()) for _ in range(LANES)]
            with cgutils.for_range(builder, streams) as loop:
                said = of.load(d, builder.add(d0, builder.mul(loop.index, d_step)))
                first = builder.add(x0, loop.index)
                for total, place in zip(sums, of.rows(first, x_step, LANES), strict=True):
                    builder.store(of.fused(builder.load(total), of.spread(x, place), said), total)
            for kind in (CONSTANT, ADAPTIVE, GROWING):
                with builder.if_then(builder.icmp_signed("==", code, code.type(kind))):
                    for total, place in zip(sums, of.rows(at, step, LANES), strict=True):
                        force, whole = builder.load(total), (place, None)
                        once, pushed = (of.everywhere(1.0), force), (moving[PUSH], force)
                        here = moved(of, kind, implicit, moving, (w, p, v), whole, once, pushed)
                        of.store(here, w, place)
            return context.get_dummy_value()

        return signature, generate

    return move_rows


_wide, _half = _move(WIDE), _move(HALF)


@inner
def move_eight(
    w, p, v, at, stride, lanes, x, x0, x_step, d, d0, d_step, streams, mass, implicit, moving
):  # fmt: skip
    """Moves some columns of eight rows under the force $f_{ji} = \\sum_s x_{js} d_{si}$.

    **Arguments:** of arrays in one piece. `w`, `p`, `v`: element $(j, i)$ at `at + j * stride + i`;
    `lanes`: how many columns, as many as are `WIDE` or `HALF`; `x`: element $(j, s)$ at `x0 + j *
    x_step + s`; `d`: $(s, i)$ at `d0 + s * d_step + i`; `streams`: how many $s$; `moving`: see
    `loop`.
    """
    if lanes == WIDE:
        _wide(w, p, v, at, stride, x, x0, x_step, d, d0, d_step, streams, mass, implicit, moving)
    else:
        _half(w, p, v, at, stride, x, x0, x_step, d, d0, d_step, streams, mass, implicit, moving)
