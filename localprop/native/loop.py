"""The loop over samples and hops, one for all storages of arcs."""

from __future__ import annotations

import math

import numpy as np

from .arcs_of_streams import gather_arcs, lay_arcs, through_arcs
from .barrier import wait
from .codes import ADAPTIVE, CONSTANT, LINE
from .hop import activation, feel, move_neurons, move_rows, relax_one, say, tend
from .jit import inner, kernel
from .losses import loss, loss_slopes, share_out
from .many_streams import (
    are_finite,
    drive_many,
    feel_many,
    hand_costates,
    lay_many,
    move_many,
    rest_of_many,
    squares_of_many,
    states_of_many,
    take_costates,
    take_slopes,
    through_many,
)
from .neurons import activated, finite, leak, squares
from .oscillating import (
    copy_sides,
    finite_rates,
    follow_mean,
    move_rates,
    square_rates,
    turned_leak,
)
from .places import (
    AVERAGE,
    BLIND,
    BY_SAMPLE,
    COSINE,
    COSTATE_FRICTION,
    COSTATE_SIGN,
    DECAY,
    EVERY,
    EXPONENTIAL,
    FLOOR,
    FORWARD,
    FRICTION,
    HAMILTONIAN,
    HOPS,
    INSTANT,
    INSTANTANEOUS,
    LAW,
    LEARN,
    LEAST_ACTION,
    LOSS,
    LOSS_SETTING,
    MASS,
    NEURONS,
    OMEGA,
    OVER,
    PARTS,
    PERIOD,
    POLICY,
    RADIUS,
    RATE,
    RECORD_LOSS,
    RECORD_NORMS,
    SETTLE,
    SETTLE_HOPS,
    SOURCES,
    SPEED,
    STEADY,
    STIFFNESS,
    STREAMS,
    TRACES,
    WEIGHT_DECAY,
    X_SIGN,
    M,
)  # fmt: skip
from .rows_of_streams import drive_rows, through_few
from .subnormal import back_to, without_subnormals
from .tiles import are_tiled, through_tiles

SMALLEST = 1.2e-38  # that is no subnormal number in single precision


