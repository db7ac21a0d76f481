"""Arcs into a neuron, each read once and written once in a hop.

What a source says and what it gets back lie side by side, so that both come from memory at once.
"""

from __future__ import annotations

from .jit import inner


@inner
def gathered(w, tails, pair):
    """Returns $\\sum_j w_j s_j$ over the arcs into a neuron.

    **Arguments:** `w`, `tails`: of its arcs; `pair`: `(sources, 2)`.
    """
    total = w.dtype.type(0)
    for k in range(tails.size):
        total += w[k] * pair[tails[k], 0]
    return total


@inner
def scatter(w, c, tails, pair):
    """Adds $c\\,w_j$ to what the sources get back."""
    for k in range(tails.size):
        pair[tails[k], 1] += c * w[k]


@inner
def gather_force(c, tails, pair, force):
    """Adds $c\\,s_j$ to the force on the arcs into a neuron."""
    for k in range(tails.size):
        force[k] += c * pair[tails[k], 0]
