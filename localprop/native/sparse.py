"""Arcs into a neuron, each read once and written once in a hop.

What a source says before a hop and after it lies side by side, so that both come from memory at
once. What it gets back is elsewhere, and is added up in a loop of its own: nothing else in a row
waits for it, and goes several arcs at a time.
"""

from __future__ import annotations

import math

from .codes import CONSTANT
from .jit import apart


@apart
def gathered(w, tails, both, which):
    """Returns $\\sum_j w_j s_j$ over the arcs into a neuron.

    **Arguments:** `w`, `tails`: of its arcs; `both`: `(sources, 2)`; `which`: 0 or 1.
    """
    total = w.dtype.type(0)
    for k in range(tails.size):
        total += w[k] * both[tails[k], which]
    return total


@apart
def scatter(w, c, tails, g, arcs):
    """Adds $c\\,w_j$ to what the sources get back."""
    for k in range(tails.size):
        if arcs.size == 0 or arcs[k] & 4:
            g[tails[k]] += c * w[k]


@apart
def gather_force(c, tails, both, which, force):
    """Adds $c\\,s_j$ to the force on the arcs into a neuron."""
    for k in range(tails.size):
        force[k] += c * both[tails[k], which]


@apart
def keep_trace_of_arcs(e, keep, pull, tails, both, which):
    """Does for the arcs into a neuron what `keep_trace` does for a row."""
    for k in range(tails.size):
        e[k] = keep * e[k] + pull * both[tails[k], which]


@apart
def turn_trace_of_arcs(e, side, keep, turn, pull, swing, tails, both, which):
    """Does for the arcs into a neuron what `turn_trace` does for a row."""
    for k in range(tails.size):
        old, source = e[k], both[tails[k], which]
        e[k] = keep * old - turn * side[k] + pull * source
        side[k] = turn * old + keep * side[k] + swing * source


@apart
def move_arcs(
    w, p, v, c, tails, both, now, back, decay, mass, implicit, keep, push, step, v_keep, v_gain,
    floor,
):  # fmt: skip
    """Takes the arcs into a neuron through a hop, as `row_lanes` does a row.

    What goes back is left in `back`, an array as long as they are.
    """
    total = w.dtype.type(0)
    if mass == CONSTANT:
        for k in range(tails.size):
            j, here = tails[k], w[k]
            back[k] = c * here
            old = p[k]
            new = keep * old + push * (c * both[j, now] + decay * here)
            p[k] = new
            moved = here + step * (new if implicit else old)
            w[k] = moved
            total += moved * both[j, 1 - now]
    else:
        for k in range(tails.size):
            j, here = tails[k], w[k]
            back[k] = c * here
            f = c * both[j, now] + decay * here
            memory = v_keep * v[k] + v_gain * f * f
            v[k] = memory
            old = p[k]
            new = keep * old + push * f
            p[k] = new
            moved = here + step * (new if implicit else old) / (math.sqrt(memory) + floor)
            w[k] = moved
            total += moved * both[j, 1 - now]
    return total


@apart
def give_back(back, tails, g):
    """Adds what goes back over each arc to what its source gets."""
    for k in range(tails.size):
        g[tails[k]] += back[k]
