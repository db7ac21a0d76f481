"""How long each sample of a table lasts, from a column of times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StreamError
from .moments import Moments

# In units of the mean duration so far. A hop moves a weight by τ² × force / mass, so that no row
# counts less than about half as much, or more than twice as much, as one of mean duration. With the
# settings of `defaults.py` longer hops are not sound either: friction θτ = 0.7 × 1.4 stays below 1,
# and output neurons under least action are unstable from τ = 1.9 on, where
# τ² (κ + L_xx) > 2 m_x (2 + θτ) for κ = 0.3, m_x = 0.6, θ = 1 and squared error.
SHORTEST, LONGEST = 0.7, 1.4


class Durations:
    """Durations relative to their mean so far, within [0.7, 1.4].

    A sample lasts as long as the one before it was ago: what comes after it is not known yet. The
    bounds keep two rows of the same second from vanishing and a night's silence from counting as
    one enormous step.
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.last = state["last"] if state else None
        self.moments = Moments(**state["moments"]) if state else Moments()

    def encode(self, times: np.ndarray, lines: np.ndarray, column: str) -> np.ndarray:
        """Takes a piece's times in and returns its relative durations, `(rows,)`.

        **Arguments:** `times`: in any unit, NaN where missing; `lines`: of the file, and `column`:
        for the message.

        **Raises:** `StreamError` where time runs backwards.
        """
        known = np.isfinite(times)
        stamps = np.concatenate([[np.nan if self.last is None else self.last], times])
        gap = np.full(len(times), np.nan)
        at = np.flatnonzero(np.isfinite(stamps))
        later = at[1:] - 1  # rows that have a known time and a known time before them
        gap[later] = np.diff(stamps[at])
        backwards = np.flatnonzero(gap < 0)
        if len(backwards):
            row = backwards[0]
            raise StreamError(
                f"time runs backwards, by {-gap[row]:g}; sort the file by '{column}', or leave "
                "--time away",
                line=int(lines[row]),
                column=column,
            )
        if known.any():
            self.last = float(times[np.flatnonzero(known)[-1]])
        mean, _ = self.moments.update(gap)
        mean = mean[1:]
        return _relative(gap, mean)

    def look(self, times: np.ndarray) -> np.ndarray:
        """Returns the relative duration of each row as if it were the next one, `(rows,)`."""
        gap = times - (np.nan if self.last is None else self.last)
        gap = np.where(gap >= 0, gap, np.nan)  # a row from before: as long as any
        mean, _ = self.moments.look(gap)
        return _relative(gap, mean)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"last": self.last, "moments": self.moments.state()}


def _relative(gap: np.ndarray, mean: np.ndarray) -> np.ndarray:
    relative = np.where(np.isnan(gap) | (mean <= 0), 1.0, gap / np.where(mean > 0, mean, 1.0))
    return np.clip(relative, SHORTEST, LONGEST)
