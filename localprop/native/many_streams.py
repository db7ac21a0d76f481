"""Rows of a weight matrix that many streams share: a lane of vectors for each stream.

What belongs to neurons and sources has the streams side by side, so that activations are found
without regard to which stream is which, and drives, and errors that go back, are products of small
matrices. Only the force on weights is summed over streams: for it what sources say lies side by
side as well. A block of rows passes by a few columns, which stay near. What is in lanes behind the
streams is nobody's, and never comes into any other lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .codes import LANES, LINE
from .dense import add_and_clear, copy
from .hop import activate, multiply, same_until
from .jit import apart, inner, kernel
from .lanes import WIDE, add_products, fetch, turn_eight
from .move_lanes import move_eight
from .neurons import finite, squares
from .places import (
    IMPLICIT,
    INSTANT,
    LEARN,
    MASS,
    NEURONS,
    PARTS,
    SOURCES,
    STREAMS,
)  # fmt: skip
from .plan import Plan
from .room import aligned

MANY = LANES + 1  # streams, from which on each is worth a lane
BLOCK, DEEP = 48, 128  # rows, and columns of which drives are taken at once
# Numbers that stay near while rows pass by, of each of three kinds: what sources said, what they
# say after the hop, and what they get back.
NEAR = 1 << 16
LONG = 512  # bytes of a row, of which a column lies on an eighth of a cache's places

# Places in what is `many` to the loops: how many lanes, and sources with the room behind them; then
# the arrays of `room_for_many`.
LANED, ROWS, DRIVES, SLOPES, COEFFICIENTS, COSTATES, PULLS, SAID, BACK, BY_STREAM = range(10)
NAMES = ("drives", "slopes", "coefficients", "costates", "pulls", "said", "back", "by_stream")


def room_for_many(plan: Plan, stride: int) -> dict[str, np.ndarray]:
    """Returns arrays by `NAMES`; the last axis, but of `by_stream`, has a lane for each stream.

    Of neurons, `(neurons, lanes)`: `drives`, `slopes`, `coefficients` of errors, `costates`, and
    `pulls`, the slopes of the loss. Of sources: `said`, before and after a hop by turns, `(2,
    sources, lanes)`; `back`, what they get back, `(parts, sources, lanes)`; and `by_stream`, what
    they said, for forces, `(2, panels, streams, WIDE)`.

    **Arguments:** `plan`: of the learner; `stride`: numbers from one row to the next.
    """
    streams, parts, n = (plan.ints[name] for name in ("streams", "parts", "neurons"))
    lines = -(-streams // LINE)
    # Rows of an odd number of lines, or all of a column fall on a few places of a cache.
    lanes = (lines if lines * LINE * plan.dtype.itemsize < LONG else lines | 1) * LINE
    shapes: dict[str, tuple[int, ...]] = {name: (in_eights(n), lanes) for name in NAMES}
    shapes |= {"said": (2, stride, lanes), "back": (parts, stride, lanes)}
    shapes["by_stream"] = 2, -(-stride // WIDE), in_eights(streams), WIDE
    return {name: aligned(shape, plan.dtype) for name, shape in shapes.items()}


def in_eights(n: int) -> int:
    """Returns how many rows there is room for, or lanes for streams: whole eights."""
    return -(-n // LANES) * LANES


_in_eights = inner(in_eights)


def is_many(plan: Plan) -> bool:
    """Returns whether dense rows, which streams share, are shared by many."""
    return plan.tails is None and plan.ints["streams"] >= MANY


def said_by_each(found: dict[str, np.ndarray], plan: Plan) -> np.ndarray:
    """Returns what all loops know as `s`, stream by stream, of the arrays of `room_for_many`."""
    return found["said"][:, : plan.ints["sources"], : plan.ints["streams"]].transpose(0, 2, 1)


def for_loops(found: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """Returns what `many` is to the loops, of arrays of one axis each."""
    _, rows, lanes = found["said"].shape
    return lanes, rows, *(found[name].reshape(-1) for name in NAMES)


@apart
def _approach(keep, old, pull, to):
    """Takes numbers, of which something is kept, towards others."""
    for k in range(to.size):
        to[k] = keep * old[k] + pull * to[k]


@apart
def _follow(keep, pull, by, to):
    """Lets numbers, of which something is kept, follow others."""
    for k in range(to.size):
        to[k] = keep * to[k] + pull * by[k]


@kernel
def take_costates(lam, many):
    """Puts costates, `(streams, neurons)`, into lanes."""
    lanes, own = many[LANED], many[COSTATES]
    for t in range(lam.shape[0]):
        for i in range(lam.shape[1]):
            own[i * lanes + t] = lam[t, i]


@kernel
def hand_costates(many, lam):
    """Takes costates, `(streams, neurons)`, out of lanes."""
    lanes, own = many[LANED], many[COSTATES]
    for t in range(lam.shape[0]):
        for i in range(lam.shape[1]):
            lam[t, i] = own[i * lanes + t]


@kernel
def rest_of_many(t, n, many):
    """Puts the costates of a stream at rest."""
    lanes, own = many[LANED], many[COSTATES]
    for i in range(n):
        own[i * lanes + t] = 0


@kernel
def take_slopes(slope, outputs, many):
    """Puts the slopes of the losses at the outputs, `(streams, neurons)`, into lanes."""
    lanes, own = many[LANED], many[PULLS]
    for o in range(outputs.size):
        for t in range(slope.shape[0]):
            own[outputs[o] * lanes + t] = slope[t, outputs[o]]


@kernel
def lay_many(first, last, which, ints, many):
    """Lays out by stream what some sources say, before a hop or after it."""
    lanes, sources, said, to = many[LANED], many[ROWS], many[SAID], many[BY_STREAM]
    streams = _in_eights(ints[STREAMS])
    panels, j = (sources + WIDE - 1) // WIDE, first
    while j < last:
        at = (which * sources + j) * lanes
        place = (which * panels + j // WIDE) * streams * WIDE + j % WIDE
        if j % LANES == 0 and j + LANES <= last:
            for t in range(0, streams, LANES):
                turn_eight(said, at + t, lanes, to, place + t * WIDE, np.int64(WIDE))  # pyright: ignore
            j += LANES
        else:
            for t in range(streams):
                to[place + t * WIDE] = said[at + t]
            j += 1


@kernel
def states_of_many(first, last, cur, ints, signs, acts, gains, many):
    """Takes neurons of all streams to their next states, and finds their slopes."""
    lanes, sources, said = many[LANED], many[ROWS], many[SAID]
    a, slopes = many[DRIVES], many[SLOPES]
    here = ints[SOURCES] - ints[NEURONS]
    old, new = (cur * sources + here) * lanes, ((1 - cur) * sources + here) * lanes
    i = first
    while i < last:
        end = same_until(i, last, acts)
        low, high = i * lanes, end * lanes
        activate(acts[i], a[low:high], said[new + low : new + high], slopes[low:high])
        i = end
    if ints[INSTANT] == 0:
        for i in range(first, last):
            keep, pull = gains[signs, 0, i], gains[signs, 1, i]
            low, high = i * lanes, (i + 1) * lanes
            if keep != 0:
                _approach(keep, said[old + low : old + high], pull, said[new + low : new + high])


@kernel
def feel_many(first, last, many):
    """Finds the errors of neurons of all streams."""
    low, high = first * many[LANED], last * many[LANED]
    multiply(many[COSTATES][low:high], many[SLOPES][low:high], many[COEFFICIENTS][low:high])


@kernel
def move_many(first, last, ints, signs, gains, many):
    """Adds up what neurons of all streams get back, in the order of the parts, and the slope of
    the loss, and moves their costates."""
    lanes, sources, back, slope = many[LANED], many[ROWS], many[BACK], many[PULLS]
    coef, lam = many[COEFFICIENTS], many[COSTATES]
    here, instant = ints[SOURCES] - ints[NEURONS], ints[INSTANT] == 1
    low, high = first * lanes, last * lanes
    total = lam if instant else coef
    copy(slope[low:high], total[low:high])
    for q in range(ints[PARTS]):
        at = (q * sources + here) * lanes
        add_and_clear(back[at + low : at + high], total[low:high])
    if instant:
        return
    for i in range(first, last):
        keep, pull = gains[2 + signs, 0, i], gains[2 + signs, 1, i]
        low, high = i * lanes, (i + 1) * lanes
        if keep == 0 and pull == 1:
            copy(total[low:high], lam[low:high])
        else:
            _follow(keep, pull, total[low:high], lam[low:high])


@kernel
def are_finite(cur, ints, many):
    """Returns whether the states and costates of all streams are finite."""
    lanes, sources, streams = many[LANED], many[ROWS], ints[STREAMS]
    lam, said = many[COSTATES], many[SAID]
    at, good = (cur * sources + ints[SOURCES] - ints[NEURONS]) * lanes, True
    for i in range(ints[NEURONS]):
        state, costate = at + i * lanes, i * lanes
        good = good and finite(said[state : state + streams])
        good = good and finite(lam[costate : costate + streams])
    return good


@kernel
def squares_of_many(cur, ints, many):
    """Returns the sums of squares of the states, and of the costates, of all streams."""
    lanes, sources, streams = many[LANED], many[ROWS], ints[STREAMS]
    lam, said = many[COSTATES], many[SAID]
    at, states = (cur * sources + ints[SOURCES] - ints[NEURONS]) * lanes, said.dtype.type(0)
    costates = states
    for i in range(ints[NEURONS]):
        states += squares(said[at + i * lanes :], streams)
        costates += squares(lam[i * lanes :], streams)
    return states, costates


@inner
def _drive(top, bottom, left, deep, then, w, stride, streams, many):
    """Adds to the drives of some rows what some columns bring."""
    lanes, sources, a, said = many[LANED], many[ROWS], many[DRIVES], many[SAID]
    one = np.int64(1)
    for group in range(0, streams, WIDE):
        few, of = min(WIDE, streams - group), (then * sources + left) * lanes + group
        for i in range(top, bottom, LANES):
            add_products(
                w, i * stride + left, min(LANES, bottom - i), stride, one, deep, said, of, lanes, a,
                i * lanes + group, lanes, few,
            )  # fmt: skip


@kernel
def drive_many(first, last, which, ints, w, many):
    """Takes the drives of some rows, of which there need not be room behind them."""
    lanes, a, m, stride = many[LANED], many[DRIVES], ints[SOURCES], w.shape[1]
    streams = _in_eights(ints[STREAMS])
    for top in range(first, last, BLOCK):
        bottom = min(top + BLOCK, last)
        a[top * lanes : bottom * lanes] = 0
        for left in range(0, m, DEEP):
            deep = min(DEEP, m - left)
            _drive(top, bottom, left, deep, which, w, stride, streams, many)


@inner
def _send_back(q, top, bottom, j, wide, w, stride, streams, many):
    """Adds to what some sources get back of what some rows send."""
    lanes, sources, coef, back = many[LANED], many[ROWS], many[COEFFICIENTS], many[BACK]
    one, eight = np.int64(1), np.int64(LANES)
    for group in range(0, streams, WIDE):
        few = min(WIDE, streams - group)
        for k in range(j, j + wide, LANES):
            add_products(
                w, top * stride + k, eight, one, stride, bottom - top, coef, top * lanes + group,
                lanes, back, (q * sources + k) * lanes + group, lanes, few,
            )  # fmt: skip


@inner
def _move_columns(top, bottom, j, wide, now, ints, moving, w, p, v, many):
    """Moves some columns of some rows."""
    lanes, sources, coef, stride = many[LANED], many[ROWS], many[COEFFICIENTS], w.shape[1]
    panels, streams, width = (sources + WIDE - 1) // WIDE, _in_eights(ints[STREAMS]), np.int64(WIDE)
    of = (now * panels + j // WIDE) * streams * WIDE
    for i in range(top, bottom, LANES):
        at = i * stride + j
        for row in range(at + WIDE, at + WIDE + LANES * stride, stride):  # which move after these
            fetch(w, row, WIDE)
            fetch(p, row, WIDE)
        move_eight(
            w, p, v, at, stride, wide, coef, i * lanes, lanes, many[BY_STREAM], of, width,
            ints[STREAMS], ints[MASS], ints[IMPLICIT] == 1, moving,
        )  # fmt: skip


@kernel
def through_many(q, first, last, mode, now, then, ints, moving, w, p, v, many):
    """Takes the rows of a part through a hop, under the Hamiltonian law.

    **Arguments:** `first`, `last`: where others begin, multiples of eight, or behind all; `mode`:
    `LEARN`, or else they do not move; `now`, `then`: 0 or 1, when what sources say was said of
    which forces and drives are made; rows have room up to the next line, and there is room for as
    many as `in_eights`, with zeros in it; `many`: see `for_loops`.
    """
    lanes, a, m, stride = many[LANED], many[DRIVES], ints[SOURCES], w.shape[1]
    streams, end = _in_eights(ints[STREAMS]), _in_eights(last)
    near = max(DEEP, NEAR // lanes // DEEP * DEEP)
    for begin in range(0, m, near):
        for top in range(first, end, BLOCK):
            bottom = min(top + BLOCK, end)
            if begin == 0:
                a[top * lanes : bottom * lanes] = 0
            for left in range(begin, min(begin + near, m), DEEP):
                deep = min(DEEP, stride - left)
                for j in range(left, left + deep, WIDE):
                    wide = min(WIDE, left + deep - j)
                    _send_back(q, top, bottom, j, min(wide, m - j), w, stride, streams, many)
                    if mode == LEARN:
                        _move_columns(top, bottom, j, wide, now, ints, moving, w, p, v, many)
                _drive(top, bottom, left, min(deep, m - left), then, w, stride, streams, many)
