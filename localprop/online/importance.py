"""How much each column matters, from the costates that reach the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .compiled import compiled
from .wide import widened

MEMORY = 500.0  # rows over which importance is averaged


class Importance:
    """A running mean, per input, of $|u_j\\,(D_u^\\top\\lambda)_j|$.

    $D_u^\\top\\lambda$ is the slope of the loss at the inputs; times the input, it says how much of
    the loss would go or come if that input were the mean. It forgets with $1 - 1/500$ per row.
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.means = np.array(state["means"] if state else [], dtype=float)

    def update(
        self, u: np.ndarray, slope: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        """Takes in inputs and the loss's slopes there, each `(rows, inputs)`.

        **Arguments:** `before`: what mattered of the inputs of rows before, `(rows, inputs)`, and
        the share in the answer that it has, `(rows,)`.
        """
        self.means = widened(self.means, max(u.shape[1], len(self.means))).copy()
        more, share = (np.zeros((len(u), 0)), np.zeros(len(u))) if before is None else before
        given = np.ascontiguousarray(u), np.ascontiguousarray(slope), more, share
        compiled(_follow)(*given, 1 - 1 / MEMORY, self.means)

    def shares(self, columns: list[str], names: list[str]) -> dict[str, float]:
        """Returns each column's share of the whole, the largest first.

        **Arguments:** `columns`: that the inputs belong to, in order; `names` of all columns.
        """
        total = dict.fromkeys(names, 0.0)
        for column, mean in zip(columns, self.means, strict=False):
            total[column] = total.get(column, 0.0) + float(mean)
        whole = sum(total.values()) or 1.0
        shares = {name: value / whole for name, value in total.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"means": self.means.tolist()}


def share_of(weights: np.ndarray, own: int, networks: int) -> np.ndarray:
    """Returns the share of one network in what those say that come first, `(T,)`.

    **Arguments:** `weights`: `(T, experts)`; `own`: which; `networks`: how many.
    """
    share = np.empty(len(weights))
    compiled(_share)(weights, own, networks, share)
    return share


def prepare() -> None:
    """Compiles the loops, or reads them from where they were kept, before anything is learned."""
    one = np.zeros((1, 1), np.float32)
    Importance().update(one, one)
    share_of(np.ones((1, 1)), 0, 1)


def _share(weights: Any, own: int, networks: int, share: Any) -> None:
    for t in range(len(weights)):
        total = 0.0
        for e in range(networks):
            total += weights[t, e]
        share[t] = weights[t, own] / total if total > 0 else 0.0


def _follow(u: Any, slope: Any, more: Any, share: Any, keep: float, means: Any) -> None:
    for t in range(len(u)):
        used = min(u.shape[1], slope.shape[1])  # what was never but 0 has no neuron yet
        for j in range(len(means)):
            moved = np.float64(abs(u[t, j] * slope[t, j])) if j < used else 0.0
            moved *= 1 - share[t]
            if j < more.shape[1]:
                moved += share[t] * more[t, j]
            if np.isfinite(moved):  # an expert that is about to begin anew may say anything
                means[j] = (1 - keep) * moved + keep * means[j]
