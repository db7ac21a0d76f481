"""What neurons of a chain do: activations and their slopes, and the slopes of losses, of vectors.

In loops that the compiler can turn into vector instructions, other than a call per number.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from .codes import HUBER, IDENTITY, LOGISTIC, RELU, SILU, SOFTPLUS, SQUARED, TANH
from .jit import FAST, apart, inner
from .neurons import bent

# Places in `constants`. TINY is the smallest normal number: what is below it is 0, as under XLA,
# for arithmetic with subnormal numbers takes a hundred times as long. NIL is 0, and the compiler
# does not know it: times it, what is not finite is NaN, where it would make 0 of `a - a`.
# What follows is of least action alone.
LOSS_SETTING, DISSIPATION, DECAY, FLOOR, RATE, WEIGHT_DECAY, TINY, LOWEST, NIL = range(9)
STIFFNESS, INERTIAL, NEURON_MASS, NEURON_FRICTION, NEURON_SPEED = range(9, 14)


def exponential(a):
    """Returns $e^a$; in single precision by a polynomial, within 2 ulp."""
    return math.exp(a)


@overload(exponential, jit_options={"fastmath": FAST, "error_model": "numpy"})
def _exponential(a):
    if a != types.float32:
        return lambda a: math.exp(a)

    def single(a):
        # e^a = 2^n e^r with |r| <= ln 2 / 2, and e^r as Cephes takes it (expf).
        y = min(max(a, np.float32(-87.0)), np.float32(88.0))
        n = np.floor(y * np.float32(1.44269504) + np.float32(0.5))
        r = y - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        found = (p * r * r + r + np.float32(1.0)) * power
        return found if a == a else a

    return single


@apart
def logistics(a, x, slope, alone):
    """Writes the logistic function, or $a$ times it, and its slope."""
    one = a.dtype.type(1)
    for k in range(a.size):
        s = one / (one + exponential(-a[k]))
        x[k] = s if alone else a[k] * s
        slope[k] = s * (one - s) if alone else s * (one + a[k] * (one - s))


@apart
def tanh(a, x, slope):
    """Writes tanh(a) and its slope."""
    one = a.dtype.type(1)
    for k in range(a.size):
        y = bent(a[k])
        x[k] = y
        slope[k] = one - y * y


@apart
def gelu(a, x, slope):
    """Writes GELU by its approximation with tanh, and its slope."""
    one, half, three = a.dtype.type(1), a.dtype.type(0.5), a.dtype.type(3)
    scale, cube = a.dtype.type(0.7978845608028654), a.dtype.type(0.044715)
    for k in range(a.size):
        here = a[k]
        square = here * here
        t = bent(scale * here * (one + cube * square))
        x[k] = half * here * (one + t)
        inner = scale * (one + three * cube * square)
        slope[k] = half * (one + t) + half * here * (one - t * t) * inner


@inner
def activate(kind, a, x, slope):
    """Writes $\\sigma(a)$ and $\\sigma'(a)$ of a vector."""
    one, zero = a.dtype.type(1), a.dtype.type(0)
    if kind == IDENTITY:
        for k in range(a.size):
            x[k] = a[k]
            slope[k] = one
    elif kind in (SILU, LOGISTIC):
        logistics(a, x, slope, kind == LOGISTIC)
    elif kind == RELU:
        for k in range(a.size):
            x[k] = max(a[k], zero)
            slope[k] = one if a[k] > 0 else zero
    elif kind == TANH:
        tanh(a, x, slope)
    elif kind == SOFTPLUS:
        for k in range(a.size):
            small = a.dtype.type(math.exp(-abs(a[k])))
            x[k] = max(a[k], zero) + a.dtype.type(math.log1p(small))
            slope[k] = (one if a[k] >= 0 else small) / (one + small)
    else:
        gelu(a, x, slope)


@inner
def loss_slope(kind, c, share, x, z, out, width, outputs, room):
    """Writes $L_x$ of every stream times its share.

    **Arguments:** `x`, `z`, `out`: flat, a row of `width` for each stream, of which the first
    `outputs` are; `z` is NaN where there is no target; `room`: for as many numbers.
    """
    one, zero = x.dtype.type(1), x.dtype.type(0)
    setting = c[LOSS_SETTING]
    if kind == SQUARED:
        for k in range(z.size):
            e = x[k] - z[k]
            out[k] = share * setting * e if z[k] == z[k] else zero
    elif kind == HUBER:
        for k in range(z.size):
            e = x[k] - z[k]
            near = min(max(e, -setting), setting) + x[k] * c[NIL]
            out[k] = share * near if z[k] == z[k] else zero
    else:
        for s in range(0, z.size, width):
            most = c[LOWEST]
            for k in range(s, s + outputs):
                most = max(most, x[k]) if z[k] == z[k] else most
            for k in range(s, s + width):
                room[k] = x[k] - most if z[k] == z[k] else c[LOWEST]
        for k in range(z.size):
            out[k] = exponential(room[k]) if z[k] == z[k] else zero
        # q = (1 - smoothing) z + smoothing / K; the slope is softmax * sum(q) - q.
        for s in range(0, z.size, width):
            known, every, given = zero, zero, zero
            for k in range(s, s + outputs):
                known += one if z[k] == z[k] else zero
                every += out[k]
            smooth, every = setting / max(known, one), max(every, one)
            for k in range(s, s + outputs):
                room[k] = (one - setting) * z[k] + smooth if z[k] == z[k] else zero
                given += room[k]
            for k in range(s, s + outputs):
                out[k] = share * (given * (out[k] / every) - room[k])
