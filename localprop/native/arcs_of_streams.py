"""Arcs of a sparse network that many streams share, each read once and written once in a hop.

What all streams say of a source lies side by side, before a hop and after it, and so does what they
get back: an arc takes whole vectors from its tail, wherever that lies.
"""

from __future__ import annotations

import numpy as np

from .arc_lanes import FEW_LANES, MANY_LANES, arc_back, arc_drives, arc_forces
from .codes import CONSTANT
from .dense import finish_force, move
from .jit import kernel
from .places import FORWARD, IMPLICIT, LEARN, MASS, STREAMS
from .plan import Plan
from .room import aligned


def room_for_arcs(plan: Plan) -> tuple[np.ndarray, ...]:
    """Returns room for what sources say and get back, and for coefficients and drives of a neuron.

    That is `(sources, 2, lanes)`; `(parts, sources, lanes)`; `(parts, 2, lanes)`: a lane for each
    stream, and up to a whole vector of them with zeros.
    """
    ints, parts = plan.ints, plan.ints["parts"]
    lanes = FEW_LANES if ints["streams"] <= FEW_LANES else MANY_LANES
    lanes *= -(-ints["streams"] // lanes)
    m = ints["sources"]
    shapes = (m, 2, lanes), (parts, m, lanes), (parts, 2, lanes)
    said, back, own = (aligned(shape, plan.dtype) for shape in shapes)
    return said, back, own


@kernel
def lay_arcs(first, last, which, s, room):
    """Puts side by side what all streams say of some sources, before a hop or after it."""
    said = room[0]
    for j in range(first, last):
        for t in range(s.shape[1]):
            said[j, which, t] = s[which, t, j]


@kernel
def gather_arcs(first, last, here, room, slope, total):
    """Adds up what the parts send back to neurons, in their order, and the slope of the loss."""
    back = room[1]
    for i in range(first, last):
        for t in range(total.shape[0]):
            found = back[0, here + i, t]
            back[0, here + i, t] = 0
            for q in range(1, back.shape[0]):
                found += back[q, here + i, t]
                back[q, here + i, t] = 0
            total[t, i] = found + slope[t, i]


@kernel
def through_arcs(
    q, first, last, mode, now, then, ints, moving, a, coef, force, w, p, v, arcs, starts, tails,
    room,
):  # fmt: skip
    """Takes the arcs of a part through a hop of many streams, under the Hamiltonian law.

    **Arguments:** `mode`: `FORWARD` finds drives alone; `now`, `then`: 0 or 1, when what was laid
    out was said of which forces and drives are made; `room`: see `room_for_arcs`.
    """
    keep, push, step, v_keep, v_gain, floor, decay, _ = moving
    said, back, own = room
    mass, implicit = ints[MASS], ints[IMPLICIT] == 1
    streams, lanes, f, back_to = ints[STREAMS], said.shape[2], force[q], q * back.shape[1]
    c, drives = own[q, 0], own[q, 1]
    for i in range(first, last):
        at, end = starts[i], starts[i + 1]
        if mode != FORWARD:
            for t in range(streams):
                c[t] = coef[t, i]
            if mode == LEARN:
                arc_forces(tails, at, end, said, now, c, lanes, f)
            if arcs.size == 0:
                arc_back(tails, at, end, back, back_to, c, lanes, w)
            else:
                for k in range(at, end):
                    if arcs[k] & 4:
                        arc_back(tails, k, k + 1, back, back_to, c, lanes, w)
        if mode == LEARN:
            row, p_row, known = w[at:end], p[at:end], arcs[at:end]
            v_row = v[at:end] if mass != CONSTANT else p_row
            finish_force(row, decay, end - at, known, f)
            move(
                row, p_row, v_row, end - at, f, mass, implicit, keep, push, step, v_keep, v_gain,
                floor,
            )  # fmt: skip
        arc_drives(tails, at, end, said, then, w, lanes, drives)
        for t in range(streams):
            a[t, i] = drives[t]
