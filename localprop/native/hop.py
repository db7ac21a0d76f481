"""What a hop does to neurons, and to the arcs into them."""

from __future__ import annotations

import math

import numpy as np

from .codes import CONSTANT, GROWING
from .dense import (
    add,
    add_and_clear,
    add_force,
    finish_force,
    keep_trace,
    move,
    product,
    send_back,
    turn_trace,
)
from .jit import apart, inner
from .neurons import activated
from .oscillating import turn_costate, turn_state
from .places import (
    FORWARD,
    HAMILTONIAN,
    IMPLICIT,
    INERTIAL,
    INSTANT,
    INSTANTANEOUS,
    LAW,
    LEARN,
    LEAST_ACTION,
    MASS,
    NEURON_FRICTION,
    NEURON_MASS,
    NEURON_SPEED,
    NEURONS,
    NONE,
    PARTS,
    SOURCES,
    STIFFNESS,
    STREAMS,
    TRACES,
)  # fmt: skip
from .row_lanes import through_rows
from .sparse import (
    gather_force,
    gathered,
    give_back,
    keep_trace_of_arcs,
    move_arcs,
    scatter,
    turn_trace_of_arcs,
)
from .tiles import are_tiled, through_tiles


@inner
def activation(i, t, now, m, arcs, s, w, starts, tails, both):
    """Returns the activation of a neuron under what the sources say."""
    if w.ndim == 2:
        a = product(w[i], s[now, t], m, arcs[i] if arcs.size > 0 else arcs[0])
    if tails is not None:
        at, end = starts[i], starts[i + 1]
        a = gathered(w[at:end], tails[at:end], both[t], now)
    return a


@inner
def say(i, t, which, x, here, s, tails, both):
    """Sets the state of a neuron, and so what it says as a source."""
    s[which, t, here + i] = x
    if tails is not None:
        both[t, here + i, which] = x


@inner
def relax_one(i, t, y, cur, here, signs, ints, gains, s, tails, both, turned):
    """Moves the state of a neuron towards its drive."""
    if turned is not None:
        y = turn_state(i, t, y, cur, s[cur, t, here + i], signs, gains, turned)
    elif ints[INSTANT] == 0 and gains[signs, 0, i] != 0:
        y = gains[signs, 0, i] * s[cur, t, here + i] + gains[signs, 1, i] * y
    say(i, t, 1 - cur, y, here, s, tails, both)


@apart
def activate(code, a, y, slopes):
    """Finds what neurons of one activation tend to, and their slopes, several at once."""
    for i in range(a.size):
        y[i], slopes[i] = activated(code, a[i])


@inner
def same_until(first, last, acts):
    """Returns where neurons begin that have another activation than the first."""
    end = first + 1
    while end < last and acts[end] == acts[first]:
        end += 1
    return end


@inner
def tend(first, last, here, acts, a, y, slopes):
    """Finds what neurons of all streams tend to, and their slopes."""
    i = first
    while i < last:
        end = same_until(i, last, acts)
        for t in range(len(y)):
            activate(acts[i], a[t, i:end], y[t, here + i : here + end], slopes[t, i:end])
        i = end


@apart
def multiply(a, b, product):
    """Multiplies numbers."""
    for i in range(a.size):
        product[i] = a[i] * b[i]


@inner
def feel(
    first, last, fresh, cur, ints, signs, acts, arcs, speeds, gains, a, slopes, coef, s, lam, w,
    starts, tails, both, turned, shared, alone,
):  # fmt: skip
    """Takes neurons of finite or infinite speed to their next states, and finds their errors.

    **Arguments:** `fresh`: whether their activations are not known yet.
    """
    here, m, instant = ints[SOURCES] - ints[NEURONS], ints[SOURCES], ints[INSTANT] == 1
    blind = ints[TRACES] == INSTANTANEOUS
    if alone is not None:  # noqa: SIM102
        if fresh:
            for t in range(ints[STREAMS]):
                for i in range(first, last):
                    a[t, i] = activation(i, t, cur, m, arcs, s, w, starts, tails, both)
    tend(first, last, here, acts, a, s[1 - cur], slopes)
    for t in range(ints[STREAMS]):
        multiply(lam[t, first:last], slopes[t, first:last], coef[t, first:last])
        if not instant:
            for i in range(first, last):
                y = s[1 - cur, t, here + i]
                if alone is not None:
                    relax_one(i, t, y, cur, here, signs, ints, gains, s, tails, both, turned)
                if shared is not None:
                    relax_one(i, t, y, cur, here, signs, ints, gains, s, None, both, turned)
                if blind and speeds[i] != np.inf:
                    coef[t, i] = 0  # an error of this instant is not felt by what takes time
        elif alone is not None:  # noqa: SIM102
            if tails is not None:
                for i in range(first, last):
                    both[t, here + i, 1 - cur] = s[1 - cur, t, here + i]


