"""The loops of `memory`, compiled by Numba: import it late, for Numba takes its time.

What belongs to streams is flat: block by block, a row for each stream. Modes keep the streams'
order; all that follows them in a sample has those with a target first, whose errors come back.
"""

from __future__ import annotations

import math

from .chain_loops import added, meet, part, places_of
from .chain_neurons import (
    DISSIPATION,
    LOSS_SETTING,
    NIL,
    activate,
)
from .codes import LANES, LINE, LIVE, TURNED
from .dense import copy
from .jit import called, kernel
from .lanes import plain, pull_back
from .losses import loss as loss_of
from .memory_back import go_back, judge
from .memory_modes import advance_modes, know
from .memory_places import (
    CHECKS,
    DENSE,
    ERRORS,
    ERRORS_NEXT,
    FEATURES,
    FED,
    FRESH,
    FROM,
    HERE,
    INNER,
    INNER_STEP,
    INPUTS,
    JUDGED,
    KIND,
    LANED,
    MASK,
    MODAL,
    NEURONS,
    NEXT,
    ORDER,
    OUTER,
    OUTER_STEP,
    OWN,
    PARENT,
    PLACE,
    RUN,
    SAYS,
    SLOPES,
    SOURCE,
    SOURCES,
    STATE,
    SUMS,
    TARGETS,
    TURN,
    WEIGHTS,
    WIDE,
)
from .subnormal import back_to, without_subnormals

NOTHING, LEARNT, ALL = range(3)
PIECE = 256  # features of all streams that a thread takes at once


@called
def read(block, of, base, u, to, place):
    """Writes what a block reads of a stream, times its mask, and the 1 of its biases."""
    j = place
    for outer in range(block[OUTER]):
        for inner in range(block[INNER]):
            first = base + block[FROM] + outer * block[OUTER_STEP] + inner * block[INNER_STEP]
            for r in range(block[RUN]):
                to[j + r] = of[first + r]
            j += block[RUN]
    if block[MASK] >= 0:
        mask = u[block[MASK] :]
        for r in range(block[INPUTS]):
            to[place + r] *= mask[r]
    to[place + block[INPUTS]] = 1


@called
def react(block, w, work, x, streams, thread, threads, met, turn):
    """Writes what a block makes of its sources: sums, features, slopes; returns the next turn.

    Each thread takes some features, and then some numbers of all streams: pieces of one size, for
    where a loop has its end numbers may be rounded otherwise.
    """
    inputs, wide, lanes = block[INPUTS], block[WIDE], block[LANED]
    of, to = block[SOURCE] * streams, block[NEURONS] * streams
    sources, a, turned = work[SOURCES], work[SUMS], work[TURN][thread * TURNED :]
    whole = lanes // LANES
    begin, end = part(thread, threads, whole) * LANES, part(thread + 1, threads, whole) * LANES
    if block[DENSE] != 0:
        for row in range(begin, end, LANES):
            rows = min(LANES, block[FEATURES] - row)
            at = block[WEIGHTS] + row * wide
            pull_back(w, at, rows, wide, sources, of, wide, a, to + row, lanes, streams, turned)
    else:
        for s in range(streams):
            for j in range(begin, min(end, inputs)):
                a[to + s * lanes + j] = sources[of + s * wide + j]
    turn = meet(met, threads, turn)
    pieces = (streams * lanes + PIECE - 1) // PIECE
    for k in range(part(thread, threads, pieces), part(thread + 1, threads, pieces)):
        here, there = to + k * PIECE, to + min((k + 1) * PIECE, streams * lanes)
        activate(block[KIND], a[here:there], x[here:there], work[SLOPES][here:there])
    return meet(met, threads, turn)


@called
def remember(
    blocks, modes, w, x, moved, u, lapse, changed, work, known, swing, which, nil, thread, threads,
    met, turn,
):  # fmt: skip
    """Moves all modes by what they read before the sample; returns 0, or NaN where what they owe
    to speeds is not finite, and the next turn.

    **Arguments:** `x`: states, `(S, states)`, which become `moved`; `u`: `(S, inputs)`; `lapse`:
    how long a sample lasts; `changed`: of what was known, `NOTHING`, `LEARNT` or `ALL`; where it is
    nothing only those modes move that feel an input.
    """
    streams, flat, inputs = len(x), x.reshape(-1), u.reshape(-1)
    states, check = x.shape[1], nil
    left, right = part(thread, threads, streams), part(thread + 1, threads, streams)
    for b in range(len(blocks)):
        block = blocks[b]
        if block[MODAL] != 0 and (changed != NOTHING or block[FED] != 0):
            for s in range(left, right):
                of, base = (inputs, s * u.shape[1]) if block[PARENT] < 0 else (flat, s * states)
                place = block[SOURCE] * streams + s * block[WIDE]
                read(block, of, base, u[s], work[SOURCES], place)
    turn = meet(met, threads, turn)
    for b in range(len(blocks)):
        block = blocks[b]
        if block[MODAL] != 0 and (changed != NOTHING or block[FED] != 0):
            lanes = block[LANED]
            if changed != NOTHING:
                begin, end = part(thread, threads, lanes), part(thread + 1, threads, lanes)
                know(block, modes, w, lapse, known, changed == ALL, begin, end)
            turn = react(block, w, work, work[HERE], streams, thread, threads, met, turn)
            check += advance_modes(
                block, modes, known, lapse, moved, work[HERE], swing, which[FRESH], nil, left, right
            )
    return check, meet(met, threads, turn)


