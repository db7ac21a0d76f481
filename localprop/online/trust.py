"""How far a mixture is followed rather than the last value, by what is certain of either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .smoothing import smooth

MEMORY = 2000.0  # rows over which errors count
STEEPNESS, CERTAIN = 5.0, 0.2  # of the logistic function, in standard errors of a mean
ROUNDED = 1e-9  # of an error
PAIRS = ((0, 1), (0, 2), (1, 2))  # last value, last season, mixture


class Trust:
    """Follows the last season, and the mixture, as far as they were better for certain.

    Of two forecasts with errors $e, e'$, the second is followed by the share
    $\\sigma(5\\,(t - 0.2))$, $t = \\sum\\rho^k (e - e') / \\sqrt{H \\sum\\rho^k (e - e')^2}$: the
    mean gain in standard errors, as errors $H$ rows ahead come in runs of $H$ (Diebold and Mariano,
    *Comparing predictive accuracy*, 1995), forgetting with $\\rho = 1 - 1/2000$.

    **Arguments:** `horizon`; `state`, or `None` to begin.
    """

    def __init__(self, horizon: int, state: Mapping[str, Any] | None = None):
        self.horizon = horizon
        self.sums = np.array(state["sums"] if state else np.zeros(6), dtype=float)
        self.rows = float(state["rows"]) if state else 0.0

    def after(self, errors: np.ndarray) -> np.ndarray:
        """Takes errors in and returns the sums after each row, `(T, 6)`, for `follow`.

        **Arguments:** `errors`: of last value, last season and mixture, `(T, 3)`, in any unit.
        """
        if not len(errors):
            return np.zeros((0, 6))
        gains = np.stack([errors[:, a] - errors[:, b] for a, b in PAIRS], axis=1)
        # What is but rounded otherwise is no gain.
        gains = np.where(np.abs(gains) > ROUNDED * errors.max(axis=1, keepdims=True), gains, 0.0)
        new = np.column_stack([gains, gains**2, np.ones(len(gains))])
        sums = smooth(new, 1 - 1 / MEMORY, 1.0, np.append(self.sums, self.rows))
        self.sums, self.rows = sums[-1, :-1].copy(), float(sums[-1, -1])
        return sums[:, :-1]

    def replace(self, last: np.ndarray, season: np.ndarray, share: np.ndarray) -> None:
        """Judges a season that was just found by what its errors would have been.

        The mixture, which would have known it too, is taken to be no worse than it.

        **Arguments:** `last`, `season`: errors `(T,)`; `share`: what each row counts, 1 together.
        """
        gain = last - season
        gained, square = float(share @ gain) * self.rows, float(share @ gain**2) * self.rows
        mixed, mixed_square = self.sums[1], self.sums[4]
        if gained > mixed:
            self.sums = np.array([gained, gained, 0.0, square, square, 0.0])
        else:
            both = square + mixed_square
            self.sums = np.array([gained, mixed, mixed - gained, square, mixed_square, both])

    def follow(self, sums: np.ndarray, guesses: np.ndarray) -> np.ndarray:
        """Returns one forecast of three, `(T,)`.

        **Arguments:** `sums`: `(T, 6)`; `guesses`: last value, last season, mixture, `(T, 3)`.
        """
        error = np.sqrt(self.horizon * sums[:, 3:])
        t = np.where(error > 0, sums[:, :3] / np.where(error > 0, error, 1.0), 0.0)
        share = 1 / (1 + np.exp(-STEEPNESS * np.clip(t - CERTAIN, -60.0, 60.0)))
        last, season, mixture = guesses.T
        simple = last + share[:, 0] * (season - last)
        mixed = np.where(sums[:, 0] > 0, share[:, 2], share[:, 1])
        return simple + mixed * (mixture - simple)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"sums": self.sums.tolist(), "rows": self.rows}