@inner
def _pull(
    i, mode, cur, ints, signs, stiffness, acts, arcs, gains, coef, s, error, w, starts, tails,
    both, turned,
):  # fmt: skip
    """Finds by how much a neuron is off, under least action; settling, takes it there."""
    here, m = ints[SOURCES] - ints[NEURONS], ints[SOURCES]
    for t in range(ints[STREAMS]):
        a = activation(i, t, cur, m, arcs, s, w, starts, tails, both)
        y, slope = activated(acts[i], a)
        if mode == FORWARD:
            relax_one(i, t, y, cur, here, signs, ints, gains, s, tails, both, turned)
        error[t, i] = stiffness * (y - s[cur, t, here + i])
        coef[t, i] = error[t, i] * slope


@inner
def _plain_arcs(first, last, q, cur, ints, moving, a, coef, force, g, w, p, v, starts, tails, both):
    """Does what `move_rows` does to the arcs of one stream, all of which learn."""
    keep, push, step, v_keep, v_gain, floor, decay, _ = moving
    mass, implicit, none = ints[MASS], ints[IMPLICIT] == 1, np.int64(0)
    for i in range(first, last):
        at, end = starts[i], starts[i + 1]
        a[none, i] = move_arcs(
            w[at:end], p[at:end], v[at:end], coef[none, i], tails[at:end], both[none], cur,
            force[q], decay, mass, implicit, keep, push, step, v_keep, v_gain, floor,
        )  # fmt: skip
        give_back(force[q], tails[at:end], g[q, none])


@inner
def move_rows(
    first, last, q, mode, cur, ints, signs, moving, acts, arcs, speeds, gains, share, a, slopes,
    coef, force, s, lam, error, g, w, p, v, e, starts, tails, both, tiles, turned,
):  # fmt: skip
    """Takes the rows of one part through a hop, stream by stream."""
    number = w.dtype.type
    streams, m = ints[STREAMS], ints[SOURCES]
    law, mass, implicit = ints[LAW], ints[MASS], ints[IMPLICIT] == 1
    keep, push, step, v_keep, v_gain, floor, decay, stiffness = moving
    plain = law == HAMILTONIAN and streams == 1 and arcs.size == 0 and ints[TRACES] == NONE
    # Which arrays there are, the compiler has to see in a condition of its own.
    if w.ndim == 2:  # noqa: SIM102
        if plain:
            size = s.shape[2]
            through_rows(
                first, last, mode == LEARN, coef, s, cur * size, (1 - cur) * size, g,
                q * size, a, w, p, v, mass, implicit, moving,
            )  # fmt: skip
            return
    if tails is not None:
        if are_tiled(tiles):
            through_tiles(
                q, first, last, mode, cur, 1 - cur, ints, moving, a, coef, s, g, w, p, v, tiles
            )
            return
        if plain and mode == LEARN and mass != GROWING:
            _plain_arcs(
                first, last, q, cur, ints, moving, a, coef, force, g, w, p, v, starts, tails, both
            )
            return
    for i in range(first, last):
        if law == LEAST_ACTION:
            _pull(
                i, mode, cur, ints, signs, stiffness, acts, arcs, gains, coef, s, error, w, starts,
                tails, both, turned,
            )  # fmt: skip
        if mode == FORWARD:
            continue
        if w.ndim == 2:
            size, known = m, arcs[i] if arcs.size > 0 else arcs[0]
            row, p_row, v_row = w[i], p[i], v[i] if mass != CONSTANT else p[i]
        if tails is not None:
            at, end = starts[i], starts[i + 1]
            size, known, to = end - at, arcs[at:end], tails[at:end]
            row, p_row, v_row = w[at:end], p[at:end], v[at:end]
        f = force[q]
        if mode == LEARN:
            for j in range(size):
                f[j] = 0
        for t in range(streams):
            c = coef[t, i]
            if w.ndim == 2:
                send_back(row, c, g[q, t], m, known)
            if tails is not None:
                scatter(row, c, to, g[q, t], known)
            traced = ints[TRACES] != NONE and speeds[i] != np.inf
            if turned is not None:  # noqa: SIM102
                if traced:
                    _, turns, _, _, sides = turned
                    keep_e, pull_e = gains[signs, 0, i], gains[signs, 1, i] * slopes[t, i]
                    turn_e, swing_e = turns[signs, 0, i], turns[signs, 1, i] * slopes[t, i]
                    if w.ndim == 2:
                        own, side = e[2 * t, i], e[2 * t + 1, i]
                        turn_trace(own, side, keep_e, turn_e, pull_e, swing_e, s[cur, t], m, known)
                    if tails is not None:
                        own, side = e[2 * t, at:end], e[2 * t + 1, at:end]
                        turn_trace_of_arcs(
                            own, side, keep_e, turn_e, pull_e, swing_e, to, both[t], cur
                        )
                    if mode == LEARN:
                        add_force(lam[t, i], own, size, f)
                        add_force(sides[t, i], side, size, f)
                    continue
            if traced:
                keep_e, pull_e = gains[signs, 0, i], gains[signs, 1, i] * slopes[t, i]
                if w.ndim == 2:
                    keep_trace(e[t, i], keep_e, pull_e, s[cur, t], m, known)
                    if mode == LEARN:
                        add_force(lam[t, i], e[t, i], m, f)
                if tails is not None:
                    keep_trace_of_arcs(e[t, at:end], keep_e, pull_e, to, both[t], cur)
                    if mode == LEARN:
                        add_force(lam[t, i], e[t, at:end], size, f)
            elif mode == LEARN:
                if law == LEAST_ACTION:
                    c = number(c * share[t])
                if w.ndim == 2:
                    add_force(c, s[cur, t], m, f)
                if tails is not None:
                    gather_force(c, to, both[t], cur, f)
        if mode == LEARN:
            finish_force(row, decay, size, known, f)
            move(
                row, p_row, v_row, size, f, mass, implicit, keep, push, step, v_keep, v_gain, floor
            )
        if law == HAMILTONIAN:
            for t in range(streams):
                a[t, i] = activation(i, t, 1 - cur, m, arcs, s, w, starts, tails, both)


