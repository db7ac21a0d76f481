"""Rows of a weight matrix that streams share, each read once and written once in a hop.

Eight rows at a time, by products of small matrices: errors of all streams go back, the force is
added up over the streams, the weights move, and the next drives are taken. What is read and written
again for other rows stays near: of many streams a few columns, while a block of rows passes by.
"""

from __future__ import annotations

import numpy as np

from .codes import CONSTANT, LANES, LINE
from .dense import add_and_clear, copy, finish_force, move
from .jit import apart, inner, kernel
from .lanes import WIDE, add_back, add_products, fetch, force, products
from .move_lanes import move_eight
from .places import FORWARD, IMPLICIT, LEARN, MASS, SOURCES, STREAMS
from .plan import Plan
from .room import aligned

# Streams, and numbers in a row, from which on streams are worth a lane of vectors each.
STREAMS_FROM, ROWS_FROM = 32, 128
NEAR = 1 << 15  # numbers of fewer, of each of three kinds, that stay near while rows pass by
BLOCK, DEEP = 64, 256  # rows, and columns of which drives are taken at once, for many


def room_for_rows(plan: Plan, stride: int) -> tuple[np.ndarray, ...]:
    """Returns room for the loops: of each part for the force on eight rows, and for drives.

    Of many streams also for what sources said last, `(groups, numbers, lanes)`, a lane for each
    stream; for what they say before and after a hop, `(2, panels, streams, lanes)`, a lane for each
    source; for what they get back, `(parts, panels, streams, lanes)`, of which that of inputs is
    never read; for coefficients, `(parts, blocks, streams, 8)`. What is read together lies
    together: rows far apart take a page each.

    **Arguments:** `plan`: of the learner; `stride`: numbers from one row to the next.
    """
    streams, parts, n = (plan.ints[name] for name in ("streams", "parts", "neurons"))
    if streams < STREAMS_FROM or stride < ROWS_FROM:
        width = min(max(NEAR // streams // WIDE, 1) * WIDE, stride)
        turned = (0, 0, WIDE), (0, 0, 0, WIDE), (0, 0, 0, WIDE), (0, 0, 0, LANES)
        shapes = (parts, LANES * width), (parts, LANES * streams), *turned
    else:
        groups, panels = -(-streams // WIDE), -(-stride // WIDE)
        shapes = (
            (parts, LANES * WIDE),
            (parts, BLOCK * groups * WIDE),
            (groups, stride, WIDE),
            (2, panels, streams, WIDE),
            (parts, panels, streams, WIDE),
            (parts, -(-n // LINE // parts) * LINE // LANES, streams, LANES),
        )
    return tuple(aligned(shape, plan.dtype) for shape in shapes)


def is_turned(room: tuple[np.ndarray, ...]) -> bool:
    """Returns whether there is room for many streams."""
    return room[2].size > 0


are_many = inner(is_turned)


@apart
def _turn(of, to, lane):
    """Copies numbers into a lane."""
    for k in range(of.size):
        to[k, lane] = of[k]


@apart
def _column(of, first, step, to):
    """Copies numbers that do not lie side by side."""
    for k in range(to.size):
        to[k] = of[first + k * step]


@apart
def _pack(of, stream, to):
    """Puts numbers of a stream into blocks of eight, `(blocks, streams, 8)`."""
    whole = of.size // LANES
    for b in range(whole):
        for k in range(LANES):
            to[b, stream, k] = of[b * LANES + k]
    for k in range(of.size - whole * LANES):
        to[whole, stream, k] = of[whole * LANES + k]


@kernel
def lay_rows(first, last, which, s, room):
    """Lays out what some sources say to many streams, before a hop or after it: drives are made
    of what was laid out last, forces of that which is said to be meant."""
    said, source, streams = room[2], room[3], s.shape[1]
    for group in range(len(said)):
        low, high = group * WIDE, min((group + 1) * WIDE, streams)
        for j in range(first, last, LINE):
            end = min(j + LINE, last)
            for t in range(low, high):
                _turn(s[which, t, j:end], said[group, j:end], t - low)
    j = first if source.size > 0 else last
    while j < last:
        panel = j // WIDE
        end, left = min((panel + 1) * WIDE, last), panel * WIDE
        for t in range(streams):
            copy(s[which, t, j:end], source[which, panel, t, j - left : end - left])
        j = end


@kernel
def gather_rows(first, last, here, room, slope, total):
    """Adds up what the parts send back to neurons, in their order, and the slope of the loss."""
    back, j, last = room[4], here + first, here + last
    while j < last:
        panel = j // WIDE
        end, left = min((panel + 1) * WIDE, last), panel * WIDE
        for t in range(total.shape[0]):
            to = total[t, j - here : end - here]
            copy(slope[t, j - here : end - here], to)
            for q in range(len(back)):
                add_and_clear(back[q, panel, t, j - left : end - left], to)
        j = end


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


@inner
def _ask(at, rows, step, w, p):
    """Asks for a few columns of some rows."""
    for r in range(rows):
        fetch(w, at + r * step, WIDE)
        fetch(p, at + r * step, WIDE)


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


@kernel
def through_many(q, first, last, mode, now, ints, moving, a, coef, w, p, v, arcs, room):
    """Does what `through_few` does for many streams; `now`: where what was laid out was said of
    which forces are made; drives are made of what was laid out last."""
    streams, m, stride = ints[STREAMS], ints[SOURCES], w.shape[1]
    # Not the constants, for which all that they are handed to would be compiled apart.
    none, eight, width = np.int64(0), np.int64(LANES), np.int64(WIDE)
    f, drives, said, source, back, c = room[0][q], room[1][q], room[2], room[3], room[4], room[5][q]
    keep, push, step, v_keep, v_gain, floor, decay, _ = moving
    mass, implicit = ints[MASS], ints[IMPLICIT] == 1
    panels, tall = source.shape[1], len(said) * WIDE
    of_panel = streams * WIDE
    if mode != FORWARD:
        for t in range(streams):
            _pack(coef[t, first:last], t, c)
    for top in range(first, last, BLOCK):
        bottom = min(top + BLOCK, last)
        for k in range((bottom - top) * tall):
            drives[k] = 0
        for left in range(0, m, DEEP):
            deep = min(DEEP, stride - left)
            right = left if mode == FORWARD else min(left + deep, m)
            for j in range(left, right, WIDE):
                lanes, panel = min(WIDE, left + deep - j), j // WIDE
                said_now, to = (now * panels + panel) * of_panel, (q * panels + panel) * of_panel
                for i in range(top, bottom, LANES):
                    rows, at, own = min(LANES, bottom - i), i * stride + j, (i - first) * streams
                    after = at + LANES * stride if i + LANES < bottom else top * stride + j + WIDE
                    _ask(after, rows, stride, w, p)
                    add_back(w, at, rows, stride, lanes, c, own, eight, back, to, width, streams)
                    if mode == LEARN:
                        force(c, own, eight, source, said_now, width, rows, lanes, f, none, streams)
                        wide = min(lanes, m - j)
                        if rows == LANES and wide == WIDE:
                            move_eight(
                                w, p, v, at, stride, f, decay, mass, implicit, keep, push, step,
                                v_keep, v_gain, floor,
                            )  # fmt: skip
                        else:
                            _move_rows(i, rows, j, lanes, wide, f, ints, moving, w, p, v, arcs[0])
            for group in range(len(said)):
                lanes = min(WIDE, -(-streams // LANES) * LANES - group * WIDE)
                at = (group * stride + left) * WIDE
                for i in range(top, bottom, LANES):
                    rows, to = min(LANES, bottom - i), (i - top) * tall + group * WIDE
                    add_products(
                        w, i * stride + left, rows, stride, min(deep, m - left), said, at, width,
                        drives, to, tall, lanes,
                    )  # fmt: skip
        for t in range(streams):
            _column(drives, t, tall, a[t, top:bottom])
