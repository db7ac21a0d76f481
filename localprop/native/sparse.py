"""Arcs into a neuron, each read once and written once in a hop.

What a source says and what it gets back lie side by side, so that both come from memory at once.
"""

from __future__ import annotations

import math

from .codes import CONSTANT
from .jit import apart


@apart
def gathered(w, tails, pair):
    """Returns $\\sum_j w_j s_j$ over the arcs into a neuron.

    **Arguments:** `w`, `tails`: of its arcs; `pair`: `(sources, 2)`.
    """
    total = w.dtype.type(0)
    for k in range(tails.size):
        total += w[k] * pair[tails[k], 0]
    return total


@apart
def scatter(w, c, tails, pair):
    """Adds $c\\,w_j$ to what the sources get back."""
    for k in range(tails.size):
        pair[tails[k], 1] += c * w[k]


@apart
def gather_force(c, tails, pair, force):
    """Adds $c\\,s_j$ to the force on the arcs into a neuron."""
    for k in range(tails.size):
        force[k] += c * pair[tails[k], 0]


@apart
def move_arcs(
    w, p, v, c, tails, pair, decay, mass, implicit, keep, push, step, v_keep, v_gain, floor
):  # fmt: skip
    """Does for the arcs into a neuron what `move_one` does for a row."""
    if mass == CONSTANT:
        for k in range(tails.size):
            j, here = tails[k], w[k]
            pair[j, 1] += c * here
            old = p[k]
            new = keep * old + push * (c * pair[j, 0] + decay * here)
            p[k] = new
            w[k] = here + step * (new if implicit else old)
    else:
        for k in range(tails.size):
            j, here = tails[k], w[k]
            pair[j, 1] += c * here
            f = c * pair[j, 0] + decay * here
            memory = v_keep * v[k] + v_gain * f * f
            v[k] = memory
            old = p[k]
            new = keep * old + push * f
            p[k] = new
            w[k] = here + step * (new if implicit else old) / (math.sqrt(memory) + floor)
