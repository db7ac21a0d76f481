"""The loop over samples and hops, one for all storages of arcs."""

from __future__ import annotations

import math

import numpy as np

from .barrier import wait
from .codes import ADAPTIVE, CONSTANT, GROWING
from .dense import (
    add_force,
    finish_force,
    move,
    move_one,
    move_two,
    move_two_adaptive,
    product,
    send_back,
)
from .jit import inner, kernel
from .losses import loss, loss_slope, share_out
from .neurons import activated, finite, leak, squares
from .sparse import gather_force, gathered, move_arcs, scatter

FORWARD, SETTLE, LEARN = range(3)
HAMILTONIAN, LEAST_ACTION = range(2)
STEADY, EVERY, COSINE, BALL = range(4)  # policies: two signs for ever; flips; inside and outside
(
    STREAMS, NEURONS, SOURCES, INPUTS, HOPS, SETTLE_HOPS, BLIND, PARTS, LAW, POLICY, PERIOD,
    BY_SAMPLE, EXPONENTIAL, INSTANT, MASS, IMPLICIT, LOSS, RECORD_LOSS, RECORD_NORMS, AVERAGE,
    INERTIAL,
) = range(21)  # fmt: skip
(
    DURATION, X_SIGN, COSTATE_SIGN, FRICTION, OMEGA, RADIUS, SPEED, M, RATE, DECAY, FLOOR,
    WEIGHT_DECAY, LOSS_SETTING, COSTATE_FRICTION, STIFFNESS, NEURON_MASS, NEURON_FRICTION,
    NEURON_SPEED, OVER,
) = range(19)  # fmt: skip


@inner
def _activation(i, t, q, cur, m, arcs, s, g, w, starts, tails, pair):
    """Returns the activation of a neuron."""
    if g is not None:
        a = product(w[i], s[cur, t], m, arcs[i] if arcs.size > 0 else arcs[0])
    if tails is not None:
        at, end = starts[i], starts[i + 1]
        a = gathered(w[at:end], tails[at:end], pair[q, t])
    return a


@inner
def _relaxed(i, t, y, cur, here, signs, ints, gains, s):
    """Moves the state of a neuron towards its drive."""
    if ints[INSTANT] == 0 and gains[signs, 0, i] != 0:
        x = s[cur, t, here + i]
        s[1 - cur, t, here + i] = gains[signs, 0, i] * x + gains[signs, 1, i] * y
    else:
        s[1 - cur, t, here + i] = y


@inner
def _felt(
    i, t, q, a, mode, cur, ints, signs, stiffness, acts, gains, coef, s, lam, error
):  # fmt: skip
    """Takes a neuron through a hop, and returns the error that it passes to its parents."""
    here = ints[SOURCES] - ints[NEURONS]
    y, slope = activated(acts[i], a)
    if mode == FORWARD or ints[LAW] == HAMILTONIAN:
        _relaxed(i, t, y, cur, here, signs, ints, gains, s)
    if ints[LAW] == HAMILTONIAN:
        coef[q, t] = lam[t, i] * slope
    else:
        error[t, i] = stiffness * (y - s[cur, t, here + i])
        coef[q, t] = error[t, i] * slope
    return coef[q, t]


@inner
def _rows_by_two(
    first, last, q, mode, cur, ints, signs, moving, acts, arcs, gains, coef, s, lam, error, g, w,
    p, v,
):  # fmt: skip
    """Does what `_rows` does to the rows of one stream, none of which has a hole."""
    m, mass, implicit = ints[SOURCES], ints[MASS], ints[IMPLICIT] == 1
    keep, push, step, v_keep, v_gain, floor, decay, stiffness = moving
    none = np.int64(0)
    source, back = s[cur, none], g[q, none]
    a0 = a1 = w.dtype.type(0)
    if first < last:
        a0 = product(w[first], source, m, arcs[0])
    if first + 1 < last:
        a1 = product(w[first + 1], source, m, arcs[0])
    for i in range(first, last, 2):
        c0 = _felt(
            i, none, q, a0, mode, cur, ints, signs, stiffness, acts, gains, coef, s, lam, error
        )
        if i + 1 == last:
            v_row = v[i] if mass == ADAPTIVE else p[i]
            move_one(
                w[i], p[i], v_row, m, c0, source, back, decay, mass, implicit, keep, push, step,
                v_keep, v_gain, floor,
            )  # fmt: skip
            break
        k = i + 1
        c1 = _felt(
            k, none, q, a1, mode, cur, ints, signs, stiffness, acts, gains, coef, s, lam, error
        )
        # What is only read may stand where nothing is next.
        next0 = w[i + 2] if i + 2 < last else source
        next1 = w[i + 3] if i + 3 < last else source
        if mass == CONSTANT:
            a0, a1 = move_two(
                w[i], w[k], p[i], p[k], next0, next1, m, c0, c1, source, back, decay, implicit,
                keep, push, step,
            )  # fmt: skip
        else:
            a0, a1 = move_two_adaptive(
                w[i], w[k], p[i], p[k], v[i], v[k], next0, next1, m, c0, c1, source, back, decay,
                implicit, keep, push, step, v_keep, v_gain, floor,
            )  # fmt: skip