@called
def sweep(blocks, w, x, u, here, to, work, order, whole, thread, threads, met, turn):
    """Takes what follows the modes forward; where `to` is `here` itself, until it settles.

    Returns the next turn.

    **Arguments:** `whole`: whether all of it, and not only what feels an input at once.
    """
    streams, flat, inputs = len(x), x.reshape(-1), u.reshape(-1)
    left, right = part(thread, threads, streams), part(thread + 1, threads, streams)
    for b in range(len(blocks)):
        block = blocks[b]
        if block[MODAL] == 0 and (whole or block[FED] != 0):
            for k in range(left, right):
                s, of, base = order[k], inputs, order[k] * u.shape[1]
                if block[PARENT] >= 0:
                    parent = blocks[block[PARENT]]
                    of, base = flat, s * x.shape[1]
                    if parent[MODAL] == 0:
                        of = here
                        base = parent[NEURONS] * streams + k * parent[LANED] - parent[STATE]
                read(
                    block, of, base, u[s], work[SOURCES], block[SOURCE] * streams + k * block[WIDE]
                )
            turn = meet(met, threads, turn)
            turn = react(block, w, work, to, streams, thread, threads, met, turn)
    return turn


@called
def tell(blocks, x, order, streams, out):
    """Writes the answers, the mean of those who say them, `(S, outputs)`."""
    said = 0
    for b in range(len(blocks)):
        block = blocks[b]
        if block[SAYS] != 0:
            said += 1
            for k in range(streams):
                of = block[NEURONS] * streams + k * block[LANED]
                for i in range(out.shape[1]):
                    before = out[order[k], i] if said > 1 else out.dtype.type(0)
                    out[order[k], i] = before + x[of + i]
    if said > 1:
        for s in range(streams):
            for i in range(out.shape[1]):
                out[s, i] /= out.dtype.type(said)


@called
def keep_features(blocks, x, order, streams, states, left, right):
    """Writes what follows the modes into the states of some streams."""
    for b in range(len(blocks)):
        block = blocks[b]
        if block[MODAL] == 0:
            for k in range(left, right):
                of = block[NEURONS] * streams + k * block[LANED]
                copy(x[of : of + block[FEATURES]], states[order[k], block[STATE] :])


@called
def keep_errors(blocks, errors, order, streams, live, kept):
    """Writes the errors of every stream; 0 of those without a target."""
    for k in range(streams):
        to = kept[order[k]]
        for b in range(len(blocks)):
            own, state = blocks[b, OWN], blocks[b, STATE]
            of = state * streams + k * own
            for i in range(own):
                to[state + i] = errors[of + i] if k < live else 0


@called
def begin_sample(z, begins, x, wide, target, which, told, nan):
    """Finds the order of the streams, shows their targets, and lets those rest that begin anew."""
    live, _, _ = places_of(z, False, len(z), which[ORDER])
    told[LIVE] = live
    for k in range(len(z)):
        s = which[ORDER, k]
        which[PLACE, s], which[FRESH, s] = k, 0
        for i in range(z.shape[1]):
            target[k * wide + i] = z[s, i] if k < live else nan
        if begins.size > 0 and begins[s]:
            which[FRESH, s] = 1
            for i in range(x.shape[1]):
                x[s, i] = 0


