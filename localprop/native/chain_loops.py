"""The loops of `chain`, compiled by Numba: import it late, for Numba takes its time.

Numbers that loops are given as an array `constants` have the precision of the weights: a literal
would make float64 of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import overload

from .codes import (
    ADAPTIVE,
    BLOCK,
    GROWING,
    HUBER,
    IDENTITY,
    LANES,
    LOGISTIC,
    RELU,
    SILU,
    SOFTPLUS,
    SQUARED,
    TANH,
)
from .jit import jit
from .lanes import plain, products

# Places in `constants`. TINY is the smallest normal number: what is below it is 0, as under XLA,
# for arithmetic with subnormal numbers takes a hundred times as long. NIL is 0, and the compiler
# does not know it: times it, what is not finite is NaN, where it would make 0 of `a - a`.
LOSS_SETTING, DISSIPATION, DECAY, FLOOR, RATE, WEIGHT_DECAY, TINY, LOWEST, NIL = range(9)


def exponentials(a: Any, out: Any, bits: Any) -> None:
    """Writes $e^a$ of a vector to `out`; `bits` is room for as many 32-bit integers."""


@overload(exponentials)
def _exponentials(a: Any, out: Any, bits: Any) -> Any:
    if str(a.dtype) != "float32":

        def double(a: Any, out: Any, bits: Any) -> None:
            for k in range(len(a)):
                out[k] = math.exp(a[k])

        return double

    def single(a: Any, out: Any, bits: Any) -> None:
        # e^a = 2^n e^r with |r| <= ln 2 / 2, e^r by a polynomial (Cephes, expf), within 2 ulp. In
        # loops that the compiler can turn into vector instructions, other than a call per number.
        for k in range(len(a)):
            y = min(max(a[k], np.float32(-87.0)), np.float32(88.0))
            n = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
            r = y - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
            p = np.float32(1.9875691500e-4)
            p = p * r + np.float32(1.3981999507e-3)
            p = p * r + np.float32(8.3334519073e-3)
            p = p * r + np.float32(4.1665795894e-2)
            p = p * r + np.float32(1.6666665459e-1)
            p = p * r + np.float32(5.0000001201e-1)
            out[k] = p * r * r + r + np.float32(1.0) + (a[k] - a[k])  # NaN stays NaN
            bits[k] = (np.int32(n) + np.int32(127)) << np.int32(23)
        powers = bits.view(np.float32)
        for k in range(len(a)):
            out[k] *= powers[k]

    return single


@jit(fast=True, inner=True)
def activate(kind: int, a: Any, x: Any, slope: Any, bits: Any) -> None:
    """Writes $\\sigma(a)$ and $\\sigma'(a)$ of a vector."""
    one = a.dtype.type(1)
    half = a.dtype.type(0.5)
    if kind == IDENTITY:
        for k in range(len(a)):
            x[k] = a[k]
            slope[k] = one
    elif kind in (SILU, LOGISTIC):
        for k in range(len(a)):
            slope[k] = -a[k]
        exponentials(slope, x, bits)
        for k in range(len(a)):
            s = one / (one + x[k])
            logistic = kind == LOGISTIC
            x[k] = s if logistic else a[k] * s
            slope[k] = s * (one - s) if logistic else s * (one + a[k] * (one - s))
    elif kind == RELU:
        for k in range(len(a)):
            x[k] = max(a[k], a.dtype.type(0))
            slope[k] = one if a[k] > 0 else a.dtype.type(0)
    elif kind == TANH:
        for k in range(len(a)):
            x[k] = math.tanh(a[k])
            slope[k] = one - x[k] * x[k]
    elif kind == SOFTPLUS:
        for k in range(len(a)):
            small = a.dtype.type(math.exp(-abs(a[k])))
            x[k] = max(a[k], a.dtype.type(0)) + a.dtype.type(math.log1p(small))
            slope[k] = (one if a[k] >= 0 else small) / (one + small)
    else:
        c = a.dtype.type(0.7978845608028654)  # sqrt(2 / pi)
        cube = a.dtype.type(0.044715)
        three = a.dtype.type(3)
        for k in range(len(a)):
            square = a[k] * a[k]
            t = a.dtype.type(math.tanh(c * a[k] * (one + cube * square)))
            x[k] = half * a[k] * (one + t)
            inner = c * (one + three * cube * square)
            slope[k] = half * (one + t) + half * a[k] * (one - t * t) * inner