@inner
def move_neurons(
    first, last, ints, floats, signs, cur, tau, gains, s, lam, error, g, lx, total, tails, both,
    turned, is_gathered,
):  # fmt: skip
    """Gathers what neurons get back, unless that is done, and moves costates; under least action,
    states as well."""
    number = lam.dtype.type
    here, parts = ints[SOURCES] - ints[NEURONS], ints[PARTS]
    inertial, least_action = ints[INERTIAL] == 1, ints[LAW] == LEAST_ACTION
    instant = ints[INSTANT] == 1 or ints[TRACES] == INSTANTANEOUS
    friction = floats[NEURON_FRICTION]
    x_keep, heavy = number(1 / (1 + friction * tau)), number(tau / floats[NEURON_MASS])
    x_push = number(tau) * x_keep
    light = number(-math.expm1(-floats[NEURON_SPEED] * floats[STIFFNESS] * tau) / floats[STIFFNESS])
    for t in range(ints[STREAMS]):
        back = lam[t] if instant and not least_action else total[t]
        if not is_gathered:
            back[first:last] = 0
            for q in range(parts):
                add_and_clear(g[q, t, here + first : here + last], back[first:last])
            add(lx[t, first:last], back[first:last])
        if least_action:
            for i in range(first, last):
                force, x = back[i] - error[t, i], s[cur, t, here + i]
                if inertial:
                    lam[t, i] = x_keep * lam[t, i] - x_push * force
                    x += heavy * lam[t, i]
                else:
                    lam[t, i] = 0
                    x -= light * force
                say(i, t, 1 - cur, x, here, s, tails, both)
        elif instant:
            if turned is not None:
                turned[4][t, first:last] = 0
        else:
            for i in range(first, last):
                if turned is not None:
                    turn_costate(i, t, 2 + signs, back[i], gains, lam, turned)
                    continue
                keep, pull = gains[2 + signs, 0, i], gains[2 + signs, 1, i]
                plain = keep == 0 and pull == 1
                lam[t, i] = back[i] if plain else keep * lam[t, i] + pull * back[i]