@inner
def _rows(
    first, last, q, mode, cur, ints, floats, signs, moving, acts, arcs, gains, share, coef, force,
    s, lam, error, g, w, p, v, starts, tails, pair,
):  # fmt: skip
    """Takes the rows of one part through a hop."""
    number = w.dtype.type
    streams, m = ints[STREAMS], ints[SOURCES]
    law, mass, implicit = ints[LAW], ints[MASS], ints[IMPLICIT] == 1
    keep, push, step, v_keep, v_gain, floor, decay, stiffness = moving
    if g is not None:  # noqa: SIM102
        if mode == LEARN and streams == 1 and arcs.size == 0 and mass != GROWING:
            _rows_by_two(
                first, last, q, mode, cur, ints, signs, moving, acts, arcs, gains, coef, s, lam,
                error, g, w, p, v,
            )  # fmt: skip
            return
    for i in range(first, last):
        if g is not None:
            size, known = m, arcs[i] if arcs.size > 0 else arcs[0]
            row, p_row, v_row = w[i], p[i], v[i] if mass != CONSTANT else p[i]
        if tails is not None:
            at, end = starts[i], starts[i + 1]
            size, known, to = end - at, arcs[at:end], tails[at:end]
            row, p_row, v_row = w[at:end], p[at:end], v[at:end]
        for t in range(streams):
            a = _activation(i, t, q, cur, m, arcs, s, g, w, starts, tails, pair)
            _felt(
                i, t, q, a, mode, cur, ints, signs, stiffness, acts, gains, coef, s, lam, error
            )  # fmt: skip
        if mode == FORWARD:
            continue
        if tails is not None:  # noqa: SIM102
            if mode == LEARN and streams == 1 and arcs.size == 0 and mass != GROWING:
                move_arcs(
                    row, p_row, v_row, coef[q, 0], to, pair[q, 0], decay, mass, implicit, keep,
                    push, step, v_keep, v_gain, floor,
                )  # fmt: skip
                continue
        f = force[q]
        if mode == LEARN:
            for j in range(size):
                f[j] = 0
        for t in range(streams):
            c = coef[q, t]
            if g is not None:
                send_back(row, c, g[q, t], m, known)
            if tails is not None:
                scatter(row, c, to, pair[q, t])
            if mode == LEARN:
                if law == LEAST_ACTION:
                    c = number(c * share[t])
                if g is not None:
                    add_force(c, s[cur, t], m, f)
                if tails is not None:
                    gather_force(c, to, pair[q, t], f)
        if mode == LEARN:
            finish_force(row, decay, size, known, f)
            move(
                row, p_row, v_row, size, f, mass, implicit, keep, push, step, v_keep, v_gain, floor
            )


@kernel
def _find_gains(ints, floats, speeds, duration, tau, gains):
    """Sets what states and costates keep, and how they are pulled, in the hops of a sample.

    Of states, in the first hop or forward, and in the others or backward; of costates, forward and
    backward.
    """
    number, exponential = gains.dtype.type, ints[EXPONENTIAL] == 1
    flips = ints[POLICY] != STEADY
    for i in range(speeds.size):
        c = speeds[i]
        if ints[LAW] == LEAST_ACTION:
            found = leak(c, 1.0, 0.0, tau, True)
            gains[0, 0, i], gains[0, 1, i] = number(found[0]), number(found[1])
            gains[1, 0, i], gains[1, 1, i] = number(found[0]), number(found[1])
            continue
        lapse, rest = (duration, 0.0) if ints[BY_SAMPLE] == 1 else (tau, tau)
        first = leak(c, floats[X_SIGN], 0.0, lapse, exponential)
        then = leak(c, -1.0 if flips else floats[X_SIGN], 0.0, rest, exponential)
        friction = floats[COSTATE_FRICTION]
        ahead = leak(c, -floats[COSTATE_SIGN], friction, tau, exponential)
        back = leak(c, 1.0 if flips else -floats[COSTATE_SIGN], friction, tau, exponential)
        gains[0, 0, i], gains[0, 1, i] = number(first[0]), number(first[1])
        gains[1, 0, i], gains[1, 1, i] = number(then[0]), number(then[1])
        gains[2, 0, i], gains[2, 1, i] = number(ahead[0]), number(ahead[1])
        gains[3, 0, i], gains[3, 1, i] = number(back[0]), number(back[1])


