"""The loops of `chain`, compiled by Numba: import it late, for Numba takes its time.

Numbers that loops are given as an array `constants` have the precision of the weights: a literal
would make float64 of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import overload

from .jit import jit

IDENTITY, TANH, LOGISTIC, SOFTPLUS, RELU, SILU, GELU = range(7)
SQUARED, HUBER, CROSS_ENTROPY = range(3)
CONSTANT, ADAPTIVE, GROWING = range(3)
# Places in `constants`. TINY is the smallest normal number: what is below it is 0, as under XLA,
# for arithmetic with subnormal numbers takes a hundred times as long.
LOSS_SCALE, DISSIPATION, DECAY, FLOOR, RATE, WEIGHT_DECAY, TINY, LOWEST, N_CONSTANTS = range(9)


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


@jit(fast=True)
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


@jit(fast=True)
def multiply(w: Any, b: Any, x: Any, of: int, a: Any, to: int, order: Any, count: int) -> None:
    """Writes $a_s = W x_s + b$ of the first `count` streams in `order`.

    What is read and written begins at column `of` of `x` and at column `to` of `a`: slices of
    columns would not be known to lie side by side, and cost the vector instructions.
    """
    m, n = w.shape
    for i in range(m):
        k = 0
        while k + 4 <= count:
            s0, s1, s2, s3 = order[k], order[k + 1], order[k + 2], order[k + 3]
            a0 = a1 = a2 = a3 = w.dtype.type(0)
            for j in range(n):
                a0 += w[i, j] * x[s0, of + j]
                a1 += w[i, j] * x[s1, of + j]
                a2 += w[i, j] * x[s2, of + j]
                a3 += w[i, j] * x[s3, of + j]
            a[s0, to + i] = a0 + b[i]
            a[s1, to + i] = a1 + b[i]
            a[s2, to + i] = a2 + b[i]
            a[s3, to + i] = a3 + b[i]
            k += 4
        while k < count:
            s = order[k]
            total = w.dtype.type(0)
            for j in range(n):
                total += w[i, j] * x[s, of + j]
            a[s, to + i] = total + b[i]
            k += 1


@jit(fast=True)
def pull_back(w: Any, d: Any, of: int, g: Any, to: int, order: Any, count: int) -> None:
    """Writes $g_s = W^\\top d_s$ of the first `count` streams in `order`, columns as above."""
    m, n = w.shape
    for k in range(count):
        s = order[k]
        for j in range(n):
            g[s, to + j] = 0
        i = 0
        while i + 4 <= m:
            d0, d1 = d[s, of + i], d[s, of + i + 1]
            d2, d3 = d[s, of + i + 2], d[s, of + i + 3]
            for j in range(n):
                g[s, to + j] += (d0 * w[i, j] + d1 * w[i + 1, j]) + (
                    d2 * w[i + 2, j] + d3 * w[i + 3, j]
                )
            i += 4
        while i < m:
            for j in range(n):
                g[s, to + j] += d[s, of + i] * w[i, j]
            i += 1


@jit(fast=True)
def force(d: Any, i: int, x: Any, of: int, f: Any, order: Any, count: int) -> None:
    """Writes $f_j = \\sum_s d_{si} x_{sj}$ over the first `count` streams in `order`."""
    n = len(f)
    for j in range(n):
        f[j] = 0
    k = 0
    while k + 4 <= count:
        s0, s1, s2, s3 = order[k], order[k + 1], order[k + 2], order[k + 3]
        d0, d1, d2, d3 = d[s0, i], d[s1, i], d[s2, i], d[s3, i]
        for j in range(n):
            f[j] += (d0 * x[s0, of + j] + d1 * x[s1, of + j]) + (
                d2 * x[s2, of + j] + d3 * x[s3, of + j]
            )
        k += 4
    while k < count:
        s = order[k]
        for j in range(n):
            f[j] += d[s, i] * x[s, of + j]
        k += 1


@jit(fast=True)
def move(mass: int, c: Any, tau: Any, f: Any, w: Any, p: Any, v: Any) -> Any:
    """Moves weights for a hop under the force `f`; returns 0, or NaN if one is not finite."""
    one = w.dtype.type(1)
    zero = w.dtype.type(0)
    keep = max(one - c[DISSIPATION] * tau, zero)
    tiny, decay = c[TINY], c[WEIGHT_DECAY]
    check = zero
    if mass == ADAPTIVE:
        hold = w.dtype.type(math.exp(-c[DECAY] * tau))
        rest, floor, step = one - hold, c[FLOOR], tau * c[RATE]
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            square = hold * v[j] + rest * (g * g)
            square = square if square > tiny else square * zero
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * zero
            v[j], p[j] = square, push
            w[j] += step * push / (np.sqrt(square) + floor)
            check += (square - square) + (push - push) + (w[j] - w[j])
    elif mass == GROWING:
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            square = v[j] + tau * (g * g)
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * zero
            v[j], p[j] = square, push
            w[j] += tau * push * c[RATE] / (one + square / c[FLOOR])
            check += (square - square) + (push - push) + (w[j] - w[j])
    else:
        step = tau * c[RATE]
        for j in range(len(w)):
            g = f[j] + decay * w[j]
            push = keep * p[j] - tau * g
            push = push if abs(push) > tiny else push * zero
            p[j] = push
            w[j] += step * push
            check += (push - push) + (w[j] - w[j])
    return check


@jit(fast=True)
def loss_slope(
    kind: int, c: Any, x: Any, z: Any, share: Any, out: Any, room: Any, bits: Any
) -> Any:
    """Writes $L_x$ of one stream, times its share."""
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    if kind == SQUARED:
        for k in range(len(x)):
            e = x[k] - z[k]
            out[k] = share * c[LOSS_SCALE] * e if z[k] == z[k] else zero
    elif kind == HUBER:
        for k in range(len(x)):
            e = x[k] - z[k]
            near = min(max(e, -c[LOSS_SCALE]), c[LOSS_SCALE]) + (x[k] - x[k])
            out[k] = share * near if z[k] == z[k] else zero
    else:
        known, most, given, every = zero, c[LOWEST], zero, zero
        for k in range(len(x)):
            if z[k] == z[k]:
                known += one
                most = max(most, x[k])
        smooth = c[LOSS_SCALE] / max(known, one)
        for k in range(len(x)):
            room[k] = x[k] - most if z[k] == z[k] else c[LOWEST]
        exponentials(room, out, bits)
        for k in range(len(x)):
            exists = z[k] == z[k]
            out[k] = out[k] if exists else zero
            every += out[k]
            room[k] = (one - c[LOSS_SCALE]) * z[k] + smooth if exists else zero
            given += room[k]
        for k in range(len(x)):
            out[k] = share * (given * (out[k] / every) - room[k])


@jit(fast=True)
def forward(
    sizes: Any, kinds: Any, w: Any, u: Any, x: Any, a: Any, d: Any, order: Any, seen: int, bits: Any
) -> None:
    """Lets the streams settle: writes states, activations and slopes of every layer.

    **Arguments:** `sizes`: of the input and of the layers; `kinds`: activations; `w`: all weights,
    layer by layer the matrix and then the biases; `u`: `(S, inputs)`; `x`, `a`, `d`:
    `(S, neurons)`; `order`: the streams, of which the first `seen` settle.
    """
    at, first = 0, 0
    for layer in range(len(kinds)):
        n, m = sizes[layer], sizes[layer + 1]
        matrix, bias = w[at : at + m * n].reshape(m, n), w[at + m * n : at + m * n + m]
        if layer == 0:
            multiply(matrix, bias, u, 0, a, first, order, seen)
        else:
            multiply(matrix, bias, x, first - n, a, first, order, seen)
        last = first + m
        for k in range(seen):
            s = order[k]
            activate(kinds[layer], a[s, first:last], x[s, first:last], d[s, first:last], bits[:m])
        at += m * n + m
        first += m


@jit(fast=True)
def backward(sizes: Any, w: Any, costate: Any, d: Any, g: Any, order: Any, live: int) -> None:
    """Lets the errors settle: from the slopes σ' in `d` and the costates of the outputs.

    It writes the costates of all other neurons and $d_i \\leftarrow \\sigma'_i\\lambda_i$ of all.
    """
    layers = len(sizes) - 1
    at, first = len(w), d.shape[1]
    for back in range(layers):
        layer = layers - 1 - back
        n, m = sizes[layer], sizes[layer + 1]
        at -= m * n + m
        first -= m
        for k in range(live):
            s = order[k]
            for i in range(first, first + m):
                d[s, i] *= costate[s, i]
        if layer > 0:
            matrix = w[at : at + m * n].reshape(m, n)
            pull_back(matrix, d, first, costate, first - n, order, live)


@jit(fast=True)
def move_all(
    sizes: Any,
    mass: int,
    c: Any,
    tau: Any,
    state: Any,
    u: Any,
    x: Any,
    d: Any,
    order: Any,
    live: int,
    f: Any,
) -> Any:
    """Moves every weight for a hop; returns 0, or NaN if one is not finite."""
    w, p, v = state[0], state[1], state[2]
    at, first, check = 0, 0, c[TINY] * 0
    for layer in range(len(sizes) - 1):
        n, m = sizes[layer], sizes[layer + 1]
        bias = at + m * n
        for i in range(m):
            row = slice(at + i * n, at + i * n + n)
            if layer == 0:
                force(d, first + i, u, 0, f[:n], order, live)
            else:
                force(d, first + i, x, first - n, f[:n], order, live)
            check += move(mass, c, tau, f[:n], w[row], p[row], v[row])
            total = c[TINY] * 0
            for k in range(live):
                total += d[order[k], first + i]
            f[n + i] = total
        here = slice(bias, bias + m)
        check += move(mass, c, tau, f[n : n + m], w[here], p[here], v[here])
        at = bias + m
        first += m
    return check


@jit(fast=True)
def learn(
    sizes: Any,
    kinds: Any,
    loss: int,
    mass: int,
    c: Any,
    plastic: int,
    state: Any,
    x: Any,
    costate: Any,
    u: Any,
    z: Any,
    tau: Any,
    start: int,
    alone: bool,
    out: Any,
    slope: Any,
) -> int:
    """Learns the samples from `start` on; returns the number of the first that does harm, or -1.

    **Arguments:** `sizes`, `kinds`: see `forward`; `loss`, `mass`: which; `c`: constants;
    `plastic`: hops in which weights move, after those in which everything settles; `state`:
    weights, momentum and the memory of the mass, `(3, weights)`; `x`, `costate`: `(S, neurons)`;
    `u`: `(T, S, inputs)`; `z`: `(T, S, outputs)`; `tau`: of each sample, `(T,)`; `alone`: whether
    only the first stream has a target and an output; `out`: the predictions, `(T, S, outputs)`;
    `slope`: of the loss of the first stream by its inputs, after a sample, `(T, inputs)`, or empty.
    """
    streams, neurons = x.shape
    outputs, layers = sizes[len(sizes) - 1], len(kinds)
    top = neurons - outputs
    widest = 0
    for layer in range(len(sizes)):
        widest = max(widest, sizes[layer])
    w, dtype = state[0], state.dtype
    a, d = np.empty_like(x), np.empty_like(x)
    x_new, costate_new = np.empty_like(x), np.empty_like(x)
    f, room = np.empty(2 * widest, dtype), np.empty(widest, dtype)
    bits, order = np.empty(widest, np.int32), np.empty(streams, np.int64)
    one, new = dtype.type(1), np.zeros(1, np.int64)
    for t in range(start, len(u)):
        live, seen = 0, 0
        for s in range(1 if alone else streams):
            for k in range(outputs):
                if z[t, s, k] == z[t, s, k]:
                    order[live] = s
                    live += 1
                    break
        seen = live
        for s in range(1 if alone else out.shape[1]):
            known = False
            for k in range(live):
                known = known or order[k] == s
            if not known:
                order[seen] = s
                seen += 1
        forward(sizes, kinds, w, u[t], x, a, d, order, seen, bits)
        for s in range(out.shape[1]):
            out[t, s] = x[s, top:]
        share = one / dtype.type(max(live, 1))
        for k in range(seen):
            costate[order[k]] = 0
        for k in range(live):
            s = order[k]
            loss_slope(
                loss,
                c,
                x[s, top:],
                z[t, s],
                share,
                costate[s, top:],
                room[:outputs],
                bits[:outputs],
            )
        backward(sizes, w, costate, d, f, order, live)
        check = move_all(sizes, mass, c, tau[t], state, u[t], x, d, order, live, f)
        for _ in range(1, plastic):
            # A hop under weights that have moved: all read what was there before it.
            at, first = 0, 0
            for layer in range(layers):
                n, m = sizes[layer], sizes[layer + 1]
                matrix, bias = w[at : at + m * n].reshape(m, n), w[at + m * n : at + m * n + m]
                if layer == 0:
                    multiply(matrix, bias, u[t], 0, a, first, order, live)
                else:
                    multiply(matrix, bias, x, first - n, a, first, order, live)
                last = first + m
                for k in range(live):
                    s = order[k]
                    activate(
                        kinds[layer],
                        a[s, first:last],
                        x_new[s, first:last],
                        d[s, first:last],
                        bits[:m],
                    )
                    for i in range(first, last):
                        d[s, i] *= costate[s, i]
                if layer > 0:
                    pull_back(matrix, d, first, costate_new, first - n, order, live)
                at += m * n + m
                first += m
            for k in range(live):
                s = order[k]
                loss_slope(
                    loss,
                    c,
                    x[s, top:],
                    z[t, s],
                    share,
                    costate_new[s, top:],
                    room[:outputs],
                    bits[:outputs],
                )
            check += move_all(sizes, mass, c, tau[t], state, u[t], x, d, order, live, f)
            for k in range(live):
                s = order[k]
                x[s] = x_new[s]
                costate[s] = costate_new[s]
        if len(slope):
            n, m = sizes[0], sizes[1]
            matrix, bias = w[: m * n].reshape(m, n), w[m * n : m * n + m]
            multiply(matrix, bias, u[t], 0, a, 0, new, 1)
            activate(kinds[0], a[0, :m], x_new[0, :m], d[0, :m], bits[:m])
            for i in range(m):
                d[0, i] *= costate[0, i] * dtype.type(max(live, 1))
            pull_back(matrix, d, 0, slope[t : t + 1], 0, new, 1)
        for k in range(seen):
            s = order[k]
            for i in range(neurons):
                check += (x[s, i] - x[s, i]) + (costate[s, i] - costate[s, i])
        if check != 0:
            return t
    return -1


@jit(fast=True)
def answer(sizes: Any, kinds: Any, w: Any, u: Any, out: Any) -> None:
    """Writes what the network settles to under each input, `(T, outputs)`."""
    neurons, outputs, widest = 0, out.shape[1], 0
    for layer in range(1, len(sizes)):
        neurons += sizes[layer]
        widest = max(widest, sizes[layer])
    x = np.empty((1, neurons), w.dtype)
    a, d = np.empty_like(x), np.empty_like(x)
    bits, order = np.empty(widest, np.int32), np.zeros(1, np.int64)
    for t in range(len(u)):
        forward(sizes, kinds, w, u[t : t + 1], x, a, d, order, 1, bits)
        out[t] = x[0, neurons - outputs :]
