"""What modes do in a sample, for `memory_loops`: states, traces, and the force on their weights.

A state, a costate and a trace are pairs, and turn as they decay (docs/laws.md, section 15). Rows of
traces, one for each feature, stream, part and mode, are read once and written once in a sample.
"""

from __future__ import annotations

import math

from .chain_loops import move, part
from .chain_neurons import DECAY, FLOOR, NIL, TINY, WEIGHT_DECAY
from .jit import apart, called
from .lanes import plain
from .memory_places import (
    DENSE,
    FREE,
    FREQUENCY,
    FRESH,
    GAIN,
    GAIN_SIDE,
    INPUTS,
    KEEP,
    KNOWN,
    LANED,
    LEAK,
    LEARNED,
    LEARNS,
    MODE,
    MODES,
    NEURONS,
    OWN,
    PLACE,
    PULL,
    PULL_SIDE,
    SIDE,
    SLOPES,
    SOURCE,
    SOURCES,
    SPEED,
    STATE,
    SWING,
    TRACE,
    VOICE,
    VOICES,
    WEIGHTS,
    WIDE,
)
from .oscillating import turned_leak


@called
def know(block, modes, w, lapse, known, every, begin, end):
    """Writes what a sample leaves of states and how features pull them, for some features.

    **Arguments:** `every`: whether of all modes, or of those alone whose speeds are learned.
    """
    lanes, leaks = block[LANED], block[LEARNED]
    for m in range(block[MODES]):
        mode = modes[block[MODE] + m]
        if mode[LEARNS] == 0 and not every:
            continue
        gain, gain_side = mode[GAIN], mode[GAIN_SIDE]
        to, size = block[KNOWN] + m * lanes, block[MODES] * lanes
        for i in range(begin, end):
            leak, turn = mode[LEAK], mode[FREQUENCY]
            if mode[LEARNS] != 0:
                leak *= math.exp(float(w[leaks + m * lanes + i]))
                turn += float(w[leaks + size + m * lanes + i])
            keep, side, pull, pull_side = turned_leak(leak, -turn, 1.0, 0.0, lapse)
            here = to + i
            known[here + KEEP * size], known[here + SIDE * size] = keep, side
            known[here + PULL * size] = pull * gain - pull_side * gain_side
            known[here + PULL_SIDE * size] = pull_side * gain + pull * gain_side
            known[here + SPEED * size] = leak


@apart
def advance(keep, side, pull, pull_side, y, h, h_side):
    """Moves states of modes towards what their features drive them to."""
    for i in range(y.size):
        now, other = h[i], h_side[i]
        h[i] = keep[i] * now - side[i] * other + pull[i] * y[i]
        h_side[i] = side[i] * now + keep[i] * other + pull_side[i] * y[i]


@apart
def follow(
    keep, side, speed, gain, gain_side, lapse, y, h, h_side, leak, leak_side, turn, turn_side, nil
):
    """Follows what states owe to leaks and frequencies; returns 0, or NaN if that is not finite.

    $Q \\leftarrow aQ + \\tau a\\,(D - h)\\,\\partial c$, by the states before the sample.
    """
    check = nil
    for i in range(y.size):
        lag, lag_side = gain * y[i] - h[i], gain_side * y[i] - h_side[i]
        by = lapse * (keep[i] * lag - side[i] * lag_side)
        by_side = lapse * (side[i] * lag + keep[i] * lag_side)
        a, b = leak[i], leak_side[i]
        now = keep[i] * a - side[i] * b + speed[i] * by
        other = side[i] * a + keep[i] * b + speed[i] * by_side
        leak[i], leak_side[i] = now, other
        a, b = turn[i], turn_side[i]
        swing, swing_side = keep[i] * a - side[i] * b + by_side, side[i] * a + keep[i] * b - by
        turn[i], turn_side[i] = swing, swing_side
        check += (now + other + swing + swing_side) * nil
    return check


@called
def advance_modes(block, modes, known, lapse, x, y, swing, fresh, nil, left, right):
    """Moves all modes of a block in some streams; returns 0, or NaN if one is not finite.

    **Arguments:** `x`: states, `(S, states)`; `y`: what the features are; `swing`: what states owe
    to speeds, or nothing of it; `fresh`: which streams begin anew.
    """
    lanes, count, check = block[LANED], block[MODES], nil
    size = count * lanes
    for s in range(left, right):
        feature = y[block[NEURONS] * len(x) + s * lanes :][:lanes]
        for m in range(count):
            at, first = block[KNOWN] + m * lanes, block[STATE] + m * lanes
            keep, side = known[at + KEEP * size :], known[at + SIDE * size :]
            h, h_side = x[s, first:], x[s, first + size :]
            mode = modes[block[MODE] + m]
            if swing.size > 0 and mode[LEARNS] != 0:
                of = block[SWING] + 4 * s * size + m * lanes
                for k in range(4 if fresh[s] != 0 else 0):
                    for i in range(of + k * size, of + k * size + lanes):
                        swing[i] = nil
                check += follow(
                    keep, side, known[at + SPEED * size :], y.dtype.type(mode[GAIN]),
                    y.dtype.type(mode[GAIN_SIDE]), lapse, feature, h, h_side, swing[of:],
                    swing[of + size :], swing[of + 2 * size :], swing[of + 3 * size :], nil,
                )  # fmt: skip
            advance(
                keep, side, known[at + PULL * size :], known[at + PULL_SIDE * size :], feature, h,
                h_side,
            )  # fmt: skip
    return check


