"""The loops of `chain`, compiled by Numba: import it late, for Numba takes its time.

Numbers that loops are given as an array `constants` have the precision of the weights: a literal
would make float64 of them. What belongs to neurons is flat: layer by layer with room for `room`
streams, of which each has a row, its neurons and after them a 1, which biases are weights of, up
to a multiple of eight. `layers` has a row for each layer (`chain.places`).
"""

from __future__ import annotations

import math

from .barrier import wait
from .chain_neurons import (
    DECAY,
    DISSIPATION,
    FLOOR,
    NIL,
    RATE,
    TINY,
    WEIGHT_DECAY,
    activate,
    loss_slope,
)
from .codes import ADAPTIVE, FIRST, GROWING, LANES, LINE, LIVE, SEEN, STRETCH, TURNED
from .dense import copy
from .jit import apart, inner, kernel
from .lanes import add_forward, force, plain, pull_back
from .subnormal import back_to, without_subnormals


@apart
def move(mass, w, p, v, f, decay, keep, kick, tau, step, hold, rest, floor, tiny, nil):
    """Moves weights for a hop under the force `f`; returns 0, or NaN if one is not finite."""
    one = w.dtype.type(1)
    check = w.dtype.type(0)
    if mass == ADAPTIVE:
        for j in range(w.size):
            g = f[j] + decay * w[j]
            square = hold * v[j] + rest * (g * g)
            square = square if square > tiny else square * nil
            push = keep * p[j] - kick * g
            push = push if abs(push) > tiny else push * nil
            v[j], p[j] = square, push
            new = w[j] + step * push / (math.sqrt(square) + floor)
            w[j] = new
            check += (square + new) * nil
    elif mass == GROWING:
        for j in range(w.size):
            g = f[j] + decay * w[j]
            square = v[j] + tau * (g * g)
            push = keep * p[j] - kick * g
            push = push if abs(push) > tiny else push * nil
            v[j], p[j] = square, push
            new = w[j] + step * push / (one + square * floor)
            w[j] = new
            check += (square + new) * nil
    else:
        for j in range(w.size):
            push = keep * p[j] - kick * (f[j] + decay * w[j])
            push = push if abs(push) > tiny else push * nil
            p[j] = push
            new = w[j] + step * push
            w[j] = new
            check += new * nil
    return check


@inner
def part(k, threads, size):
    """Returns where the part of thread `k` begins; divisions take their time."""
    return k * size if threads == 1 else k * size // threads


@inner
def meet(met, threads, turn):
    """Does what `wait` does, without a call where there is nobody to wait for."""
    return turn if threads == 1 else wait(met, threads, turn)