@kernel
def _moving(ints, floats, number, tau, x_sign, costate_sign):
    """Returns the numbers by which weights move in a hop."""
    mass = ints[MASS]
    if ints[LAW] == HAMILTONIAN:
        keep, push = max(1 - floats[FRICTION] * tau, 0.0), costate_sign * tau
    else:
        keep = 1 / (1 + floats[FRICTION] * tau)
        push = -tau * keep
    step, v_keep, v_gain, floor = x_sign * tau * floats[RATE], 1.0, tau, floats[FLOOR]
    if mass == CONSTANT:
        step = x_sign * tau / floats[M]
    elif mass == ADAPTIVE:
        v_keep = math.exp(-floats[DECAY] * tau)
        v_gain = 1 - v_keep
    return (
        number(keep), number(push), number(step), number(v_keep), number(v_gain), number(floor),
        number(floats[WEIGHT_DECAY]), number(floats[STIFFNESS]),
    )  # fmt: skip


@inner
def _move_neurons(
    first, last, ints, floats, signs, cur, tau, gains, s, lam, error, g, lx, pair, tails
):
    """Gathers what neurons get back, and moves costates; under least action, states as well."""
    number = lam.dtype.type
    here, parts = ints[SOURCES] - ints[NEURONS], ints[PARTS]
    friction = floats[NEURON_FRICTION]
    x_keep, heavy = number(1 / (1 + friction * tau)), number(tau / floats[NEURON_MASS])
    x_push = number(tau) * x_keep
    light = number(-math.expm1(-floats[NEURON_SPEED] * floats[STIFFNESS] * tau) / floats[STIFFNESS])
    for t in range(ints[STREAMS]):
        for i in range(first, last):
            back = number(0)
            for q in range(parts):
                if g is not None:
                    back += g[q, t, here + i]
                    g[q, t, here + i] = 0
                if tails is not None:
                    back += pair[q, t, here + i, 1]
                    pair[q, t, here + i, 1] = 0
            back += lx[t, i]
            if ints[LAW] == LEAST_ACTION:
                force, x = back - error[t, i], s[cur, t, here + i]
                if ints[INERTIAL] == 1:
                    lam[t, i] = x_keep * lam[t, i] - x_push * force
                    s[1 - cur, t, here + i] = x + heavy * lam[t, i]
                else:
                    lam[t, i] = 0
                    s[1 - cur, t, here + i] = x - light * force
            elif ints[INSTANT] == 1:
                lam[t, i] = back
            else:
                keep, pull = gains[2 + signs, 0, i], gains[2 + signs, 1, i]
                lam[t, i] = back if keep == 0 and pull == 1 else keep * lam[t, i] + pull * back
            if tails is not None:
                for q in range(parts):
                    pair[q, t, here + i, 0] = s[1 - cur, t, here + i]


@kernel
def _fill(x, s, here, g, pair, tails):
    """Puts states, and the constant input, among the sources; nothing has come back to them yet."""
    if g is not None:
        g[:] = 0
    for t in range(x.shape[0]):
        for j in range(here, here + x.shape[1]):
            s[0, t, j] = x[t, j - here]
        if tails is not None:
            for q in range(pair.shape[0]):
                for j in range(here + x.shape[1]):
                    pair[q, t, j, 0] = s[0, t, j]
                    pair[q, t, j, 1] = 0


@kernel
def _show(u, cur, s, pair, tails):
    """Puts an input among the sources."""
    for t in range(u.shape[0]):
        for j in range(u.shape[1]):
            s[0, t, j] = s[1, t, j] = u[t, j]
            if tails is not None:
                for q in range(pair.shape[0]):
                    pair[q, t, j, 0] = u[t, j]


@kernel
def _set_rest(cur, t, here, s, lam, pair, tails):
    """Puts states and costates of a stream at rest."""
    for i in range(lam.shape[1]):
        lam[t, i] = 0
        s[cur, t, here + i] = 0
        if tails is not None:
            for q in range(pair.shape[0]):
                pair[q, t, here + i, 0] = 0


