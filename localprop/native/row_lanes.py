"""Rows of a weight matrix taken through a hop of one stream, in the lanes of vectors.

While a row is near, its part of the errors that go back, $\\lambda_i \\sigma'_i w_{ij}$, is added
up, weight, momentum and mass move, and the row's next activation $a_i = \\sum_j w_{ij} s_j$ is
taken: what sources say after a hop is known before it moves any weight. Several rows at a time, for
which what sources say and get back comes once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from .codes import ADAPTIVE, CONSTANT, GROWING, LANES
from .jit import inner
from .lanes import HALF, Numbers, store_sums, variable
from .move_lanes import PUSH, in_all_lanes, moved

TOGETHER, HEAVY = 4, 2  # rows; and of those whose masses change
STILL = -1  # in the place of a mass: weights do not move


def _through(rows: int) -> Any:
    """Returns an intrinsic that takes some rows through a hop."""

    @intrinsic
    def take_rows(
        typing: Any,
        w: Any,
        p: Any,
        v: Any,
        at: Any,
        step: Any,
        c: Any,
        first: Any,
        s: Any,
        now: Any,
        then: Any,
        g: Any,
        back: Any,
        a: Any,
        mass: Any,
        implicit: Any,
        moving: Any,
    ) -> Any:
        del typing, at, step, first, now, then, back
        size = types.intp
        signature = types.void(
            w, p, v, size, size, c, size, s, size, size, g, size, a, mass, implicit, moving
        )

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            of = Numbers(context, builder, signature.args, HALF)
            arrays = (of.data(signature.args[k], args[k]) for k in (0, 1, 2, 5, 7, 10, 12))
            w, p, v, c, s, g, a = arrays
            at, step, first, now, then, back = (args[k] for k in (3, 4, 6, 8, 9, 11))
            code, implicit, moving = args[13], args[14], in_all_lanes(of, args[15])
            errors = [of.spread(c, i) for i in of.rows(first, first.type(1), rows)]
            sums = [variable(builder, of.zero()) for _ in errors]
            each = list(zip(errors, sums, of.rows(at, step, rows), strict=True))

            def take(mass: int, few: Any, offset: Any, lanes: Any) -> None:
                said = of.some(s, builder.add(now, offset), lanes)
                after = of.some(s, builder.add(then, offset), lanes)
                to = builder.add(back, offset), lanes
                got, pushed = of.some(g, *to), of.product(moving[PUSH], said)
                for error, total, begin in few:
                    place = builder.add(begin, offset), lanes
                    here = of.some(w, *place)
                    got = of.fused(got, error, here)
                    if mass != STILL:
                        forces = (error, said), (error, pushed)
                        here = moved(of, mass, implicit, moving, (w, p, v), place, *forces)
                        of.put(here, w, *place)
                    builder.store(of.fused(builder.load(total), here, after), total)
                of.put(got, g, *to)

            number = step.type
            wide, short = number(of.lanes), number(LANES)
            whole = builder.sdiv(step, wide)
            done = builder.mul(whole, wide)
            has_short = builder.icmp_signed(">=", builder.sub(step, done), short)
            last = builder.and_(step, number(LANES - 1))
            has_last, left = builder.icmp_signed(">", last, number(0)), of.below(last)

            def take_all(mass: int, few: Any) -> None:
                with cgutils.for_range(builder, whole) as loop:
                    take(mass, few, builder.mul(loop.index, wide), None)
                if of.lanes > LANES:
                    with builder.if_then(has_short):
                        take(mass, few, done, LANES)
                with builder.if_then(has_last):
                    take(mass, few, builder.sub(step, last), left)

            for mass in (STILL, CONSTANT, ADAPTIVE, GROWING):
                together = rows if mass in (STILL, CONSTANT) else HEAVY
                with builder.if_then(builder.icmp_signed("==", code, code.type(mass))):
                    for k in range(0, rows, together):
                        take_all(mass, each[k : k + together])
            store_sums(of, sums, a, first)
            return context.get_dummy_value()

        return signature, generate

    return take_rows


_some, _one = _through(TOGETHER), _through(1)


@inner
def through_rows(
    first, last, learns, coef, s, now, then, g, back, a, w, p, v, mass, implicit, moving
):  # fmt: skip
    """Takes some rows through a hop: `dense.send_back`, `add_force`, `finish_force` and `move`, if
    they learn, and the `product` with what the sources say after it.

    **Arguments:** of arrays in one piece. `coef`, `a`: of row $i$ at `i`; `s`: what source $j$ says
    before the hop at `now + j`, after it at `then + j`; `g`: what it gets back at `back + j`; `w`,
    `p`, `v`: with zeros where rows have room, `v` not of constant mass; `moving`: see `loop`.
    """
    stride, i, kind = w.shape[1], first, mass if learns else np.int64(STILL)
    while i < last:
        if i + TOGETHER <= last:
            _some(
                w, p, v, i * stride, stride, coef, i, s, now, then, g, back, a, kind, implicit,
                moving,
            )  # fmt: skip
            i += TOGETHER
        else:
            _one(
                w, p, v, i * stride, stride, coef, i, s, now, then, g, back, a, kind, implicit,
                moving,
            )  # fmt: skip
            i += 1
