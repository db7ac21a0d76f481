"""Intervals around a predicted number that hold as often as they say, whatever the noise does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99])
STEP = 0.1  # of the logarithm of a radius, per row
MEMORY = 50  # rows over which the size of an error is averaged
LEAP = 10.0  # errors count as at most so many times their usual size
ROWS = 1000  # rows in a call of the compiled loop


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
        for start in range(0, len(errors), ROWS):
            part = errors[start : start + ROWS]
            padded = np.full(ROWS, np.nan, np.float32)
            padded[: len(part)] = part
            carry = (self.radii, self.size, np.int32(self.count))
            carry, sizes, radii = _track(padded, len(part), carry)
            self.radii, self.size = np.asarray(carry[0]), np.float32(carry[1])
            self.count = int(carry[2])
            rows = np.asarray(radii)[: len(part)].astype(float)
            found[start : start + len(part)] = np.asarray(sizes)[: len(part)] * _between(
                rows, level
            )
        return found

    def radius(self, level: float) -> float:
        """Returns the radius that the next error stays within, with probability `level`."""
        if not self.count:
            return float("nan")
        return float(self.size) * float(_between(self.radii[None].astype(float), level)[0])

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


def _between(radii: np.ndarray, level: float) -> np.ndarray:
    """Returns the radius at a level, row by row, interpolated over $-\\log(1 - \\text{level})$."""
    places = np.concatenate([[0.0], -np.log(1 - LEVELS)])
    values = np.maximum.accumulate(np.exp(radii), axis=1)
    values = np.concatenate([np.zeros((len(values), 1)), values], axis=1)
    place = -np.log(1 - level)
    if place > places[-1]:  # beyond the last level radii go on as they went
        return values[:, -1] * place / places[-1]
    above = max(1, int(np.searchsorted(places, place)))
    share = (place - places[above - 1]) / (places[above] - places[above - 1])
    return values[:, above - 1] + share * (values[:, above] - values[:, above - 1])


@jax.jit
def _track(errors: Array, rows: Any, carry: Any) -> Any:
    """Returns the carry after the first `rows` errors, and sizes and radii before each of them."""
    outside = jnp.asarray(1 - LEVELS, errors.dtype)

    def body(i: Any, everything: Any) -> Any:
        (radii, size, count), sizes, before = everything
        sizes, before = sizes.at[i].set(size), before.at[i].set(radii)
        error, known = errors[i], jnp.isfinite(errors[i])
        missed = error > size * jnp.exp(radii)
        moved = jnp.where(count > 0, radii + STEP * (missed - outside), radii)
        usual = jnp.where(size > 0, jnp.minimum(error, LEAP * size), error)
        share = 1 / jnp.minimum(count + 1, MEMORY)
        after = (moved, size + share * (usual - size), count + 1)
        kept = [jnp.where(known, a, b) for a, b in zip(after, (radii, size, count), strict=True)]
        return tuple(kept), sizes, before

    sizes = jnp.zeros(errors.shape, errors.dtype)
    before = jnp.zeros((len(errors), len(LEVELS)), errors.dtype)
    return jax.lax.fori_loop(0, rows, body, (carry, sizes, before))
