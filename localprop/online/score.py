"""How well it went: prequential score against baselines, and its curve over the stream."""

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
        self.total = float(running(self.total, values)[-1])
        pairs = zip(self.fools_totals, fools, strict=True)
        self.fools_totals = [float(running(total, got)[-1]) for total, got in pairs]
        self._extend_curve(np.stack([values, *fools]))
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
        curve = np.array(self.curve, dtype=float).reshape(-1, 2 + len(self.fools)).T
        counts, sums, baseline = curve[0], curve[1], curve[2 + self._best]
        return np.cumsum(counts), sums / counts, baseline / counts

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return dict(vars(self))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Score:
        """Returns the score whose `state` this was."""
        return cls(**state)

    def _extend_curve(self, values: np.ndarray) -> None:
        start, rows = 0, values.shape[1]
        while start < rows:
            if not self.curve or self.curve[-1][0] >= self.width:
                self._merge_if_full()
                self.curve.append([0.0] * (1 + len(values)))
            last = self.curve[-1]
            stop = min(rows, start + self.width - int(last[0]))
            last[0] += stop - start
            for k, got in enumerate(values, start=1):
                last[k] = float(running(last[k], got[start:stop])[-1])
            start = stop

    def _merge_if_full(self) -> None:
        if len(self.curve) < POINTS:
            return
        pairs = zip(self.curve[::2], self.curve[1::2], strict=True)
        self.curve = [[a + b for a, b in zip(p, q, strict=True)] for p, q in pairs]
        self.width *= 2