@jit(fast=True, inner=True)
def force(
    d: Any, to: int, rows: int, neurons: int, x: Any, of: int, step: int, n: int, f: Any, live: int
) -> None:
    """Writes $f_{ij} = \\sum_s \\sigma'_{is}\\lambda_{is} x_{sj}$ of `rows` neurons.

    **Arguments:** flat arrays. `d`: $\\sigma'\\lambda$, a row of `neurons` for each stream, from
    column `to` on; `x`: a row of `step` for each stream, of which `n` columns from `of` on are
    read; `f`: a row of `n` for each neuron, and room for eight more; `live`: how many streams.
    """
    one = plain(1)
    # From the last columns back: what lies beyond a row's end is written over later.
    for i in range(0, rows, LANES):
        some = min(LANES, rows - i)
        for j in range((n - 1) // LANES * LANES, -1, -LANES):
            products(d, to + i, some, one, live, neurons, x, of + j, step, f, i * n + j, n)


@jit(fast=True, inner=True)
def move(mass: int, c: Any, tau: Any, f: Any, w: Any, p: Any, v: Any) -> Any:
    """Moves weights for a hop under the force `f`; returns 0, or NaN if one is not finite."""
    one = w.dtype.type(1)
    zero = w.dtype.type(0)
    keep = max(one - c[DISSIPATION] * tau, zero)
    tiny, decay = c[TINY], c[WEIGHT_DECAY]
    check, nil = zero, c[NIL]
    if mass == ADAPTIVE:
        hold = w.dtype.type(math.exp(-c[DECAY] * tau))
        rest, floor, step = one - hold, c[FLOOR], tau * c[RATE]
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            square = hold * v[j] + rest * (g * g)
            square = square if square > tiny else square * nil
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * nil
            v[j], p[j] = square, push
            w[j] += step * push / (np.sqrt(square) + floor)
            check += (square + push + w[j]) * nil
    elif mass == GROWING:
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            square = v[j] + tau * (g * g)
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * nil
            v[j], p[j] = square, push
            w[j] += tau * push * c[RATE] / (one + square * c[FLOOR])
            check += (square + push + w[j]) * nil
    else:
        step = tau * c[RATE]
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * nil
            p[j] = push
            w[j] += step * push
            check += (push + w[j]) * nil
    return check


@jit(fast=True, inner=True)
def loss_slope(
    kind: int, c: Any, share: Any, x: Any, z: Any, out: Any, room: Any, bits: Any
) -> None:
    """Writes $L_x$ of eight streams times their share; arrays have an output's lanes side by side.

    **Arguments:** `room`: for as many numbers, and three lanes more.
    """
    one, zero = x.dtype.type(1), x.dtype.type(0)
    count = len(x)
    if kind == SQUARED:
        for k in range(count):
            e = x[k] - z[k]
            out[k] = share * c[LOSS_SETTING] * e if z[k] == z[k] else zero
    elif kind == HUBER:
        for k in range(count):
            e = x[k] - z[k]
            near = min(max(e, -c[LOSS_SETTING]), c[LOSS_SETTING]) + x[k] * c[NIL]
            out[k] = share * near if z[k] == z[k] else zero
    else:
        most, known, every = room[count:], room[count + LANES :], room[count + 2 * LANES :]
        for s in range(LANES):
            most[s], known[s], every[s] = c[LOWEST], zero, zero
        for k in range(0, count, LANES):
            for s in range(LANES):
                exists = z[k + s] == z[k + s]
                most[s] = max(most[s], x[k + s]) if exists else most[s]
                known[s] += one if exists else zero
        for k in range(0, count, LANES):
            for s in range(LANES):
                room[k + s] = x[k + s] - most[s] if z[k + s] == z[k + s] else c[LOWEST]
        exponentials(room[:count], out, bits)
        for k in range(0, count, LANES):
            for s in range(LANES):
                out[k + s] = out[k + s] if z[k + s] == z[k + s] else zero
                every[s] += out[k + s]
        # q = (1 - smoothing) z + smoothing / K; the slope is softmax * sum(q) - q.
        smooth, given = c[LOSS_SETTING], most
        for s in range(LANES):
            known[s] = smooth / max(known[s], one)
            every[s] = max(every[s], one)  # of a stream without a target there is none
            given[s] = zero
        for k in range(0, count, LANES):
            for s in range(LANES):
                exists = z[k + s] == z[k + s]
                room[k + s] = (one - smooth) * z[k + s] + known[s] if exists else zero
                given[s] += room[k + s]
        for k in range(0, count, LANES):
            for s in range(LANES):
                out[k + s] = share * (given[s] * (out[k + s] / every[s]) - room[k + s])


@jit(fast=True, inner=True)
def forward(
    sizes: Any,
    kinds: Any,
    w: Any,
    source: Any,
    states: Any,
    a: Any,
    x: Any,
    d: Any,
    groups: int,
    bits: Any,
) -> None:
    """Writes what `states` and inputs drive: activations `a`, $\\sigma(a)$, $\\sigma'(a)$.

    Where `states` is `x` itself everything settles.

    **Arguments:** `sizes`: of the input and of the layers; `kinds`: activations; `w`: all weights,
    layer by layer the matrix and then the biases; all others flat, in lanes: `source`: inputs, and
    neurons, group by group of eight streams; `groups`: how many.
    """
    neurons, one, step = 0, plain(1), plain(LANES)
    for layer in range(len(kinds)):
        neurons += sizes[layer + 1]
    at, first = 0, 0
    for layer in range(len(kinds)):
        n, m = sizes[layer], sizes[layer + 1]
        bias = at + m * n
        for group in range(groups):
            low = (group * neurons + first) * LANES
            below = source if layer == 0 else states
            of = group * n * LANES if layer == 0 else low - n * LANES
            products(w, at, m, n, n, one, below, of, step, a, low, step)
            for i in range(m):
                for s in range(LANES):
                    a[low + i * LANES + s] += w[bias + i]
            high = low + m * LANES
            activate(kinds[layer], a[low:high], x[low:high], d[low:high], bits)
        at = bias + m
        first += m


@jit(fast=True, inner=True)
def backward(
    sizes: Any, w: Any, costate: Any, pulled: Any, d: Any, neurons: int, groups: int
) -> None:
    """Makes $\\sigma'_i\\lambda_i$ of the slopes in `d`, and writes what it pulls back to `pulled`.

    Where `pulled` is `costate` itself everything below the outputs settles. In lanes as above.
    """
    layers, one, step = len(sizes) - 1, plain(1), plain(LANES)
    at, first = len(w), neurons
    for back in range(layers):
        layer = layers - 1 - back
        n, m = sizes[layer], sizes[layer + 1]
        at -= m * n + m
        first -= m
        for group in range(groups):
            low = (group * neurons + first) * LANES
            for k in range(low, low + m * LANES):
                d[k] *= costate[k]
            if layer > 0:
                products(w, at, n, one, m, n, d, low, step, pulled, low - n * LANES, step)


@jit(fast=True, inner=True)
def move_all(
    sizes: Any,
    mass: int,
    c: Any,
    tau: Any,
    state: Any,
    u: Any,
    x: Any,
    d: Any,
    neurons: int,
    live: int,
    f: Any,
) -> Any:
    """Moves every weight for a hop; returns 0, or NaN if one is not finite.

    **Arguments:** `u`, `x`, `d`: inputs, states and $\\sigma'\\lambda$, flat, a row for each
    stream, with room for eight numbers more; `neurons`: how many; `live`: streams with a target,
    the first ones; `f`: room for the force.
    """
    w, p, v = state[0], state[1], state[2]
    at, first, check = 0, 0, c[NIL]
    for layer in range(len(sizes) - 1):
        n, m = sizes[layer], sizes[layer + 1]
        block = max(1, BLOCK // n)
        below, of, step = (u, 0, n) if layer == 0 else (x, first - n, neurons)
        for i in range(0, m, block):
            rows = min(block, m - i)
            force(d, first + i, rows, neurons, below, of, step, n, f, live)
            here, many = at + i * n, rows * n
            if i + rows == m:  # and the biases, which follow the last row
                for k in range(m):
                    f[many + k] = 0
                for s in range(live):
                    for k in range(m):
                        f[many + k] += d[s * neurons + first + k]
                many += m
            there = here + many
            check += move(mass, c, tau, f, w[here:there], p[here:there], v[here:there])
        at += m * n + m
        first += m
    return check


@jit(fast=True, inner=True)
def by_row(x: Any, width: int, streams: int, rows: Any) -> None:
    """Writes what lies in lanes as a row for each stream."""
    for k in range(streams):
        low, row = k // LANES * width * LANES + k % LANES, k * width
        for i in range(width):
            rows[row + i] = x[low + i * LANES]


@jit(fast=True)
def learn(
    sizes: Any,
    kinds: Any,
    loss: int,
    mass: int,
    c: Any,
    plastic: int,
    state: Any,
    x_kept: Any,
    costate_kept: Any,
    u: Any,
    z: Any,
    duration: Any,
    hops: int,
    clock: Any,
    start: int,
    alone: bool,
    out: Any,
    slope: Any,
    query: Any,
    answers: Any,
    room: Any,
    bits: Any,
    order: Any,
) -> int:
    """Learns the samples from `start` on; returns the number of the first that does harm, or -1.

    **Arguments:** `sizes`, `kinds`: see `forward`; `loss`, `mass`: which; `c`: constants;
    `plastic`: hops in which weights move, after those in which everything settles; `state`:
    weights, momentum and the memory of the mass, `(3, weights)`; `x_kept`, `costate_kept`:
    `(S, neurons)`, written at the end; `u`: `(T, S, inputs)`; `z`: `(T, S, outputs)`; `duration`:
    of each sample, `(T,)`, with `hops` in it; `clock`: the time, `(1,)`; `alone`: whether only the
    first stream has a target and an output; `out`: the predictions, `(T, S, outputs)`; `slope`: of
    the loss of the first stream by its inputs, after a sample, `(T, inputs)`, or empty; `query`:
    `(T, inputs)`, what is to be answered after a sample, in `answers`, `(T, outputs)`; or both
    empty; `room`, `bits`, `order`: scratch arrays (`chain.scratch`).
    """
    streams, neurons = x_kept.shape
    inputs, outputs = sizes[0], sizes[len(sizes) - 1]
    top, w, dtype = neurons - outputs, state[0], state.dtype
    one = dtype.type(1)
    (
        a,
        d,
        x,
        costate,
        x_new,
        costate_new,
        source,
        target,
        u_rows,
        pulled,
        x_rows,
        d_rows,
        f,
        more,
    ) = room
    none = c[NIL]
    fault, seen = -1, 0
    nil, unit, step = plain(0), plain(1), plain(LANES)
    for t in range(start, len(u)):
        tau = duration[t] / dtype.type(hops)
        clock[0] += duration[t]
        live, first = nil, 0
        for s in range(1 if alone else streams):
            for k in range(outputs):
                if z[t, s, k] == z[t, s, k]:
                    order[live] = s
                    live += 1
                    break
        seen = live
        for s in range(out.shape[1]):
            place = -1
            for k in range(live):
                place = k if order[k] == s else place
            if place < 0:
                place, order[seen] = seen, s
                seen += 1
            first = place if s == 0 else first
        groups = (seen + LANES - 1) // LANES
        for k in range(seen):
            low = k // LANES * inputs * LANES + k % LANES
            for j in range(inputs):
                u_rows[k * inputs + j] = u[t, order[k], j]
                source[low + j * LANES] = u[t, order[k], j]
        share = one / dtype.type(max(live, 1))
        for hop in range(plastic):
            # At first all settle. Then weights have moved, and all read what was there before.
            x_to, costate_to = (x, costate) if hop == 0 else (x_new, costate_new)
            forward(sizes, kinds, w, source, x, a, x_to, d, groups, bits)
            by_row(x, neurons, seen, x_rows)
            if hop == 0:
                for k in range(seen):
                    if order[k] < out.shape[1]:
                        for i in range(outputs):
                            out[t, order[k], i] = x_rows[k * neurons + top + i]
            for group in range(groups):
                low, high = (group * neurons + top) * LANES, (group + 1) * neurons * LANES
                for s in range(LANES):
                    known = group * LANES + s < live
                    for k in range(outputs):
                        target[k * LANES + s] = (
                            z[t, order[group * LANES + s], k] if known else dtype.type(np.nan)
                        )
                loss_slope(loss, c, share, x[low:high], target, costate_to[low:high], more, bits)
            backward(sizes, w, costate, costate_to, d, neurons, groups)
            by_row(d, neurons, live, d_rows)
            check = move_all(sizes, mass, c, tau, state, u_rows, x_rows, d_rows, neurons, live, f)
            if hop > 0:
                x, x_new = x_new, x
                costate, costate_new = costate_new, costate
            for k in range(groups * neurons * LANES):
                check += (x[k] + costate[k]) * none
            if check != 0:
                fault = t
        if len(slope):
            n, m = sizes[0], sizes[1]
            group, lane = first // LANES, first % LANES
            low, of = group * neurons * LANES, group * n * LANES
            products(w, nil, m, n, n, unit, source, of, step, a, nil, step)
            for i in range(m):
                for s in range(LANES):
                    a[i * LANES + s] += w[m * n + i]
            activate(kinds[0], a[: m * LANES], x_new[: m * LANES], d[: m * LANES], bits)
            for k in range(m * LANES):
                d[k] *= costate[low + k] * dtype.type(max(live, 1))
            products(w, nil, n, unit, m, n, d, nil, step, pulled, nil, step)
            for j in range(n):
                slope[t, j] = pulled[j * LANES + lane]
        if len(query):
            for j in range(inputs):
                source[j * LANES] = query[t, j]  # the other lanes answer the sample again
            forward(sizes, kinds, w, source, x_new, a, x_new, d, unit, bits)
            for i in range(outputs):
                answers[t, i] = x_new[(top + i) * LANES]
        if fault >= 0:
            break
    if seen > 0:  # of the last sample alone, wherever the stream is cut
        for s in range(streams):
            for i in range(neurons):
                x_kept[s, i], costate_kept[s, i] = 0, 0
    for k in range(seen):
        low = k // LANES * neurons * LANES + k % LANES
        for i in range(neurons):
            x_kept[order[k], i] = x[low + i * LANES]
            costate_kept[order[k], i] = costate[low + i * LANES]
    return fault


@jit(fast=True)
def answer(sizes: Any, kinds: Any, w: Any, u: Any, out: Any, room: Any, bits: Any) -> None:
    """Writes what the network settles to under each input, `(T, outputs)`; arrays as above."""
    inputs, outputs, neurons = sizes[0], out.shape[1], 0
    for layer in range(1, len(sizes)):
        neurons += sizes[layer]
    a, d, x, source = room[0], room[1], room[4], room[6]
    for t in range(0, len(u), LANES):
        count = min(LANES, len(u) - t)
        for s in range(count):
            for j in range(inputs):
                source[j * LANES + s] = u[t + s, j]
        forward(sizes, kinds, w, source, x, a, x, d, plain(1), bits)
        for s in range(count):
            for k in range(outputs):
                out[t + s, k] = x[(neurons - outputs + k) * LANES + s]
