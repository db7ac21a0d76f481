"""Losses on the outputs, and their slopes, as `localprop.cost` defines them."""

from __future__ import annotations

import math

import numpy as np

from .codes import CROSS_ENTROPY, SQUARED
from .jit import kernel


@kernel
def share_out(z, share):
    """Sets how much each stream counts: those that have a label alike, or all where none has."""
    streams, known = z.shape[0], 0
    for t in range(streams):
        share[t] = 0
        for k in range(z.shape[1]):
            if not math.isnan(z[t, k]):
                share[t] = 1
        known += share[t] > 0
    for t in range(streams):
        if known == 0:
            share[t] = 1 / streams
        else:
            share[t] = share[t] / known


@kernel
def _target(kind, smoothing, z, k, classes):
    """Returns the target of one output, smoothed where it is a probability."""
    if kind == CROSS_ENTROPY and smoothing > 0:
        return (1 - smoothing) * z[k] + smoothing / classes
    return z[k]


@kernel
def _logarithm(y, z):
    """Returns the largest logit of the classes that exist, and the logarithm of the sum of all
    exponentials less it, and how many classes there are."""
    most, total, classes = -np.inf, 0.0, 0
    for k in range(z.size):
        if not math.isnan(z[k]):
            classes += 1
            most = max(most, np.float64(y[k]))
    for k in range(z.size):
        if not math.isnan(z[k]):
            total += math.exp(np.float64(y[k]) - most)
    return most, math.log(total) if classes else 0.0, classes


@kernel
def loss(kind, setting, y, z):
    """Returns the loss of an output; 0 where there is no target.

    **Arguments:** `setting`: the scale, δ or smoothing of the loss; `y`, `z`: `(outputs,)`.
    """
    total = 0.0
    if kind == CROSS_ENTROPY:
        most, log_sum, classes = _logarithm(y, z)
        for k in range(z.size):
            if not math.isnan(z[k]):
                target = _target(kind, setting, z, k, classes)
                total -= target * (np.float64(y[k]) - most - log_sum)
        return total
    for k in range(z.size):
        if math.isnan(z[k]):
            continue
        error = np.float64(y[k]) - np.float64(z[k])
        if kind == SQUARED:
            total += setting / 2 * error * error
        else:
            near = min(abs(error), setting)
            total += near * (abs(error) - near / 2)
    return total


@kernel
def loss_slopes(kind, setting, y, z, weight, outputs, slopes):
    """Sets the slopes of the losses at the outputs; what is elsewhere stays.

    **Arguments:** `kind`, `setting`: as for `loss`; `y`, `z`: `(streams, outputs)`; `weight`: of
    each stream; `outputs`: their neurons; `slopes`: `(streams, neurons)`.
    """
    for t in range(len(z)):
        for k in range(z.shape[1]):
            slopes[t, outputs[k]] = 0
        if kind == CROSS_ENTROPY:
            _add_slope_of_chances(setting, y[t], z[t], weight[t], outputs, slopes[t])
            continue
        for k in range(z.shape[1]):
            if math.isnan(z[t, k]):
                continue
            pull = np.float64(y[t, k]) - np.float64(z[t, k])
            if kind == SQUARED:
                pull = setting * pull
            elif abs(pull) > setting:
                pull = math.copysign(setting, pull)
            slopes[t, outputs[k]] += slopes.dtype.type(weight[t] * pull)


@kernel
def _add_slope_of_chances(setting, y, z, weight, outputs, slope):
    """Adds the slope of one stream's cross-entropy."""
    most, log_sum, classes = _logarithm(y, z)
    mass = 0.0
    for k in range(z.size):
        if not math.isnan(z[k]):
            mass += _target(CROSS_ENTROPY, setting, z, k, classes)
    for k in range(z.size):
        if not math.isnan(z[k]):
            chance = math.exp(np.float64(y[k]) - most - log_sum)
            pull = mass * chance - _target(CROSS_ENTROPY, setting, z, k, classes)
            slope[outputs[k]] += slope.dtype.type(weight * pull)
