"""Intervals around a predicted number that hold as often as they say, whatever the noise does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .compiled import compiled

LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99])
STEP = 0.1  # of the logarithm of a radius, per row
MEMORY = 50  # rows over which the size of an error is averaged
LEAP = 10.0  # errors count as at most so many times their usual size
_PLACES = np.concatenate([[0.0], -np.log(1 - LEVELS)])  # between which radii are interpolated
_OUTSIDE = (1 - LEVELS).astype(np.float32)
_STEP, _LEAP, _ONE = np.float32(STEP), np.float32(LEAP), np.float32(1)


class Intervals:
    """Radii of intervals, one per level, each driven by how often it was too small.

    A radius is $q_k = s\\,e^{\\rho_k}$, with $s$ the mean size of the errors lately. After an
    error $r$, $\\rho_k \\leftarrow \\rho_k + \\eta\\,([r > q_k] - (1 - \\text{level}_k))$: quantile
    tracking, the adaptive conformal inference of Gibbs and Candès (2021) on the radius itself, in
    the form of Angelopoulos, Candès and Tibshirani (*Conformal PID control*, 2023). The steps sum
    up to the distance that $\\rho_k$ went, so over $T$ rows the share of errors outside differs
    from the asked one by that distance over $\\eta T$: nothing is assumed of the stream.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.interval import Intervals
        >>> intervals = Intervals()
        >>> errors = np.abs(np.random.default_rng(0).normal(size=4000))
        >>> radii = intervals.update(errors)
        >>> bool(abs(np.mean(errors[500:] <= radii[500:]) - 0.9) < 0.02)
        True

        ```
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        start = -np.log(1 - LEVELS)  # as if errors were Laplace's
        self.radii = np.array(state["radii"] if state else np.log(start), np.float32)
        self.size = np.float32(state["size"] if state else 0.0)
        self.count = int(state["count"]) if state else 0

    def update(self, errors: np.ndarray, level: float = 0.9) -> np.ndarray:
        """Takes errors in and returns the radius that stood before each of them.

        **Arguments:** `errors`: `(T,)`, absolute, in any unit; NaN changes nothing.
        """
        found = np.empty(len(errors))
        given = np.asarray(errors, float), -math.log(1 - level), _PLACES, _OUTSIDE, self.radii
        size, self.count = compiled(_track)(*given, self.size, self.count, found)
        self.size = np.float32(size)
        return found

    def radius(self, level: float) -> float:
        """Returns the radius that the next error stays within, with probability `level`."""
        nothing = np.full(1, np.nan)  # which changes nothing
        return float(self.update(nothing, level)[0]) if self.count else float("nan")

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"radii": self.radii.tolist(), "size": float(self.size), "count": self.count}


def count_covered(covered: list[int], errors: np.ndarray, radius: np.ndarray) -> None:
    """Adds to `[inside, judged]` the errors within their radius, and those that have one."""
    judged = np.isfinite(errors) & np.isfinite(radius)
    covered[0] += int(np.sum(errors[judged] <= radius[judged]))
    covered[1] += int(np.sum(judged))


def coverage(covered: list[int]) -> dict[str, float]:
    """Returns the share of errors inside, by its name, once any was judged."""
    inside, judged = covered
    return {"coverage of 90 % intervals": inside / judged} if judged else {}


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    Intervals().update(np.zeros(1))


def _track(
    errors: Any,
    place: float,
    places: Any,
    outside: Any,
    radii: Any,
    size: Any,
    count: int,
    found: Any,
) -> tuple[Any, int]:
    """Follows errors; writes the radius before each, interpolated over $-\\log(1-\\text{level})$.

    In single precision, as radii are kept.
    """
    last = len(radii)
    for t in range(len(errors)):
        below, above, k = 0.0, np.exp(np.float64(radii[0])), 1
        while k < last and places[k] < place:
            below, above, k = above, max(above, np.exp(np.float64(radii[k]))), k + 1
        share = (place - places[k - 1]) / (places[k] - places[k - 1])
        found[t] = size * (below + share * (above - below))
        if place > places[last]:  # beyond the last level radii go on as they went
            found[t] = size * (above * place / places[last])
        error = np.float32(errors[t])
        if not abs(error) < np.inf:
            continue
        for k in range(last if count > 0 else 0):
            missed = _ONE if error > size * np.exp(radii[k]) else _ONE - _ONE
            radii[k] += _STEP * (missed - outside[k])
        usual = min(error, _LEAP * size) if size > 0 else error
        size += _ONE / np.float32(min(count + 1, MEMORY)) * (usual - size)
        count += 1
    return size, count