@apart
def drift(keep, side, pull, pull_side, source, e, e_side):
    """Moves a row of traces towards what their arcs bring."""
    for j in range(source.size):
        a, b = e[j], e_side[j]
        e[j] = keep * a - side * b + pull * source[j]
        e_side[j] = side * a + keep * b + pull_side * source[j]


@apart
def credit(keep, side, pull, pull_side, source, e, e_side, back, back_side, f):
    """Does so, and adds to a force what the traces then are times an error."""
    for j in range(source.size):
        a, b = e[j], e_side[j]
        now, other = keep * a - side * b + pull * source[j], side * a + keep * b
        other += pull_side * source[j]
        e[j], e_side[j] = now, other
        f[j] += back * now + back_side * other


@apart
def owe(e, e_side, back, back_side, f):
    """Adds to a force what traces are times errors."""
    for j in range(f.size):
        f[j] += back[j] * e[j] + back_side[j] * e_side[j]


@apart
def owe_one(e, e_side, back, back_side, f):
    """Adds to a force what traces are times an error."""
    for j in range(f.size):
        f[j] += back * e[j] + back_side * e_side[j]


@called
def move_rows(mass, c, decay, tau, keep, hold, rates, w, p, v, f, at, inputs, wide, rows):
    """Moves rows of weights, and of biases behind them; returns 0, or NaN if one is not finite."""
    check, one = w.dtype.type(0), w.dtype.type(1)
    whole = rates[0] == rates[1]
    for k in range(1 if whole else 2 * rows):
        row, bias = k // 2 * wide, k % 2
        begin = row + bias * inputs
        end = rows * wide if whole else row + inputs + bias
        here, there = at + begin, at + end
        check += move(
            mass, w[here:there], p[here:there], v[here:there], f[begin:], decay, keep,
            tau, tau, tau * rates[bias], hold, one - hold, c[FLOOR], c[TINY], c[NIL],
        )  # fmt: skip
    return check


@called
def move_features(
    block, modes, mass, c, tau, keep, rates, w, p, v, known, e, work, felt, which, live,
    streams, begin, end, f, first,
):  # fmt: skip
    """Moves the weights of some features of modes; in the first hop traces move before.

    Returns 0, or NaN if a weight is not finite.
    """
    dtype = w.dtype.type
    check, hold = dtype(0), dtype(math.exp(-c[DECAY] * tau))
    lanes, wide, voices, count = block[LANED], block[WIDE], block[VOICES], block[MODES]
    size, felt_by = count * lanes, live * block[FREE]
    decay = c[WEIGHT_DECAY] * dtype(block[FREE])
    for i in range(begin, end if block[DENSE] != 0 else begin):
        for j in range(wide):
            f[j] = 0
        for s in range(streams):
            source = work[SOURCES][block[SOURCE] * streams + s * wide :][:wide]
            slope = work[SLOPES][block[NEURONS] * streams + s * lanes + i]
            rows, k = block[TRACE] + (i * streams + s) * 2 * voices * wide, which[PLACE, s]
            lam = block[STATE] * streams + k * block[OWN] + i
            if first and which[FRESH, s] != 0:
                for j in range(rows, rows + 2 * voices * wide):
                    e[j] = 0
            for m in range(count):
                voice = int(modes[block[MODE] + m, VOICE])
                if voice < 0:
                    continue
                at, of = block[KNOWN] + m * lanes + i, rows + voice * wide
                row, row_side = e[of : of + wide], e[of + voices * wide :]
                turn = known[at + KEEP * size], known[at + SIDE * size]
                pull = slope * known[at + PULL * size], slope * known[at + PULL_SIDE * size]
                if k >= felt_by:
                    if first:
                        drift(*turn, *pull, source, row, row_side)
                    continue
                back = felt[lam + m * lanes], felt[lam + size + m * lanes]
                if first:
                    credit(*turn, *pull, source, row, row_side, *back, f[:wide])
                else:
                    owe_one(row, row_side, *back, f[:wide])
        check += move_rows(
            mass, c, decay, tau, keep, hold, rates, w, p, v, f, block[WEIGHTS] + i * wide,
            block[INPUTS], wide, plain(1),
        )  # fmt: skip
    return check


@called
def move_speeds(
    block,
    modes,
    mass,
    c,
    tau,
    keep,
    rates,
    w,
    p,
    v,
    swing,
    felt,
    which,
    live,
    streams,
    thread,
    threads,
    f,
):
    """Moves leaks and frequencies of some modes; returns 0, or NaN if one is not finite."""
    dtype = w.dtype.type
    check, hold = dtype(0), dtype(math.exp(-c[DECAY] * tau))
    lanes, count = block[LANED], block[MODES]
    size, felt_by = count * lanes, live * block[FREE]
    decay, rows = c[WEIGHT_DECAY] * dtype(block[FREE]), 2 * count * (block[LEARNED] >= 0)
    for k in range(part(thread, threads, rows), part(thread + 1, threads, rows)):
        kind, m = k // count, k % count
        if modes[block[MODE] + m, LEARNS] == 0:
            continue
        for i in range(lanes):
            f[i] = 0
        for s in range(streams):
            place = which[PLACE, s]
            if place < felt_by:
                of = block[SWING] + (4 * s + 2 * kind) * size + m * lanes
                lam = block[STATE] * streams + place * block[OWN] + m * lanes
                owe(swing[of:], swing[of + size :], felt[lam:], felt[lam + size :], f[:lanes])
        own = rates[2 * (block[MODE] + m) + kind]
        check += move_rows(
            mass, c, decay, tau, keep, hold, own, w, p, v, f, block[LEARNED] + k * lanes, lanes,
            lanes, plain(1),
        )  # fmt: skip
    return check