@kernel
def forward(
    layers, kinds, w, awake, source, states, a, x, d, room, streams, thread, threads, met, turn
):
    """Writes what all neurons make of what is below them: activations, states, slopes.

    Where `states` is `x` itself every layer reads what the one below just became, and all settle.
    Of the inputs the first ones alone may be other than 0, `awake` of them. Returns the next turn:
    each of the `threads` takes some neurons of every layer.
    """
    one = w.dtype.type(1)
    for layer in range(len(layers)):
        n, m, width, lanes, at, below, own, first = layers[layer]
        low, of = first * room, source if layer == 0 else states
        high = low + streams * own
        # Whole blocks, so that sums do not hang on which zeros are known to be zeros.
        rows = min(n, max(awake + LANES - 1, LANES) // LANES * LANES) if layer == 0 else n
        bias, blocks = at + n * lanes, lanes // LANES
        begin, end = (
            part(thread, threads, blocks) * LANES,
            part(thread + 1, threads, blocks) * LANES,
        )
        add_forward(
            w, at, rows, bias, lanes, of, below * room, width, a, low, own, streams, begin, end
        )
        # Of a thread by itself all streams at once.
        pieces, size = (1, high - low) if threads == 1 else (streams, end - begin)
        for here in range(low + begin, low + begin + pieces * own, own):
            there = here + size
            activate(kinds[layer], a[here:there], x[here:there], d[here:there])
        if end == lanes:
            for k in range(low + m, high, own):
                x[k] = one
        turn = meet(met, threads, turn)
    return turn


@apart
def multiply(a, b):
    """Multiplies numbers by others, in place."""
    for k in range(a.size):
        a[k] *= b[k]


@apart
def added(a, b):
    """Returns the sum of all numbers of two arrays."""
    total = a.dtype.type(0)
    for k in range(a.size):
        total += a[k] + b[k]
    return total


@inner
def back_and_move(
    layers, mass, c, tau, keep, kick, w, p, v, awake, u, x, d, felt, costate, pulled, f, turned,
    room, streams, live, thread, threads, met, turn,
):  # fmt: skip
    """Moves every weight for a hop; returns 0, or NaN if one is not finite, and the next turn.

    Before the rows of a neuron move, it gets back what they pull, $\\sum_i w_{ji}
    \\sigma'_i\\lambda_i$. Where `pulled` is `costate` itself everything below the outputs settles.

    **Arguments:** `keep`, `kick`: of the momentum, and by how much a force moves it; `w`, `p`, `v`:
    weights, momenta, memories of the mass, flat; `awake`: inputs of which rows move, the first
    ones; `u`, `x`: inputs and states; `d`: slopes, which become $\\sigma'\\lambda$; `felt`: what of
    that the weights feel, or `d` itself; `f`, `turned`: room for the force, and to turn a matrix;
    `live`: streams whose force counts, the first ones; `thread` of `threads`, which take streams,
    and then rows, in parts; `met`, `turn`: for `wait`.
    """
    one, check = w.dtype.type(1), w.dtype.type(0)
    hold = w.dtype.type(math.exp(-c[DECAY] * tau))
    left, right = part(thread, threads, streams), part(thread + 1, threads, streams)
    for back in range(len(layers)):
        layer = len(layers) - 1 - back
        n, _, width, lanes, at, below, own, first = layers[layer]
        low, under = first * room, below * room
        multiply(d[low + left * own : low + right * own], costate[low + left * own :])
        turn = meet(met, threads, turn)
        of, moving = (u, awake) if layer == 0 else (x, n)
        stretch, blocks = max(STRETCH // lanes // LANES, 1) * LANES, n // LANES + 1
        j, last = part(thread, threads, blocks) * LANES, part(thread + 1, threads, blocks) * LANES
        while True:
            if moving <= j < n:
                j = n  # the biases, past what nothing comes from
            end = min(j + stretch, last, n + 1 if j >= moving or moving == n else moving)
            if j >= end:
                break
            for row in range(j, end, LANES):
                at_row, to = at + row * lanes, under + row
                if layer > 0 and row < n:
                    rows = min(LANES, n - row)
                    pull_back(
                        w, at_row, rows, lanes, d, low, own, pulled, to, width, streams, turned
                    )
                rows, to_row = min(LANES, end - row), (row - j) * lanes
                force(of, to, width, felt, low, own, rows, lanes, f, to_row, live)
            here, there = at + j * lanes, at + end * lanes
            check += move(
                mass, w[here:there], p[here:there], v[here:there], f, c[WEIGHT_DECAY], keep,
                kick, tau, tau * c[RATE], hold, one - hold, c[FLOOR], c[TINY], c[NIL],
            )  # fmt: skip
            j = end
        turn = meet(met, threads, turn)
    return check, turn


@inner
def places_of(z, alone, said, order):
    """Writes which streams take part, those with a target first; returns how many have one, how
    many take part, and the place of the first.

    **Arguments:** `z`: `(S, outputs)`; `alone`: whether only the first stream has a target; `said`:
    streams whose output is asked for, the first ones.
    """
    live = 0
    for s in range(1 if alone else z.shape[0]):
        for k in range(z.shape[1]):
            if z[s, k] == z[s, k]:
                order[live] = s
                live += 1
                break
    seen, first, known = live, 0, 0
    for s in range(said):
        if known < live and order[known] == s:
            known += 1
        else:
            order[seen] = s
            first = seen if s == 0 else first
            seen += 1
    return live, seen, first


@inner
def awake_of(u, order, seen, awake):
    """Returns how many of the first inputs there are beyond which none ever was other than 0."""
    for k in range(seen):
        row, total = u[order[k]], u.dtype.type(0)
        for j in range(awake, row.size):
            total += abs(row[j])
        if total != 0:
            for j in range(awake, row.size):
                awake = j + 1 if row[j] != 0 else awake
    return awake


@inner
def show(u, z, order, seen, live, below, wide, source, target):
    """Writes the inputs and targets of streams one behind the other; no target of those after the
    first `live`."""
    inputs, one, nan = u.shape[1], u.dtype.type(1), u.dtype.type(math.nan)
    for k in range(seen):
        copy(u[order[k]], source[k * below :])
        source[k * below + inputs] = one
        for i in range(z.shape[1]):
            target[k * wide + i] = z[order[k], i] if k < live else nan


@inner
def tell(x, order, seen, wide, out):
    """Writes the outputs that are asked for, `(S or 1, outputs)`; `x`: of the last layer."""
    for k in range(seen):
        if order[k] < len(out):
            copy(x[k * wide : k * wide + out.shape[1]], out[order[k]])


@inner
def unsound(layers, x, costate, room, begin, end, nil):
    """Returns 0, or NaN if a state or costate of some streams is not finite."""
    check = x.dtype.type(0)
    for layer in range(len(layers)):
        own, first = layers[layer, 6], layers[layer, 7] * room
        low, high = first + begin * own, first + end * own
        check += added(x[low:high], costate[low:high]) * nil
    return check


@inner
def slope_at_inputs(layers, w, d, slope, nil, unit, turned):
    """Writes $D_u^\\top\\lambda$ of a stream; `d`: $\\sigma'\\lambda$ of its first layer."""
    inputs, lanes, own = layers[0, 0], layers[0, 3], layers[0, 6]
    for j in range(0, inputs, LANES):
        rows = min(LANES, inputs - j)
        pull_back(w, j * lanes, rows, lanes, d, nil, own, slope, j, own, unit, turned)


@kernel
def learn(
    thread, threads, layers, kinds, loss, mass, c, plastic, state, awake, x_kept, costate_kept, u,
    z, duration, hops, clock, start, alone, out, slope, query, answers, arrays, order, shared,
):  # fmt: skip
    """Learns the samples from `start` on; returns the number of the first that does harm, or -1.

    No bit of what is learned hangs on how many threads there are.

    **Arguments:** `thread` of `threads`: each has rows of weights, and streams; `layers`, `kinds`:
    see above; `loss`, `mass`: which; `c`: constants; `plastic`: hops in which weights move, after
    those in which everything settles; `state`: weights, momentum and the memory of the mass, `(3,
    weights)`; `awake`: inputs whose weights move, `(1,)`; `x_kept`, `costate_kept`: `(S, neurons)`,
    written at the end; `u`: `(T, S, inputs)`; `z`: `(T, S, outputs)`; `duration`: of each sample,
    `(T,)`, with `hops` in it; `clock`: the time, `(1,)`; `alone`: whether only the first stream has
    a target and an output; `out`: the predictions, `(T, S, outputs)`; `slope`: of the loss of the
    first stream by its inputs, after a sample, `(T, inputs)`, or empty; `query`: `(T, inputs)`,
    what is to be answered after a sample, in `answers`, `(T, outputs)`; or both empty; `arrays`,
    `order`, `shared`: scratch (`chain.scratch`).
    """
    usual = without_subnormals()
    dtype, room, met, told = state.dtype, order.size, shared, shared[LINE:]
    w, p, v = state[0], state[1], state[2]
    a, d, x, costate, x_new, costate_new, source, target, more, f, turned, checks = arrays
    f, turned = f[f.size // threads * thread :], turned[TURNED * thread :]
    inputs, outputs, below = u.shape[2], z.shape[2], layers[0, 2]
    wide, top = layers[len(layers) - 1, 6], layers[len(layers) - 1, 7] * room
    one = dtype.type(1)
    fault, seen, nil, unit, turn = -1, 0, plain(0), plain(1), plain(1)
    by_itself = nil, unit, met, unit
    for t in range(start, len(u)):
        tau = duration[t] / dtype.type(hops)
        if thread == 0:
            clock[0] += duration[t]
            told[LIVE], told[SEEN], told[FIRST] = places_of(z[t], alone, out.shape[1], order)
            awake[0] = awake_of(u[t], order, told[SEEN], awake[0])
            show(u[t], z[t], order, told[SEEN], told[LIVE], below, wide, source, target)
        turn = meet(met, threads, turn)
        live, seen, first = told[LIVE], told[SEEN], told[FIRST]
        keep_p = max(one - c[DISSIPATION] * tau, dtype.type(0))
        share = one / dtype.type(max(live, 1))
        left, right = part(thread, threads, seen), part(thread + 1, threads, seen)
        low, high = top + left * wide, top + right * wide
        for hop in range(plastic):
            # At first all settle. Then weights have moved, and all read what was there before.
            x_to, costate_to = (x, costate) if hop == 0 else (x_new, costate_new)
            turn = forward(
                layers, kinds, w, awake[0], source, x, a, x_to, d, room, seen, thread, threads,
                met, turn,
            )  # fmt: skip
            loss_slope(
                loss, c, share, x[low:high], target[left * wide : right * wide],
                costate_to[low:high], wide, outputs, more[left * wide :],
            )  # fmt: skip
            check, turn = back_and_move(
                layers, mass, c, tau, keep_p, tau, w, p, v, awake[0], source, x, d, d, costate,
                costate_to, f, turned, room, seen, live, thread, threads, met, turn,
            )  # fmt: skip
            if hop == 0 and thread == 0:
                tell(x[top:], order, seen, wide, out[t])
            if hop > 0:
                x, x_new = x_new, x
                costate, costate_new = costate_new, costate
            checks[thread * LINE] = check + unsound(layers, x, costate, room, left, right, c[NIL])
            turn = meet(met, threads, turn)
            for k in range(threads):
                if checks[k * LINE] != 0:
                    fault = t
        if len(slope) and thread == 0:
            of, own = source[first * below :], layers[0, 6]
            forward(layers[:1], kinds, w, awake[0], of, x_new, a, x_new, d, room, unit, *by_itself)
            for k in range(own):
                d[k] *= costate[first * own + k] * dtype.type(max(live, 1))
            slope_at_inputs(layers, w, d, slope[t], nil, unit, turned)
        if len(query) and thread == 0:
            copy(query[t], source)
            forward(layers, kinds, w, inputs, source, x_new, a, x_new, d, room, unit, *by_itself)
            copy(x_new[top : top + outputs], answers[t])
        if fault >= 0:
            break
    if seen > 0 and thread == 0:  # of the last sample alone, wherever the stream is cut
        keep(layers, x, order, seen, room, x_kept)
        keep(layers, costate, order, seen, room, costate_kept)
    back_to(usual)
    return fault


@inner
def keep(layers, x, order, seen, room, kept):
    """Writes of every stream its neurons, `(S, neurons)`; 0 of one that did not take part."""
    for s in range(kept.shape[0]):
        for i in range(kept.shape[1]):
            kept[s, i] = 0
    for k in range(seen):
        to = 0
        for layer in range(len(layers)):
            m, own, first = layers[layer, 1], layers[layer, 6], layers[layer, 7]
            for i in range(m):
                kept[order[k], to + i] = x[first * room + k * own + i]
            to += m


@kernel
def answer(layers, kinds, w, u, out, arrays, order):
    """Writes what the network settles to under each input, `(T, outputs)`; arrays as above."""
    usual = without_subnormals()
    inputs, outputs, room, below = u.shape[1], out.shape[1], order.size, layers[0, 2]
    wide, top = layers[len(layers) - 1, 6], layers[len(layers) - 1, 7] * room
    a, d, x, source = arrays[0], arrays[1], arrays[4], arrays[6]
    by_itself = plain(0), plain(1), order, plain(1)
    for t in range(0, len(u), LANES):
        count = min(LANES, len(u) - t)
        for s in range(count):
            copy(u[t + s], source[s * below :])
            source[s * below + inputs] = w.dtype.type(1)
        forward(layers, kinds, w, inputs, source, x, a, x, d, room, count, *by_itself)
        for s in range(count):
            for k in range(outputs):
                out[t + s, k] = x[top + s * wide + k]
    back_to(usual)
