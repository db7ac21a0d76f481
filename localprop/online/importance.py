"""How much each column matters, from the costates that reach the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .smoothing import smooth
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
        width = max(u.shape[1], len(self.means))
        self.means = widened(self.means, width)
        used = min(u.shape[1], slope.shape[1])  # what was never but 0 has no neuron yet
        moved = np.abs(u[:, :used] * slope[:, :used], dtype=float)
        moved = widened(moved, width)
        if before is not None:
            more, share = before
            moved *= 1 - share[:, None]
            moved[:, : more.shape[1]] += share[:, None] * more
        keep = 1 - 1 / MEMORY
        self.means = smooth(moved, keep, 1 - keep, self.means)[-1]

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