@kernel
def learn(
    thread, threads, blocks, modes, rates, c, loss, mass, plastic, hops, over, nothing, moving, x,
    costate, e, swing, moments, u, z, duration, weight, begins, out, losses, work, known, which,
    shared,
):  # fmt: skip
    """Learns samples; returns the number of the first that does harm, or -1.

    No bit of what is learned hangs on how many threads there are.

    **Arguments:** `thread` of `threads`; `blocks`, `modes`: `memory_places`; `rates`: of the
    weights and biases of each block; `c`: constants; `loss`, `mass`: which; `plastic`: of the
    `hops`, those in which weights move; `over`: samples of the mean of the weights, 0 for none;
    `nothing`: where zeros lie among weights; `moving`: weights, momenta, memories of the mass, the
    mean, `(4, weights)`; `x`, `costate`: `(S, states)`; `e`, `swing`: traces of weights and speeds;
    `moments`: the time, and samples in the mean; `u`, `z`, `duration`, `weight`, `begins`, `out`,
    `losses`: `MemoryState.learn`; what remains: scratch.
    """
    usual = without_subnormals()
    dtype, met, told = moving.dtype.type, shared, shared[LINE:]
    w, p, v, mean = moving[0], moving[1], moving[2], moving[3]
    here, later = work[HERE], work[NEXT]
    errors, errors_later = work[ERRORS], work[ERRORS_NEXT]
    streams, one, wide = len(x), dtype(1), plain(0)
    for b in range(len(blocks)):
        wide = max(wide, blocks[b, LANED] if blocks[b, JUDGED] != 0 else 0)
    fault, turn, live, samples, order = -1, plain(1), 0, moments[1], which[ORDER]
    begin, end = part(thread, threads, w.size), part(thread + 1, threads, w.size)
    none = weight[:0].reshape(-1)
    for t in range(len(u)):
        tau = duration[t] / dtype(hops)
        if thread == 0:
            moments[0] += duration[t]
            anew = begins[t] if len(begins) else begins.reshape(-1)
            begin_sample(z[t], anew, x, wide, work[TARGETS], which, told, dtype(math.nan))
        turn = meet(met, threads, turn)
        live = told[LIVE]
        changed = ALL if t == 0 or duration[t] != duration[t - 1] else LEARNT
        check, turn = remember(
            blocks, modes, w, x, x, u[t], duration[t], changed, work, known, swing, which, c[NIL],
            thread, threads, met, turn,
        )  # fmt: skip
        keep = max(one - c[DISSIPATION] * tau, dtype(0))
        share, own = one / dtype(max(live, 1)), weight[t] if len(weight) else none
        for hop in range(plastic):
            # At first all settle. Then weights have moved, and all read what was there before.
            to, back = (here, errors) if hop == 0 else (later, errors_later)
            turn = sweep(
                blocks, w, x, u[t], here, to, work, order, hop >= 0, thread, threads, met, turn
            )
            if hop == 0 and thread == 0:
                tell(blocks, here, order, streams, out[t])
            if thread == 0:
                judge(blocks, loss, c, share, here, back, work, own, order, streams, live)
            turn = meet(met, threads, turn)
            found, turn = go_back(
                blocks, modes, rates, mass, c, tau, keep, nothing, w, p, v, known, e, swing, u[t],
                work, back, errors, which, live, hop == 0, thread, threads, met, turn,
            )  # fmt: skip
            check += found
            if hop > 0:
                here, later = later, here
                errors, errors_later = errors_later, errors
            turn = meet(met, threads, turn)
        if len(losses) and thread == 0:
            total = 0.0
            for k in range(live):
                total += loss_of(loss, c[LOSS_SETTING], out[t, order[k]], z[t, order[k]])
            losses[t] = total / max(live, 1)
        left, right = part(thread, threads, streams), part(thread + 1, threads, streams)
        keep_features(blocks, here, order, streams, x, left, right)
        for k in range(left, right):
            check += added(x[order[k]], x[order[k]]) * c[NIL]
        for b in range(len(blocks)):
            low, high = part(thread, threads, live), part(thread + 1, threads, live)
            first, size = blocks[b, STATE] * streams, blocks[b, OWN]
            each = errors[first + low * size : first + high * size]
            check += added(each, each) * c[NIL]
        work[CHECKS][thread * LINE] = check
        turn = meet(met, threads, turn)
        for k in range(threads):
            if work[CHECKS][k * LINE] != 0:
                fault = t
        if over > 0:
            samples = min(samples + one, dtype(over))
            for k in range(begin, end):
                mean[k] += (w[k] - mean[k]) / samples
        if fault >= 0:
            break
    if thread == 0:
        moments[1] = samples
        keep_errors(blocks, errors, order, streams, live, costate)
    back_to(usual)
    return fault


@kernel
def answer(blocks, modes, c, w, x, moved, u, duration, out, work, known, which, shared):
    """Writes what the network answers to each row of inputs, `(T, S, outputs)`.

    **Arguments:** `moved`: room for states; the others as above.
    """
    usual = without_subnormals()
    streams, unit, still = len(x), plain(1), work[CHECKS][:0]
    for s in range(streams):
        which[ORDER, s] = s
    for t in range(len(u)):
        for b in range(len(blocks)):
            first, own = blocks[b, STATE], blocks[b, OWN]
            for s in range(streams if t == 0 or blocks[b, FED] != 0 else 0):
                copy(x[s, first : first + own], moved[s, first:])
        remember(
            blocks, modes, w, x, moved, u[t], w.dtype.type(duration), ALL if t == 0 else NOTHING,
            work, known, still, which, c[NIL], plain(0), unit, shared, unit,
        )  # fmt: skip
        here, order = work[HERE], which[ORDER]
        sweep(blocks, w, moved, u[t], here, here, work, order, t == 0, plain(0), unit, shared, unit)
        tell(blocks, here, order, streams, out[t])
    back_to(usual)
