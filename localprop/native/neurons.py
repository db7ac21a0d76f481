"""What neurons do in a hop: activations and their slopes, leaks, and whether all is finite."""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from .codes import IDENTITY, LOGISTIC, RELU, SILU, SOFTPLUS, TANH
from .jit import FAST, kernel


@kernel
def activated(code, a):
    """Returns σ(a) and σ'(a), in the precision of `a`."""
    number = type(a)
    one, half = number(1), number(0.5)
    if code == TANH:
        y = bent(a)
        return y, one - y * y
    if code == IDENTITY:
        return a, one
    if code in (LOGISTIC, SILU):
        y = one / (one + math.exp(-a))
        if code == LOGISTIC:
            return y, y * (one - y)
        return a * y, y + a * y * (one - y)
    if code == RELU:
        if a <= 0:
            return number(0), number(0)
        return a, one  # also where it is NaN, so that it is seen
    if code == SOFTPLUS:
        y = max(a, number(0)) + math.log1p(math.exp(-abs(a)))
        if a != a:
            y = a
        return y, one / (one + math.exp(-a))
    scale, bend, three = number(0.7978845608028654), number(0.044715), number(3)
    t = bent(scale * (a + bend * a * a * a))
    slope = half * (one + t)
    slope += half * a * (one - t * t) * scale * (one + three * bend * a * a)
    return half * a * (one + t), slope


def bent(a):
    """Returns tanh(a); in single precision by the quotient of polynomials that XLA takes."""
    return math.tanh(a)


@overload(bent, jit_options={"fastmath": FAST, "error_model": "numpy"})
def _bent(a):
    if a != types.float32:
        return lambda a: math.tanh(a)
    upper = tuple(np.float32(c) for c in UPPER)
    lower = tuple(np.float32(c) for c in LOWER)
    least, most, one = np.float32(4e-4), np.float32(7.90531110763549805), np.float32(1)

    def bent(a):
        if a > most:
            return one
        if a < -most:
            return -one
        if abs(a) < least:
            return a
        square = a * a
        p, q = upper[0], lower[0]
        for k in range(1, 7):
            p = p * square + upper[k]
        for k in range(1, 4):
            q = q * square + lower[k]
        return a * p / q

    return bent


# Eigen's coefficients, from the highest power down.
UPPER = (
    -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
    1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
)  # fmt: skip
LOWER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


@kernel
def leak(speed, sign, dissipation, time, exponential):
    """Returns `(keep, pull)` of an integrator, as `localprop.law.integrator` does."""
    if speed == np.inf:
        return 0.0, 1.0
    if not exponential:
        return 1 - time * (sign * speed + dissipation), time * sign * speed
    rate = sign * speed + dissipation
    if rate == 0:
        return 1.0, sign * speed * time
    return math.exp(-rate * time), sign * speed / rate * -math.expm1(-rate * time)


@kernel
def finite(a):
    """Returns whether all numbers of an array of one axis are finite."""
    still = a.dtype.type(0)
    for k in range(a.size):
        still += a[k] * a.dtype.type(0)
    return still == 0


@kernel
def squares(a, size):
    """Returns the sum of squares of the first numbers of an array of one axis."""
    total = a.dtype.type(0)
    for k in range(size):
        total += a[k] * a[k]
    return total