@inner
def cut(q, parts, n, by):
    """Returns where a part of `n` rows begins, of which `by` stay together."""
    return min(q * ((n + by - 1) // by) // parts * by, n)


@kernel
def _find_turned_gains(i, c, ints, floats, frequency, duration, tau, gains, turns):
    """Does what `_find_gains` does for a neuron that oscillates, under a steady policy."""
    number, lapse = gains.dtype.type, duration if ints[BY_SAMPLE] == 1 else tau
    keep, turn, pull, swing = turned_leak(c, -frequency, floats[X_SIGN], 0.0, lapse)
    for k in range(2):
        gains[k, 0, i], turns[k, 0, i] = number(keep), number(turn)
        gains[k, 1, i], turns[k, 1, i] = number(pull), number(swing)
    if ints[BY_SAMPLE] == 1 and c != np.inf:  # in whose other hops no time passes
        gains[1, 0, i], turns[1, 0, i] = 1, 0
        gains[1, 1, i], turns[1, 1, i] = 0, 0
    if ints[TRACES] != INSTANTANEOUS:
        keep, turn, pull, swing = turned_leak(
            c, frequency, -floats[COSTATE_SIGN], floats[COSTATE_FRICTION], tau
        )
        gains[2, 0, i], turns[2, 0, i] = number(keep), number(turn)
        gains[2, 1, i], turns[2, 1, i] = number(pull), number(swing)


@kernel
def _find_gains(low, high, ints, floats, speeds, duration, tau, gains, turned, rates):
    """Sets what states and costates keep, and how they are pulled, in the hops of a sample.

    Of states, in the first hop or forward, and in the others or backward; of costates, forward and
    backward. Of neurons that oscillate, real parts; the others are `turned`.
    """
    number, exponential = gains.dtype.type, ints[EXPONENTIAL] == 1
    flips = ints[POLICY] != STEADY
    for i in range(low, high):
        c = speeds[i]
        if rates is not None:
            c *= math.exp(np.float64(rates[0][0, i]))
        if turned is not None:
            frequency = turned[0][i]
            if rates is not None:
                frequency += np.float64(rates[0][1, i])
            _find_turned_gains(i, c, ints, floats, frequency, duration, tau, gains, turned[1])
            continue
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
        floor = max(floor, SMALLEST)  # or in the room behind rows 0 would be divided by 0
    return (
        number(keep), number(push), number(step), number(v_keep), number(v_gain), number(floor),
        number(floats[WEIGHT_DECAY]), number(floats[STIFFNESS]),
    )  # fmt: skip


@kernel
def _take(first, last, m, of, to, starts):
    """Copies what belongs to some neurons; here may be more rows than there, and longer ones."""
    if to.ndim == 2:
        for i in range(first, last):
            for j in range(m):
                to[i, j] = of[i, j]
            for j in range(m, to.shape[1]):
                to[i, j] = 0
        if last == len(of):
            to[last:] = 0
    else:
        for k in range(starts[first], starts[last]):
            to[k] = of[k]


@kernel
def _fill(x, s, here, g, tails, both):
    """Puts states, and the constant input, among the sources; nothing has come back to them yet."""
    g[:] = 0
    for t in range(x.shape[0]):
        for j in range(here):
            if tails is not None:
                both[t, j, 0] = both[t, j, 1] = s[0, t, j]
        for i in range(x.shape[1]):
            say(i, t, 0, x[t, i], here, s, tails, both)


@kernel
def _show(u, which, s, tails, both):
    """Puts an input among the sources, before a hop or after it."""
    none = np.int64(0)
    for t in range(u.shape[0]):
        for j in range(u.shape[1]):
            say(j, t, which, u[t, j], none, s, tails, both)


@kernel
def _goes_on(k, samples, begins):
    """Returns whether there is such a sample, and every stream goes on there."""
    if k >= samples:
        return False
    for t in range(begins.shape[1]):  # noqa: SIM110
        if begins[k, t]:
            return False
    return True


@kernel
def _set_rest(cur, t, here, s, lam, e, tails, both, turned, rates, many):
    """Puts states and costates of a stream at rest, and its traces."""
    each = e.shape[0] // lam.shape[0]  # 2 of a pair
    for k in range(each):
        e[each * t + k] = 0
    if turned is not None:
        turned[3][cur, t] = 0
        turned[4][t] = 0
    if rates is not None:
        rates[5][t] = 0
    for i in range(lam.shape[1]):
        lam[t, i] = 0
        say(i, t, cur, lam[t, i], here, s, tails, both)
    if many is not None:
        rest_of_many(t, lam.shape[1], many)


@kernel
def _square(w, m, tails):
    """Returns the sum of squares of what is stored as weights are, row by row."""
    total = w.dtype.type(0)
    if w.ndim == 2:
        for i in range(w.shape[0]):
            total += squares(w[i], m)
    if tails is not None:
        total = squares(w, w.size)
    return total


@kernel
def _squares_of_neurons(cur, ints, s, lam, many):
    """Returns the sums of squares of states, and of costates, of all streams."""
    if many is not None:
        return squares_of_many(cur, ints, many)
    states = costates = lam.dtype.type(0)
    for t in range(ints[STREAMS]):
        states += squares(s[cur, t, ints[SOURCES] - ints[NEURONS] :], ints[NEURONS])
        costates += squares(lam[t], ints[NEURONS])
    return states, costates


@kernel
def _are_finite(cur, ints, s, lam, many):
    """Returns whether states and costates of all streams are finite."""
    if many is not None:
        return are_finite(cur, ints, many)
    here, m, good = ints[SOURCES] - ints[NEURONS], ints[SOURCES], True
    for t in range(ints[STREAMS]):
        good = good and finite(s[cur, t, here:m]) and finite(lam[t])
    return good


@kernel
def _answer(i, t, law, cur, m, here, acts, arcs, s, w, starts, tails, both):
    """Returns the state of a neuron, or under least action its drive."""
    if law == HAMILTONIAN:
        return s[cur, t, here + i]
    a = activation(i, t, cur, m, arcs, s, w, starts, tails, both)
    return activated(acts[i], a)[0]


@kernel
def _answers(
    out, outputs, law, cur, m, here, acts, arcs, s, w, starts, tails, both
):  # fmt: skip
    """Writes what the outputs say, `(streams, outputs)`."""
    for t in range(out.shape[0]):
        for o in range(outputs.size):
            out[t, o] = _answer(
                outputs[o], t, law, cur, m, here, acts, arcs, s, w, starts, tails, both
            )


@kernel
def learn(
    thread, threads, samples, ints, floats, speeds, acts, outputs, arcs, arrived, state, gains,
    share, weight, a, slopes, coef, force, shown, s, x, lam, error, g, lx, w, p, v, e, flat_w,
    flat_p, flat_v, flat_e, mean, flat_mean, given, moments, hops_made, u, z, durations, weights,
    begins, out, losses, norms, watch, starts, tails, both, tiles, turned, rates, shared, many,
    alone,
):  # fmt: skip
    """Learns samples, one after the other, up to the first that does harm.

    **Arguments:** `thread` of `threads`; `ints`, `floats`: by the names above; `state`: the sample
    that did harm, -1 where none did, or how many there are where it is not known which; then, for
    each thread, whether what it looked at is finite; `given`: where `w`, `p`, `v` and `mean` begin;
    `moments`: time, and samples in the mean of the weights; `durations`: of samples; `weights`,
    `begins`: `(samples, streams)`; `watch`: whether weights are looked at after every sample;
    `turned`, `rates`: see `oscillating`; `shared`: room for weights that a few streams share, or
    arcs (`sharing`); `many`: for those that many do (`many_streams`); `alone`: whether streams go
    one by one. Two of the last three are `None`: what is, is not compiled.
    """
    usual = without_subnormals()
    number = w.dtype.type
    streams, n, m, hops = ints[STREAMS], ints[NEURONS], ints[SOURCES], ints[HOPS]
    here, parts, law = m - n, ints[PARTS], ints[LAW]
    low, high = thread * n // threads, (thread + 1) * n // threads
    # Of a thread, neurons and the rows into them: what it finds of a neuron it needs next itself.
    begin, end = thread * parts // threads, (thread + 1) * parts // threads
    # Not the constants 0 and 1, for which all that they are handed to would be compiled apart.
    turn, cur, clock, hop, before = np.int64(1), np.int64(0), moments[0], hops_made[0], np.nan
    drives, none, by = np.int64(FORWARD), np.int64(0), np.int64(1)
    # Whether the last hop of a sample finds drives by the next input, and whether it has.
    looks_ahead, driven = False, False
    if shared is not None:
        looks_ahead = True
        if w.ndim == 2:
            by = np.int64(LINE)  # rows, whose drives are a line that no two threads write
    if many is not None:
        looks_ahead, by = True, np.int64(LINE)
    if tails is not None:  # noqa: SIM102
        if are_tiled(tiles):
            looks_ahead = True
    ahead = back = _moving(ints, floats, number, 1.0, 1.0, 1.0)
    for to, of in zip((w, p, v, mean), given):  # noqa: B905
        if of.size > 0:
            for q in range(begin, end):
                _take(q * n // parts, (q + 1) * n // parts, m, of, to, starts)
    if thread == 0:
        _fill(x, s, here, g, tails, both)
        if turned is not None:
            copy_sides(turned[2], turned[3][cur])
        if many is not None:
            take_costates(lam, many)
        state[0] = -1
    for k in range(samples):
        duration = durations[k]
        tau = np.float64(number(duration / hops))
        if thread == 0:
            _show(u[k], cur, s, tails, both)
            _show(u[k], 1 - cur, s, tails, both)
            share_out(z[k], share)
            for t in range(streams):
                weight[t] = weights[k, t]
                if law == HAMILTONIAN:
                    weight[t] *= share[t]
                if begins[k, t]:
                    _set_rest(cur, t, here, s, lam, e, tails, both, turned, rates, many)
            if ints[INSTANT] == 0 and duration != before:
                _find_gains(0, n, ints, floats, speeds, duration, tau, gains, turned, rates)
        if duration != before:
            ahead = _moving(ints, floats, number, tau, floats[X_SIGN], floats[COSTATE_SIGN])
            back = _moving(ints, floats, number, tau, -1.0, -1.0)
        before = duration
        turn = wait(arrived, threads, turn)
        for h in range(hops):
            signs = 0
            if ints[POLICY] != STEADY:
                if ints[POLICY] == EVERY:
                    forward = (hop // ints[PERIOD]) % 2 == 0
                elif ints[POLICY] == COSINE:
                    forward = math.cos(number(floats[OMEGA]) * clock) >= 0
                else:
                    square = _square(w, m, tails) + number(floats[SPEED] ** 2) * _square(
                        p, m, tails
                    )
                    of_x, of_costates = _squares_of_neurons(cur, ints, s, lam, many)
                    square += of_x + of_costates
                    forward = square <= floats[RADIUS]
                signs = 0 if forward else 1
            elif ints[BY_SAMPLE] == 1 and h > 0:
                signs = 1
            settles = h < ints[SETTLE_HOPS]
            mode = LEARN
            if settles:
                mode = SETTLE if law == HAMILTONIAN else FORWARD
            moving = ahead if signs == 0 or ints[BY_SAMPLE] == 1 else back
            fresh = h == 0 and not driven
            if tails is not None:  # noqa: SIM102
                if fresh and are_tiled(tiles):
                    fresh = False
                    for q in range(begin, end):
                        through_tiles(
                            q, q * n // parts, (q + 1) * n // parts, drives, cur, cur, ints,
                            moving, a, coef, s, g, w, p, v, tiles,
                        )  # fmt: skip
                    turn = wait(arrived, threads, turn)
            # Inputs stay what they are after the hop; before it they are laid out with all sources,
            # or were when drives were found.
            if many is not None:
                if h == 0 and thread == 0:
                    lay_many(none, here, 1 - cur, ints, many)
                if fresh:
                    lay_many(thread * m // threads, (thread + 1) * m // threads, cur, ints, many)
                    drive_many(low, high, cur, ints, w, many)
            if shared is not None:
                if tails is not None:  # noqa: SIM102
                    if h == 0 and thread == 0:
                        lay_arcs(none, here, 1 - cur, s, shared)
                if fresh:
                    fresh = False
                    if tails is not None:
                        left, right = thread * m // threads, (thread + 1) * m // threads
                        lay_arcs(left, right, cur, s, shared)
                        turn = wait(arrived, threads, turn)
                    for q in range(begin, end):
                        first, last = cut(q, parts, n, by), cut(q + 1, parts, n, by)
                        if w.ndim == 2:
                            through_few(
                                q, first, last, drives, cur, cur, ints, moving, a, coef, s, g, w,
                                p, v, arcs, shared,
                            )  # fmt: skip
                        if tails is not None:
                            through_arcs(
                                q, first, last, drives, cur, cur, ints, moving, a, coef, force, w,
                                p, v, arcs, starts, tails, shared,
                            )  # fmt: skip
                    turn = wait(arrived, threads, turn)
            if rates is not None:
                _find_gains(low, high, ints, floats, speeds, duration, tau, gains, turned, rates)
            if alone is not None:  # noqa: SIM102
                if law == HAMILTONIAN:
                    feel(
                        low, high, fresh, cur, ints, signs, acts, arcs, speeds, gains, a, slopes,
                        coef, s, lam, w, starts, tails, both, turned, shared, alone,
                    )  # fmt: skip
            if shared is not None:
                feel(
                    low, high, fresh, cur, ints, signs, acts, arcs, speeds, gains, a, slopes,
                    coef, s, lam, w, starts, tails, both, turned, shared, alone,
                )  # fmt: skip
                if tails is not None:
                    lay_arcs(here + low, here + high, 1 - cur, s, shared)
            if many is not None:
                states_of_many(low, high, cur, ints, signs, acts, gains, many)
                feel_many(low, high, many)
                lay_many(here + low, here + high, 1 - cur, ints, many)
            driven = looks_ahead and h == hops - 1 and _goes_on(k + 1, samples, begins)
            if driven and thread == 0:
                _show(u[k + 1], 1 - cur, s, tails, both)
                if many is not None:
                    lay_many(none, here, 1 - cur, ints, many)
                if shared is not None:  # noqa: SIM102
                    if tails is not None:
                        lay_arcs(none, here, 1 - cur, s, shared)
            if rates is not None:
                lapse = tau
                if ints[BY_SAMPLE] == 1:
                    lapse = duration if h == 0 else 0.0
                move_rates(
                    low, high, mode, cur, ints, signs, moving, lapse, acts, speeds, gains, a, s,
                    lam, turned, rates,
                )  # fmt: skip
            turn = wait(arrived, threads, turn)
            if h == ints[BLIND]:
                if thread == 0:
                    _answers(
                        out[k], outputs, law, cur, m, here, acts, arcs, s, w, starts, tails,
                        both,
                    )  # fmt: skip
                if law == LEAST_ACTION:
                    turn = wait(arrived, threads, turn)  # before weights move on
            if thread == 0 and mode != FORWARD:
                for t in range(streams):
                    for o in range(outputs.size):
                        shown[t, o] = s[cur, t, here + outputs[o]]
                loss_slopes(ints[LOSS], floats[LOSS_SETTING], shown, z[k], weight, outputs, lx)
                if many is not None:
                    take_slopes(lx, outputs, many)
            for q in range(begin, end):
                first, last = cut(q, parts, n, by), cut(q + 1, parts, n, by)
                if alone is not None:
                    move_rows(
                        first, last, q, mode, cur, ints, signs, moving, acts, arcs, speeds, gains,
                        share, a, slopes, coef, force, s, lam, error, g, w, p, v, e, starts, tails,
                        both, tiles, turned,
                    )  # fmt: skip
                if many is not None:
                    through_many(q, first, last, mode, cur, 1 - cur, ints, moving, w, p, v, many)
                if shared is not None:
                    if w.ndim == 2:
                        through_few(
                            q, first, last, mode, cur, 1 - cur, ints, moving, a, coef, s, g, w, p,
                            v, arcs, shared,
                        )  # fmt: skip
                    if tails is not None:
                        through_arcs(
                            q, first, last, mode, cur, 1 - cur, ints, moving, a, coef, force, w, p,
                            v, arcs, starts, tails, shared,
                        )  # fmt: skip
            turn = wait(arrived, threads, turn)
            if mode == FORWARD:
                for t in range(streams):
                    for i in range(low, high):
                        lam[t, i] = 0
            else:
                flipped = signs if ints[POLICY] != STEADY else 0
                if many is not None:
                    move_many(low, high, ints, flipped, gains, many)
                if alone is not None:
                    move_neurons(
                        low, high, ints, floats, flipped, cur, tau, gains, s, lam, error, g, lx,
                        coef, tails, both, turned, False,
                    )  # fmt: skip
                if shared is not None:
                    if tails is not None:
                        gather_arcs(low, high, here, shared, lx, lam if ints[INSTANT] else coef)
                    move_neurons(
                        low, high, ints, floats, flipped, cur, tau, gains, s, lam, error, g, lx,
                        coef, tails, both, turned, tails is not None,
                    )  # fmt: skip
            cur = 1 - cur
            hop += 1
            clock += number(tau)
            if ints[POLICY] == COSINE:
                clock %= number(2 * math.pi / floats[OMEGA])
        turn = wait(arrived, threads, turn)
        if thread == 0:
            if ints[BLIND] == hops:
                _answers(out[k], outputs, law, cur, m, here, acts, arcs, s, w, starts, tails, both)
            sound = _are_finite(cur, ints, s, lam, many)
            for t in range(streams):
                if turned is not None:
                    sound = sound and finite(turned[3][cur, t]) and finite(turned[4][t])
            if rates is not None:
                sound = sound and finite_rates(rates)
            if watch:
                sound = sound and finite(flat_w) and finite(flat_p) and finite(flat_v)
                sound = sound and finite(flat_e)
            if ints[AVERAGE] == 1:
                moments[1] = min(moments[1] + 1, number(floats[OVER]))
                for j in range(flat_mean.size):
                    flat_mean[j] += (flat_w[j] - flat_mean[j]) / moments[1]
                if rates is not None:
                    follow_mean(moments[1], rates)
                if watch:
                    sound = sound and finite(flat_mean)
            if ints[RECORD_LOSS] == 1:
                total = 0.0
                for t in range(streams):
                    total += share[t] * loss(ints[LOSS], floats[LOSS_SETTING], out[k, t], z[k, t])
                losses[k] = number(total)
            if ints[RECORD_NORMS] == 1:
                of_x, of_costates = _squares_of_neurons(cur, ints, s, lam, many)
                for t in range(streams):
                    if turned is not None:
                        of_x += squares(turned[3][cur, t], n)
                        of_costates += squares(turned[4][t], n)
                of_w, of_p = _square(w, m, tails), _square(p, m, tails)
                if rates is not None:
                    of_w, of_p = of_w + square_rates(rates[0]), of_p + square_rates(rates[1])
                norms[k, 0], norms[k, 1] = math.sqrt(of_x), math.sqrt(of_costates)
                norms[k, 2], norms[k, 3] = math.sqrt(of_w), math.sqrt(of_p)
            if not sound:
                state[0] = k
        turn = wait(arrived, threads, turn)
        if state[0] >= 0:
            break
    good = True
    for flat in (flat_w, flat_p, flat_v, flat_e, flat_mean):
        good = good and finite(
            flat[thread * flat.size // threads : (thread + 1) * flat.size // threads]
        )
    state[1 + thread] = 1 if good else 0
    turn = wait(arrived, threads, turn)
    if thread == 0:
        for t in range(streams):
            for i in range(n):
                x[t, i] = s[cur, t, here + i]
        if turned is not None:
            copy_sides(turned[3][cur], turned[2])
        if many is not None:
            hand_costates(many, lam)
        moments[0], hops_made[0] = clock, hop
        for k in range(threads):
            if state[0] < 0 and state[1 + k] == 0:
                state[0] = samples
    back_to(usual)


@kernel
def relax(
    rows, hops, ints, acts, outputs, arcs, gains, s, x, g, w, u, out, starts, tails, both, turned,
    a, slopes, shared, many, alone,
):  # fmt: skip
    """Sets what is answered to each of some rows of inputs after hops of the state alone.

    **Arguments:** `a`, `shared`: room for dense rows that a few streams share; `many`: that many
    do; `alone`: whether streams go one by one, as those do that share arcs. See `learn`.
    """
    usual = without_subnormals()
    n, m = ints[NEURONS], ints[SOURCES]
    here = m - n
    none = np.int64(0)
    for k in range(rows):
        cur = none
        _fill(x, s, here, g, tails, both)
        _show(u[k], cur, s, tails, both)
        _show(u[k], 1 - cur, s, tails, both)
        if turned is not None:
            copy_sides(turned[2], turned[3][cur])
        for h in range(hops):
            signs = 1 if ints[BY_SAMPLE] == 1 and h > 0 else 0
            if many is not None:
                drive_many(none, n, cur, ints, w, many)
                states_of_many(none, n, cur, ints, signs, acts, gains, many)
            if shared is not None:
                drive_rows(cur, m, a, s, w, shared)
                tend(none, n, here, acts, a, s[1 - cur], slopes)
                if ints[INSTANT] == 0:
                    for t in range(x.shape[0]):
                        for i in range(n):
                            y = s[1 - cur, t, here + i]
                            relax_one(
                                i, t, y, cur, here, signs, ints, gains, s, tails, both, turned
                            )
            if alone is not None:
                for t in range(x.shape[0]):
                    for i in range(n):
                        drive = activation(i, t, cur, m, arcs, s, w, starts, tails, both)
                        y = activated(acts[i], drive)[0]
                        relax_one(i, t, y, cur, here, signs, ints, gains, s, tails, both, turned)
            cur = 1 - cur
        for t in range(x.shape[0]):
            for o in range(outputs.size):
                out[k, t, o] = s[cur, t, here + outputs[o]]
    back_to(usual)
