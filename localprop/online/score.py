"""How well it went: prequential score against baselines, and its curve over the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .curve import Curve


class Score:
    """Mean over the samples of a merit (accuracy) or an error, predicted before learned.

    **Arguments:** `metric`: `"accuracy"` or `"mean absolute error"`; `fools`: names of what would
    answer without learning; `curve`: with which to begin, `None` for a new one: the sum of the
    score, and of each fool's.
    """

    def __init__(self, metric: str, fools: Sequence[str], curve: Curve | None = None):
        self.metric, self.fools = metric, list(fools)
        self.curve = Curve(1 + len(self.fools)) if curve is None else curve

    def update(self, values: np.ndarray, *fools: np.ndarray) -> None:
        """Takes in one value per scored sample, and what each fool got for it."""
        self.curve.extend(np.stack([values, *fools]))

    @property
    def samples(self) -> int:
        """How many were scored so far."""
        return int(self.curve.totals[0])

    @property
    def total(self) -> float:
        """The sum over them."""
        return self.curve.totals[1]

    @property
    def fools_totals(self) -> list[float]:
        """The sum of each fool's."""
        return self.curve.totals[2:]

    @property
    def value(self) -> float:
        """The score over all samples so far; NaN before the first."""
        return self.total / self.samples if self.samples else float("nan")

    @property
    def baseline(self) -> str:
        """Name of the fool that did best so far."""
        return self.fools[self._best]

    @property
    def baseline_value(self) -> float:
        """The score of the best fool over the same samples."""
        return self.fools_totals[self._best] / self.samples if self.samples else float("nan")

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric is a merit."""
        return self.metric == "accuracy"

    @property
    def _best(self) -> int:
        return int((np.argmax if self.higher_is_better else np.argmin)(self.fools_totals))

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the curve: samples seen, score and the best fool's score within each point."""
        seen, means = self.curve.means()
        return seen, means[0], means[1 + self._best]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {
            "metric": self.metric,
            "fools": self.fools,
            "samples": self.samples,
            "total": self.total,
            "fools_totals": self.fools_totals,
            "width": self.curve.width,
            "curve": self.curve.points,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Score:
        """Returns the score whose `state` this was."""
        totals = [state["samples"], state["total"], *state["fools_totals"]]
        curve = Curve(1 + len(state["fools"]), state["width"], state["curve"], totals)
        return cls(state["metric"], state["fools"], curve)
