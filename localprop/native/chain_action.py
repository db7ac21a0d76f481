"""Chains of dense layers under least action; arrays and arguments are those of `chain_loops`.

Settle hops withhold the target, and end where one sweep forward takes every state, at rest. In the
hops after them neurons and weights all move at once, by what there was before the hop.
"""

from __future__ import annotations

import math

from .chain_loops import (
    awake_of,
    back_and_move,
    forward,
    keep,
    places_of,
    show,
    slope_at_inputs,
    tell,
    unsound,
)
from .chain_neurons import (
    DISSIPATION,
    INERTIAL,
    NEURON_FRICTION,
    NEURON_MASS,
    NEURON_SPEED,
    NIL,
    STIFFNESS,
    loss_slope,
)
from .dense import copy
from .jit import apart, kernel
from .lanes import plain
from .subnormal import back_to, without_subnormals


@apart
def find_errors(stiffness, share, x, error, d, felt):
    """Writes $\\epsilon = \\kappa(D - x)$ over the drive, and what weights feel of
    $\\sigma'\\epsilon$."""
    for k in range(x.size):
        error[k] = stiffness * (error[k] - x[k])
        felt[k] = share * (d[k] * error[k])


@apart
def accelerate(keep, push, step, x, p, pulled, error):
    """Moves neurons and their momenta by $-U_x$."""
    for k in range(x.size):
        p[k] = keep * p[k] - push * (pulled[k] - error[k])
        x[k] += step * p[k]


@apart
def creep(push, x, p, pulled, error):
    """Moves neurons that have no mass."""
    for k in range(x.size):
        p[k] = 0
        x[k] -= push * (pulled[k] - error[k])


@kernel
def learn(
    thread, threads, layers, kinds, loss, mass, c, plastic, state, awake, x_kept, p_kept, u, z,
    duration, hops, clock, start, alone, out, slope, query, answers, arrays, order, shared,
):  # fmt: skip
    """Learns the samples from `start` on; returns the number of the first that does harm, or -1.

    **Arguments:** as for `chain_loops.learn`; what is a costate there is a neuron's momentum here;
    there is but one thread.
    """
    usual = without_subnormals()
    dtype, room = state.dtype, order.size
    w, p, v = state[0], state[1], state[2]
    # Where activations were is what the weights feel of an error; a drive becomes an error.
    a, d, x, momentum, error, pulled, source, target, more, f, turned, _ = arrays
    felt, inputs, outputs, below = a, u.shape[2], z.shape[2], layers[0, 2]
    wide, top = layers[len(layers) - 1, 6], layers[len(layers) - 1, 7] * room
    one, zero, stiffness = dtype.type(1), dtype.type(0), c[STIFFNESS]
    fault, seen, nil, unit = -1, 0, plain(0), plain(1)
    by_itself = thread, threads, shared, unit
    for t in range(start, len(u)):
        tau = duration[t] / dtype.type(hops)
        clock[0] += duration[t]
        known, seen, first = places_of(z[t], alone, out.shape[1], order)
        live = known
        if known == 0:  # where no stream has a target, the weights feel what all of them lack
            live, seen, first = u.shape[1], u.shape[1], 0
            for k in range(seen):
                order[k] = k
        awake[0] = awake_of(u[t], order, seen, awake[0])
        show(u[t], z[t], order, seen, known, below, wide, source, target)
        share, end = one / dtype.type(live), top + seen * wide
        keep_w = one / (one + c[DISSIPATION] * tau)
        keep_x = one / (one + c[NEURON_FRICTION] * tau)
        rest = dtype.type(-math.expm1(-c[NEURON_SPEED] * stiffness * tau)) / stiffness
        for hop in range(plastic):
            drive = x if hop == 0 else error
            forward(layers, kinds, w, awake[0], source, x, a, drive, d, room, seen, *by_itself)
            if hop == 0:
                tell(x[top:end], order, seen, wide, out[t])
            of = target[: seen * wide]
            loss_slope(loss, c, one, x[top:end], of, pulled[top:end], wide, outputs, more)
            for layer in range(len(layers)):
                low = layers[layer, 7] * room
                high = low + seen * layers[layer, 6]
                if hop == 0:  # at rest
                    momentum[low:high] = zero
                    copy(x[low:high], error[low:high])
                find_errors(
                    stiffness, share, x[low:high], error[low:high], d[low:high], felt[low:high]
                )
            check, _ = back_and_move(
                layers, mass, c, tau, keep_w, keep_w * tau, w, p, v, awake[0], source, x, d, felt,
                error, pulled, f, turned, room, seen, live, *by_itself,
            )  # fmt: skip
            for layer in range(len(layers)):
                low = layers[layer, 7] * room
                high = low + seen * layers[layer, 6]
                own = x[low:high], momentum[low:high], pulled[low:high], error[low:high]
                if c[INERTIAL] != 0:
                    accelerate(keep_x, keep_x * tau, tau / c[NEURON_MASS], *own)
                else:
                    creep(rest, *own)
            check += unsound(layers, x, momentum, room, nil, seen, c[NIL])
            if check != 0:
                fault = t
        if len(slope):
            of, own = source[first * below :], layers[0, 6]
            forward(layers[:1], kinds, w, awake[0], of, error, a, error, d, room, unit, *by_itself)
            for k in range(own):
                d[k] *= stiffness * (error[k] - x[first * own + k]) * dtype.type(max(known, 1))
            slope_at_inputs(layers, w, d, slope[t], nil, unit, turned)
        if len(query):
            copy(query[t], source)
            forward(layers, kinds, w, inputs, source, error, a, error, d, room, unit, *by_itself)
            copy(error[top : top + outputs], answers[t])
        if fault >= 0:
            break
    if seen > 0:  # of the last sample alone, wherever the stream is cut
        keep(layers, x, order, seen, room, x_kept)
        keep(layers, momentum, order, seen, room, p_kept)
    back_to(usual)
    return fault
