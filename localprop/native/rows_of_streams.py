"""Rows of a weight matrix that a few streams share, each read once and written once in a hop.

Eight rows at a time, by products of small matrices: errors of all streams go back, the force is
added up over the streams, the weights move, and the next drives are taken. What is read and written
again for other rows stays near.
"""

from __future__ import annotations

import numpy as np

from .codes import CONSTANT, LANES
from .dense import add_and_clear, finish_force, move
from .jit import inner, kernel
from .lanes import WIDE, add_back, force, products
from .places import FORWARD, IMPLICIT, LEARN, MASS, SOURCES, STREAMS
from .plan import Plan
from .room import aligned

NEAR = 1 << 15  # numbers of fewer, of each of three kinds, that stay near while rows pass by


def room_for_rows(plan: Plan, stride: int) -> tuple[np.ndarray, ...]:
    """Returns room for the loops: of each part for the force on eight rows, and for drives.

    **Arguments:** `plan`: of the learner; `stride`: numbers from one row to the next.
    """
    streams, parts = plan.ints["streams"], plan.ints["parts"]
    width = min(max(NEAR // streams // WIDE, 1) * WIDE, stride)
    shapes = (parts, LANES * width), (parts, LANES * streams)
    return tuple(aligned(shape, plan.dtype) for shape in shapes)


@inner
def _move_rows(i, rows, left, lanes, wide, f, ints, moving, w, p, v, none):
    """Moves some numbers of some rows under the force `f`, `(rows, lanes)`."""
    keep, push, step, v_keep, v_gain, floor, decay, _ = moving
    mass, implicit = ints[MASS], ints[IMPLICIT] == 1
    for r in range(rows):
        row, own = w[i + r, left : left + wide], f[r * lanes : r * lanes + wide]
        p_row = p[i + r, left : left + wide]
        v_row = v[i + r, left : left + wide] if mass != CONSTANT else p_row
        finish_force(row, decay, wide, none, own)
        move(
            row, p_row, v_row, wide, own, mass, implicit, keep, push, step, v_keep, v_gain, floor
        )  # fmt: skip


@kernel
def drive_rows(which, m, a, s, w, room):
    """Takes the drives of all rows, of which there need not be room behind them."""
    streams, size, stride, step = s.shape[1], s.shape[2], w.shape[1], a.shape[1]
    none, eight, whole = np.int64(0), np.int64(LANES), m // LANES * LANES
    last, drives, of = room[0][0], room[1][0], which * streams * size
    for k in range(LANES * LANES):
        last[k] = 0
    for i in range(none, w.shape[0], LANES):
        rows = min(LANES, w.shape[0] - i)
        products(w, i * stride, rows, stride, whole, s, of, size, a, i, step, streams)
        if whole < m:
            for r in range(rows):
                for j in range(whole, m):
                    last[r * LANES + j - whole] = w[i + r, j]
            products(
                last, none, rows, eight, eight, s, of + whole, size, drives, none, eight, streams
            )
            for t in range(streams):
                add_and_clear(drives[t * LANES : t * LANES + rows], a[t, i : i + rows])


@kernel
def through_few(
    q, first, last, mode, now, then, ints, moving, a, coef, s, g, w, p, v, arcs, room
):  # fmt: skip
    """Takes the rows of a part through a hop of a few streams, under the Hamiltonian law.

    **Arguments:** `mode`: `FORWARD` finds drives alone; `now`, `then`: where in `s` the states are
    of which forces and drives are made; rows have room up to the next eight, with zeros in it;
    `arcs`: empty; `room`: see `room_for_rows`.
    """
    streams, none, eight = ints[STREAMS], np.int64(0), np.int64(LANES)
    step, size, stride = a.shape[1], s.shape[2], w.shape[1]
    f, drives = room[0][q], room[1][q]
    width, back = f.size // LANES, q * streams * size
    for left in range(0, ints[SOURCES], width):
        lanes, wide = min(width, stride - left), min(width, ints[SOURCES] - left)
        source, after = now * streams * size + left, then * streams * size + left
        for i in range(first, last, LANES):
            rows, at = min(LANES, last - i), i * stride + left
            if mode != FORWARD:
                add_back(w, at, rows, stride, lanes, coef, i, step, g, back + left, size, streams)
            if mode == LEARN:
                force(coef, i, step, s, source, size, rows, lanes, f, none, streams)
                _move_rows(i, rows, left, lanes, wide, f, ints, moving, w, p, v, arcs[0])
            if left == 0:
                products(w, at, rows, stride, lanes, s, after, size, a, i, step, streams)
                continue
            products(w, at, rows, stride, lanes, s, after, size, drives, none, eight, streams)
            for t in range(streams):
                add_and_clear(drives[t * LANES : t * LANES + rows], a[t, i : i + rows])
