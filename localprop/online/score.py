"""How well it went: prequential score against baselines, and its curve over the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .curve import Curve
from .moments import summed


@dataclass
class Score:
    """Mean over the samples of a merit (accuracy) or an error, predicted before learned.

    **Fields:** `metric`: `"accuracy"` or `"mean absolute error"`; `fools`: names of what would
    answer without learning; `samples`: scored so far; `total`, `fools_totals`: sums over them;
    `width`: samples per point of the curve; `curve`: per point `[samples, sum, sum of each fool]`.
    """

    metric: str
    fools: list[str]
    samples: int = 0
    total: float = 0.0
    fools_totals: list[float] = field(default_factory=list)
    width: int = 1
    curve: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fools_totals = self.fools_totals or [0.0] * len(self.fools)

    def update(self, values: np.ndarray, *fools: np.ndarray) -> None:
        """Takes in one value per scored sample, and what each fool got for it."""
        if len(values) == 0:
            return
        self.total = summed(self.total, values)
        pairs = zip(self.fools_totals, fools, strict=True)
        self.fools_totals = [summed(total, got) for total, got in pairs]
        curve = Curve(self.width, self.curve)
        curve.extend(np.stack([values, *fools]))
        self.width, self.curve = curve.width, curve.points
        self.samples += len(values)

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
        seen, means = Curve(self.width, self.curve).means(1 + len(self.fools))
        return seen, means[0], means[1 + self._best]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return dict(vars(self))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Score:
        """Returns the score whose `state` this was."""
        return cls(**state)