@kernel
def _square(w, m, g, tails):
    """Returns the sum of squares of what is stored as weights are, row by row."""
    total = w.dtype.type(0)
    if g is not None:
        for i in range(w.shape[0]):
            total += squares(w[i], m)
    if tails is not None:
        total = squares(w, w.size)
    return total


@kernel
def _answer(i, t, law, cur, m, here, acts, arcs, s, g, w, starts, tails, pair):
    """Returns the state of a neuron, or under least action its drive."""
    if law == HAMILTONIAN:
        return s[cur, t, here + i]
    a = _activation(i, t, np.int64(0), cur, m, arcs, s, g, w, starts, tails, pair)
    return activated(acts[i], a)[0]


@kernel
def _answers(
    out, outputs, law, cur, m, here, acts, arcs, s, g, w, starts, tails, pair
):  # fmt: skip
    """Writes what the outputs say, `(streams, outputs)`."""
    for t in range(out.shape[0]):
        for o in range(outputs.size):
            out[t, o] = _answer(
                outputs[o], t, law, cur, m, here, acts, arcs, s, g, w, starts, tails, pair
            )


@kernel
def learn(
    thread, threads, samples, ints, floats, speeds, acts, outputs, arcs, arrived, state, gains,
    share, coef, force, shown, s, x, lam, error, g, lx, w, p, v, flat_w, flat_p, flat_v, mean,
    moments, hops_made, u, z, durations, weights, begins, out, losses, norms, watch, starts, tails,
    pair,
):  # fmt: skip
    """Learns samples, one after the other, up to the first that does harm.

    **Arguments:** `thread` of `threads`; `ints`, `floats`: by the names above; `state`: the sample
    that did harm, -1 where none did, or how many there are where it is not known which; `moments`:
    time, and samples in the mean of the weights; `watch`: whether weights are looked at after
    every sample.
    """
    number = w.dtype.type
    streams, n, m, hops = ints[STREAMS], ints[NEURONS], ints[SOURCES], ints[HOPS]
    here, parts, law = m - n, ints[PARTS], ints[LAW]
    low, high = thread * n // threads, (thread + 1) * n // threads
    # Not the constants 0 and 1, for which all that they are handed to would be compiled apart.
    turn, cur, clock, hop, before = np.int64(1), np.int64(0), moments[0], hops_made[0], np.nan
    ahead = back = _moving(ints, floats, number, 1.0, 1.0, 1.0)
    if thread == 0:
        _fill(x, s, here, g, pair, tails)
        state[0] = -1
    for k in range(samples):
        duration = floats[DURATION] if durations is None else np.float64(durations[k])
        tau = np.float64(number(duration / hops))
        if thread == 0:
            _show(u[k], cur, s, pair, tails)
            share_out(z[k], share)
            if begins is not None:
                for t in range(streams):
                    if begins[k, t] != 0:
                        _set_rest(cur, t, here, s, lam, pair, tails)
            if ints[INSTANT] == 0 and duration != before:
                _find_gains(ints, floats, speeds, duration, tau, gains)
        if duration != before:
            ahead = _moving(ints, floats, number, tau, floats[X_SIGN], floats[COSTATE_SIGN])
            back = _moving(ints, floats, number, tau, -1.0, -1.0)
        before = duration
        turn = wait(arrived, threads, turn)
        for h in range(hops):
            if h == ints[BLIND]:
                if thread == 0:
                    _answers(
                        out[k], outputs, law, cur, m, here, acts, arcs, s, g, w, starts, tails,
                        pair,
                    )  # fmt: skip
                if law == LEAST_ACTION:
                    turn = wait(arrived, threads, turn)  # before weights move on
            signs = 0
            if ints[POLICY] != STEADY:
                if ints[POLICY] == EVERY:
                    forward = (hop // ints[PERIOD]) % 2 == 0
                elif ints[POLICY] == COSINE:
                    forward = math.cos(number(floats[OMEGA]) * clock) >= 0
                else:
                    square = _square(w, m, g, tails) + number(floats[SPEED] ** 2) * _square(
                        p, m, g, tails
                    )
                    for t in range(streams):
                        square += squares(s[cur, t, here:m], n) + squares(lam[t], n)
                    forward = square <= floats[RADIUS]
                signs = 0 if forward else 1
            elif ints[BY_SAMPLE] == 1 and h > 0:
                signs = 1
            settles = h < ints[SETTLE_HOPS]
            mode = LEARN
            if settles:
                mode = SETTLE if law == HAMILTONIAN else FORWARD
            moving = ahead if signs == 0 or ints[BY_SAMPLE] == 1 else back
            if thread == 0 and mode != FORWARD:
                for t in range(streams):
                    for o in range(outputs.size):
                        shown[t, o] = s[cur, t, here + outputs[o]]
                    weight = 1.0 if weights is None else np.float64(weights[k, t])
                    if law == HAMILTONIAN:
                        weight *= share[t]
                    loss_slope(
                        ints[LOSS], floats[LOSS_SETTING], shown[t], z[k, t], weight, outputs, lx[t]
                    )
            for q in range(thread, parts, threads):
                _rows(
                    q * n // parts, (q + 1) * n // parts, q, mode, cur, ints, floats, signs, moving,
                    acts, arcs, gains, share, coef, force, s, lam, error, g, w, p, v, starts, tails,
                    pair,
                )  # fmt: skip
            turn = wait(arrived, threads, turn)
            if mode == FORWARD:
                for t in range(streams):
                    for i in range(low, high):
                        lam[t, i] = 0
                        if tails is not None:
                            for q in range(parts):
                                pair[q, t, here + i, 0] = s[1 - cur, t, here + i]
            else:
                flipped = signs if ints[POLICY] != STEADY else 0
                _move_neurons(
                    low, high, ints, floats, flipped, cur, tau, gains, s, lam, error, g, lx, pair,
                    tails,
                )  # fmt: skip
            turn = wait(arrived, threads, turn)
            cur = 1 - cur
            hop += 1
            clock += number(tau)
            if ints[POLICY] == COSINE:
                clock %= number(2 * math.pi / floats[OMEGA])
        if thread == 0:
            if ints[BLIND] == hops:
                _answers(
                    out[k], outputs, law, cur, m, here, acts, arcs, s, g, w, starts, tails, pair
                )
            sound = True
            for t in range(streams):
                sound = sound and finite(s[cur, t, here:m]) and finite(lam[t])
            if watch:
                sound = sound and finite(flat_w) and finite(flat_p) and finite(flat_v)
            if ints[AVERAGE] == 1:
                moments[1] = min(moments[1] + 1, number(floats[OVER]))
                for j in range(mean.size):
                    mean[j] += (flat_w[j] - mean[j]) / moments[1]
                if watch:
                    sound = sound and finite(mean)
            if ints[RECORD_LOSS] == 1:
                total = 0.0
                for t in range(streams):
                    total += share[t] * loss(ints[LOSS], floats[LOSS_SETTING], out[k, t], z[k, t])
                losses[k] = number(total)
            if ints[RECORD_NORMS] == 1:
                of_x, of_costates = number(0), number(0)
                for t in range(streams):
                    of_x += squares(s[cur, t, here:m], n)
                    of_costates += squares(lam[t], n)
                norms[k, 0], norms[k, 1] = math.sqrt(of_x), math.sqrt(of_costates)
                norms[k, 2] = math.sqrt(_square(w, m, g, tails))
                norms[k, 3] = math.sqrt(_square(p, m, g, tails))
            if not sound:
                state[0] = k
        turn = wait(arrived, threads, turn)
        if state[0] >= 0:
            break
    if thread == 0:
        for t in range(streams):
            for i in range(n):
                x[t, i] = s[cur, t, here + i]
        moments[0], hops_made[0] = clock, hop
        if state[0] < 0 and not (
            finite(flat_w) and finite(flat_p) and finite(flat_v) and finite(mean)
        ):
            state[0] = samples


@kernel
def relax(
    rows, hops, ints, acts, outputs, arcs, gains, s, x, g, w, u, out, starts, tails, pair,
):  # fmt: skip
    """Sets what is answered to each of some rows of inputs after hops of the state alone."""
    n, m = ints[NEURONS], ints[SOURCES]
    here = m - n
    none = np.int64(0)
    for k in range(rows):
        cur = none
        _fill(x, s, here, g, pair, tails)
        _show(u[k], cur, s, pair, tails)
        for h in range(hops):
            signs = 1 if ints[BY_SAMPLE] == 1 and h > 0 else 0
            for t in range(x.shape[0]):
                for i in range(n):
                    a = _activation(i, t, none, cur, m, arcs, s, g, w, starts, tails, pair)
                    y = activated(acts[i], a)[0]
                    _relaxed(i, t, y, cur, here, signs, ints, gains, s)
            cur = 1 - cur
            if tails is not None:
                for t in range(x.shape[0]):
                    for i in range(n):
                        pair[0, t, here + i, 0] = s[cur, t, here + i]
        for t in range(x.shape[0]):
            for o in range(outputs.size):
                out[k, t, o] = s[cur, t, here + outputs[o]]
