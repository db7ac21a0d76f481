"""What a hop does to a row of a weight matrix, a loop for each part of it."""

from __future__ import annotations

import math

from .codes import ADAPTIVE, CONSTANT
from .jit import apart


@apart
def copy(of, to):
    """Copies numbers into the beginning of others."""
    for k in range(of.size):
        to[k] = of[k]


@apart
def add(of, to):
    """Adds numbers to others."""
    for k in range(to.size):
        to[k] += of[k]


@apart
def add_and_clear(of, to):
    """Adds numbers to others; nothing is left of them."""
    for k in range(to.size):
        to[k] += of[k]
        of[k] = 0


@apart
def product(w, s, m, arcs):
    """Returns $\\sum_j w_j s_j$ over a row; where `arcs` is not empty, over the arcs that are."""
    total = w.dtype.type(0)
    if arcs.size == 0:
        for j in range(m):
            total += w[j] * s[j]
    else:
        for j in range(m):
            if arcs[j] & 1:
                total += w[j] * s[j]
    return total


@apart
def send_back(w, c, g, m, arcs):
    """Adds $c\\,w_j$ to what the sources get back."""
    if arcs.size == 0:
        for j in range(m):
            g[j] += c * w[j]
    else:
        for j in range(m):
            if arcs[j] & 4:
                g[j] += c * w[j]


@apart
def add_force(c, s, m, force):
    """Adds $c\\,s_j$ to the force on a row's weights."""
    for j in range(m):
        force[j] += c * s[j]


@apart
def keep_trace(e, keep, pull, s, m, arcs):
    """Moves the traces of a row, $e_j \\leftarrow \\text{keep}\\,e_j + \\text{pull}\\,s_j$."""
    if arcs.size == 0:
        for j in range(m):
            e[j] = keep * e[j] + pull * s[j]
    else:
        for j in range(m):
            if arcs[j] & 1:
                e[j] = keep * e[j] + pull * s[j]


@apart
def turn_trace(e, side, keep, turn, pull, swing, s, m, arcs):
    """Does what `keep_trace` does where traces are pairs."""
    for j in range(m):
        if arcs.size == 0 or arcs[j] & 1:
            old, source = e[j], s[j]
            e[j] = keep * old - turn * side[j] + pull * source
            side[j] = turn * old + keep * side[j] + swing * source


@apart
def finish_force(w, decay, m, arcs, force):
    """Adds the pull of weight decay, and takes away what is felt where nothing may move."""
    if arcs.size == 0:
        for j in range(m):
            force[j] += decay * w[j]
    else:
        for j in range(m):
            arc = arcs[j]
            f = force[j] if arc & 1 else w.dtype.type(0)
            force[j] = f + decay * w[j] if arc & 2 else w.dtype.type(0)


@apart
def move(w, p, v, m, force, mass, implicit, keep, push, step, v_keep, v_gain, floor):
    """Moves the weights of a row under a force.

    $v \\leftarrow k v + k' f^2$, $\\pi \\leftarrow \\text{keep}\\,\\pi + \\text{push}\\,f$,
    $w \\leftarrow w + \\text{step}\\,\\pi/m(v)$, with the new π, or the old one.
    """
    one = w.dtype.type(1)
    if mass == CONSTANT:
        for j in range(m):
            old = p[j]
            new = keep * old + push * force[j]
            p[j] = new
            w[j] += step * (new if implicit else old)
    elif mass == ADAPTIVE:
        for j in range(m):
            f = force[j]
            new_v = v_keep * v[j] + v_gain * f * f
            v[j] = new_v
            old = p[j]
            new = keep * old + push * f
            p[j] = new
            w[j] += step * (new if implicit else old) / (math.sqrt(new_v) + floor)
    else:
        for j in range(m):
            f = force[j]
            new_v = v_keep * v[j] + v_gain * f * f
            v[j] = new_v
            old = p[j]
            new = keep * old + push * f
            p[j] = new
            w[j] += step * (new if implicit else old) / (one + new_v * floor)
