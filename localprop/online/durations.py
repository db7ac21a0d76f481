"""How long each sample of a table lasts, from a column of times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StreamError
from ..law import Hamiltonian, Inertial, LeastAction
from .moments import Moments

# In units of the mean duration so far. At infinite speed a duration reaches the weights alone: a
# hop moves them by τ² × force / mass, so that a row counts half as much to twice as much as one of
# mean duration. That is within what is stable (`longest_stable`; experts that keep no momentum, of
# friction 1, keep none in a longer row either). Wider bounds cost accuracy under
# both laws, also where nothing is unstable: rows that count unequally are fewer rows
# (benchmarks/durations.md).
SHORTEST, LONGEST = 0.5**0.5, 2**0.5


def longest_stable(law: Hamiltonian | LeastAction, curvature: float = 1.0) -> float:
    """Returns the length of a hop, in the law's unit of time, up to which it is sound.

    `Hamiltonian`: $\\theta\\tau < 1$; beyond, friction has to be cut off, or it would throw weights
    back. `LeastAction`, whose friction is implicit, by its output neurons: a hop is
    $p \\leftarrow (p - \\tau hx)/(1 + \\theta\\tau)$, $x \\leftarrow x + \\tau p/m$ with
    $h = \\kappa + L_{xx}$, and both roots of $z^2 - (1 + k - \\tau^2hk/m)z + k$,
    $k = 1/(1 + \\theta\\tau)$, lie in the unit circle where $\\tau^2 h < 2m(2 + \\theta\\tau)$.

    **Arguments:** `law`: least action with inertial neurons; `curvature`: $L_{xx}$, 1 for squared
    error and at most ½ for cross-entropy.

    !!! example

        ```python
        >>> from localprop import LeastAction
        >>> from localprop.law import untuned_law
        >>> from localprop.online.durations import longest_stable
        >>> [round(longest_stable(law), 2) for law in (untuned_law(), LeastAction())]
        [1.43, 1.9]

        ```
    """
    if isinstance(law, Hamiltonian):
        return 1 / law.dissipation
    assert isinstance(law.neurons, Inertial), "overdamped neurons have a bound of their own"
    m, theta, h = law.neurons.mass, law.neurons.dissipation, law.stiffness + curvature
    return (m * theta + math.sqrt((m * theta) ** 2 + 4 * m * h)) / h


class Durations:
    """Durations relative to their mean so far, within [√½, √2].

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
