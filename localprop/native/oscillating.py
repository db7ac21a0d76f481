"""Neurons that oscillate, and speeds that are learned.

What belongs to pairs is handed to the loops as `turned`, or `None`: frequencies, `(neurons,)`; the
imaginary parts of gains, as these lie; those of the states at the beginning and at the end,
`(streams, neurons)`, and in a hop, before and after it in turns, `(2, streams, neurons)`; those of
the costates. What belongs to learned speeds is handed on as `rates`, or `None`: what is learned of
them, leaks and of pairs frequencies, its momentum, the memory of its mass and its mean, each
`(1 or 2, neurons)`; which neurons learn; the traces, `(streams, 1 or 2, 1 or 2, neurons)`, of what
and of which part; room for a force on each neuron. See docs/laws.md, section 15.
"""

from __future__ import annotations

import math

import numpy as np

from .dense import move
from .jit import inner, kernel
from .neurons import activated, finite, squares
from .places import IMPLICIT, LEARN, MASS, NEURONS, SOURCES, STREAMS


@kernel
def turned_leak(leak, turn, sign, dissipation, time):
    """Returns keep and pull of exponential Euler for the speed `leak + 1j * turn`, part by part."""
    if leak == np.inf:
        return 0.0, 0.0, 1.0, 0.0
    a, b = -(sign * leak + dissipation) * time, -sign * turn * time
    keep, side = math.exp(a) * math.cos(b), math.exp(a) * math.sin(b)
    # 1 - e^z without a difference of what is nearly 1.
    lost = 2 * math.sin(b / 2) ** 2 - math.expm1(a) * math.cos(b)
    re, im = sign * leak + dissipation, sign * turn
    size = re * re + im * im
    share = (sign * leak * re + im * im) / size
    share_side = (im * re - sign * leak * im) / size
    return keep, side, share * lost + share_side * side, share_side * lost - share * side


@inner
def turn_state(i, t, y, cur, now, signs, gains, turned):
    """Returns the real part of a state after it moved towards `y`, and keeps the other."""
    _, turns, _, sides, _ = turned
    keep, pull = gains[signs, 0, i], gains[signs, 1, i]
    turn, swing = turns[signs, 0, i], turns[signs, 1, i]
    side = sides[cur, t, i]
    sides[1 - cur, t, i] = turn * now + keep * side + swing * y
    return keep * now - turn * side + pull * y


@inner
def turn_costate(i, t, which, back, gains, lam, turned):
    """Moves a costate towards the real error that came back."""
    _, turns, _, _, sides = turned
    keep, pull = gains[which, 0, i], gains[which, 1, i]
    turn, swing = turns[which, 0, i], turns[which, 1, i]
    now, side = lam[t, i], sides[t, i]
    lam[t, i] = keep * now - turn * side + pull * back
    sides[t, i] = turn * now + keep * side + swing * back


@inner
def move_rates(
    first, last, mode, cur, ints, signs, moving, lapse, acts, speeds, gains, a, s, lam, turned,
    rates,
):  # fmt: skip
    """Follows what states owe to leaks and frequencies, and moves these.

    $Q \\leftarrow aQ + \\tau a\\,(D - x)\\,\\partial c$, $f = \\mathrm{Re}(\\bar\\lambda Q)$.

    **Arguments:** `lapse`: how long the hop is for neurons that take time.
    """
    w, p, v, _, free, traces, force = rates
    keep_p, push, step, v_keep, v_gain, floor, decay, _ = moving
    number, here = w.dtype.type, ints[SOURCES] - ints[NEURONS]
    for which in range(len(w)):
        for i in range(first, last):
            force[i] = 0
            if free[i] == 0:
                continue
            speed = speeds[i] * math.exp(np.float64(w[0, i]))
            for t in range(ints[STREAMS]):
                keep, trace = gains[signs, 0, i], traces[t, which]
                lag = activated(acts[i], a[t, i])[0] - s[cur, t, here + i]
                if turned is None:
                    trace[0, i] = keep * trace[0, i] + number(lapse * speed) * keep * lag
                    force[i] += lam[t, i] * trace[0, i]
                if turned is not None:
                    _, turns, _, sides, back = turned
                    turn, lag_side = turns[signs, 0, i], -sides[cur, t, i]
                    by = number(lapse) * (keep * lag - turn * lag_side)
                    by_side = number(lapse) * (turn * lag + keep * lag_side)
                    if which == 0:
                        by, by_side = number(speed) * by, number(speed) * by_side
                    else:
                        by, by_side = by_side, -by
                    old, side = trace[0, i], trace[1, i]
                    trace[0, i] = keep * old - turn * side + by
                    trace[1, i] = turn * old + keep * side + by_side
                    force[i] += lam[t, i] * trace[0, i] + back[t, i] * trace[1, i]
            force[i] += decay * w[which, i]
        if mode == LEARN:  # nothing of what follows hangs on a leak that was moved
            move(
                w[which, first:last], p[which, first:last], v[which, first:last], last - first,
                force[first:last], ints[MASS], ints[IMPLICIT] == 1, keep_p, push, step, v_keep,
                v_gain, floor,
            )  # fmt: skip


@inner
def copy_sides(of, to):
    """Copies imaginary parts, `(streams, neurons)`."""
    for t in range(len(of)):
        for i in range(of.shape[1]):
            to[t, i] = of[t, i]


@inner
def follow_mean(samples, rates):
    """Moves the mean of what is learned of speeds, over so many samples."""
    w, _, _, mean, _, _, _ = rates
    for k in range(len(w)):
        for i in range(w.shape[1]):
            mean[k, i] += (w[k, i] - mean[k, i]) / samples


@inner
def square_rates(w):
    """Returns the sum of squares of what is learned of speeds, or of its momentum."""
    total = w.dtype.type(0)
    for k in range(len(w)):
        total += squares(w[k], w.shape[1])
    return total


@inner
def finite_rates(rates):
    """Returns whether all numbers of learned speeds are finite."""
    w, p, v, mean, _, traces, _ = rates
    sound = True
    for k in range(len(w)):
        sound = sound and finite(w[k]) and finite(p[k]) and finite(v[k]) and finite(mean[k])
        for t in range(len(traces)):
            for part in range(traces.shape[2]):
                sound = sound and finite(traces[t, k, part])
    return sound
