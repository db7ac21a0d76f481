"""Rows of a weight matrix, each read once and written once in a hop.

While a row is near, its part of the errors that go back, $\\lambda_i \\sigma'_i w_{ij}$, is added
up, weight, momentum and mass move, and the row's next activation $a_i = \\sum_j w_{ij} s_j$ is
taken: what sources say after a hop is known before it moves any weight.
"""

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


@apart
def settle_one(w, m, c, after, g):
    """Does `send_back`, and returns the `product` of the row with what comes after the hop."""
    total = w.dtype.type(0)
    for j in range(m):
        here = w[j]
        g[j] += c * here
        total += here * after[j]
    return total


@apart
def move_one(
    w, p, v, m, c, s, after, g, decay, mass, implicit, keep, push, step, v_keep, v_gain, floor
):  # fmt: skip
    """Does `send_back`, `add_force`, `finish_force` and `move` of one stream in one loop.

    Returns the `product` of the row, now moved, with what the sources say after the hop.
    """
    total = w.dtype.type(0)
    if mass == CONSTANT:
        for j in range(m):
            here = w[j]
            g[j] += c * here
            old = p[j]
            new = keep * old + push * (c * s[j] + decay * here)
            p[j] = new
            moved = here + step * (new if implicit else old)
            w[j] = moved
            total += moved * after[j]
    else:
        for j in range(m):
            here = w[j]
            g[j] += c * here
            f = c * s[j] + decay * here
            memory = v_keep * v[j] + v_gain * f * f
            v[j] = memory
            old = p[j]
            new = keep * old + push * f
            p[j] = new
            moved = here + step * (new if implicit else old) / (math.sqrt(memory) + floor)
            w[j] = moved
            total += moved * after[j]
    return total


@apart
def move_four(
    w0, w1, w2, w3, p0, p1, p2, p3, m, c0, c1, c2, c3, s, after, g, decay, implicit, keep, push,
    step,
):  # fmt: skip
    """Does `move_one` of four rows of constant mass, for which `s`, `after` and `g` come once."""
    a0 = a1 = a2 = a3 = w0.dtype.type(0)
    for j in range(m):
        source, then = s[j], after[j]
        here0, here1, here2, here3 = w0[j], w1[j], w2[j], w3[j]
        g[j] += (c0 * here0 + c1 * here1) + (c2 * here2 + c3 * here3)
        old0, old1, old2, old3 = p0[j], p1[j], p2[j], p3[j]
        new0 = keep * old0 + push * (c0 * source + decay * here0)
        new1 = keep * old1 + push * (c1 * source + decay * here1)
        new2 = keep * old2 + push * (c2 * source + decay * here2)
        new3 = keep * old3 + push * (c3 * source + decay * here3)
        p0[j], p1[j], p2[j], p3[j] = new0, new1, new2, new3
        here0 += step * (new0 if implicit else old0)
        here1 += step * (new1 if implicit else old1)
        here2 += step * (new2 if implicit else old2)
        here3 += step * (new3 if implicit else old3)
        w0[j], w1[j], w2[j], w3[j] = here0, here1, here2, here3
        a0 += here0 * then
        a1 += here1 * then
        a2 += here2 * then
        a3 += here3 * then
    return a0, a1, a2, a3


@apart
def move_two_adaptive(
    w0, w1, p0, p1, v0, v1, m, c0, c1, s, after, g, decay, implicit, keep, push, step, v_keep,
    v_gain, floor,
):  # fmt: skip
    """Does `move_one` of two rows of adaptive mass."""
    a0 = a1 = w0.dtype.type(0)
    for j in range(m):
        source, then, here0, here1 = s[j], after[j], w0[j], w1[j]
        g[j] += c0 * here0 + c1 * here1
        f0, f1 = c0 * source + decay * here0, c1 * source + decay * here1
        memory0 = v_keep * v0[j] + v_gain * f0 * f0
        memory1 = v_keep * v1[j] + v_gain * f1 * f1
        v0[j], v1[j] = memory0, memory1
        old0, old1 = p0[j], p1[j]
        new0, new1 = keep * old0 + push * f0, keep * old1 + push * f1
        p0[j], p1[j] = new0, new1
        here0 += step * (new0 if implicit else old0) / (math.sqrt(memory0) + floor)
        here1 += step * (new1 if implicit else old1) / (math.sqrt(memory1) + floor)
        w0[j], w1[j] = here0, here1
        a0 += here0 * then
        a1 += here1 * then
    return a0, a1
