"""How well it went: prequential score against a baseline, and its curve over the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .moments import running

POINTS = 256  # most points of a curve; more are merged in pairs


@dataclass
class Score:
    """Mean over the samples of a merit (accuracy) or an error, predicted before learned.

    **Fields:** `metric`: `"accuracy"` or `"mean absolute error"`; `baseline`: name of what a fool
    would answer; `samples`: scored so far; `total`, `baseline_total`: sums over them; `width`:
    samples per point of the curve; `curve`: per point `[samples, sum, sum of the baseline]`.
    """

    metric: str
    baseline: str
    samples: int = 0
    total: float = 0.0
    baseline_total: float = 0.0
    width: int = 1
    curve: list[list[float]] = field(default_factory=list)

    def update(self, values: np.ndarray, baseline: np.ndarray) -> None:
        """Takes in one value per scored sample, and what the baseline got for it."""
        if len(values) == 0:
            return
        self.total = float(running(self.total, values)[-1])
        self.baseline_total = float(running(self.baseline_total, baseline)[-1])
        self._extend_curve(values, baseline)
        self.samples += len(values)

    @property
    def value(self) -> float:
        """The score over all samples so far; NaN before the first."""
        return self.total / self.samples if self.samples else float("nan")

    @property
    def baseline_value(self) -> float:
        """The baseline's score over the same samples."""
        return self.baseline_total / self.samples if self.samples else float("nan")

    @property
    def higher_is_better(self) -> bool:
        """Whether the metric is a merit."""
        return self.metric == "accuracy"

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the curve: samples seen, score and baseline's score within each point."""
        counts, sums, baseline = np.array(self.curve, dtype=float).reshape(-1, 3).T
        return np.cumsum(counts), sums / counts, baseline / counts

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return dict(vars(self))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Score:
        """Returns the score whose `state` this was."""
        return cls(**state)

    def _extend_curve(self, values: np.ndarray, baseline: np.ndarray) -> None:
        start = 0
        while start < len(values):
            if not self.curve or self.curve[-1][0] >= self.width:
                self._merge_if_full()
                self.curve.append([0.0, 0.0, 0.0])
            last = self.curve[-1]
            stop = min(len(values), start + self.width - int(last[0]))
            last[0] += stop - start
            last[1] = float(running(last[1], values[start:stop])[-1])
            last[2] = float(running(last[2], baseline[start:stop])[-1])
            start = stop

    def _merge_if_full(self) -> None:
        if len(self.curve) < POINTS:
            return
        pairs = zip(self.curve[::2], self.curve[1::2], strict=True)
        self.curve = [[a + b for a, b in zip(p, q, strict=True)] for p, q in pairs]
        self.width *= 2
