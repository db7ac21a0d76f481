"""A number, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cost import SquaredError
from ..learner.samples import Trace
from ..table.table import Column
from .interval import Intervals, count_covered, coverage
from .moments import Moments, hold, standardised
from .score import Score
from .task import CLIP, LEVEL, AbstractTask, Answers, Encoded, finite


class Regression(AbstractTask):
    """A number, standardised with its mean and deviation so far."""

    name = "regression"
    loss = SquaredError()
    unscored = "a first number has none before it by which it could be predicted"

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.moments = Moments(**state["moments"]) if state else Moments()
        self.intervals = Intervals(state["intervals"] if state else None)
        self.last = float("nan")  # the number that was met last
        if state and state["last"] is not None:
            self.last = float(state["last"])
        self.covered = list(state["covered"]) if state else [0, 0]  # inside, of how many
        fresh = Score("mean absolute error", ["running mean", "last value"])
        self.score = Score.restore(state["score"]) if state else fresh

    @property
    def outputs(self) -> int:
        return 1

    @property
    def labelled(self) -> int:
        return self.moments.count

    def encode(self, u: np.ndarray, target: Column) -> Encoded:
        y = finite(target.values)
        start = self.moments.count
        mean, deviation = self.moments.update(y)
        z = standardised(y, mean[1:], deviation[1:], CLIP)
        z = np.where(np.isnan(y), np.nan, z)[:, None]
        # A first value has nothing before it by which it could be predicted, not even a mean.
        seen = start + np.cumsum(~np.isnan(y)) - ~np.isnan(y)
        scored = ~np.isnan(y) & (seen > 0)
        held = hold(np.concatenate([[self.last], y]))
        self.last = float(held[-1])
        return Encoded(u, z, None, (y, mean[:-1], deviation[:-1], held[:-1], scored))

    def update_score(self, key: Any, trace: Trace) -> Answers:
        y, mean, deviation, last, scored = key
        answer = mean + deviation * np.asarray(trace["output"], dtype=float)[:, 0]
        errors = np.abs(answer - y)
        self.score.update(*(e[scored] for e in (errors, np.abs(mean - y), np.abs(last - y))))
        unit = np.where(deviation > 0, deviation, np.nan)
        radius = self.intervals.update(errors / unit, LEVEL) * deviation
        count_covered(self.covered, errors, radius)
        return Answers(np.where(np.isfinite(last), answer, np.nan), radius=radius)

    def read(self, output: np.ndarray) -> Answers:
        mean, deviation = self._present()
        values = mean + deviation * np.asarray(output, dtype=float)[:, 0]
        return Answers(values, radius=self.radius(LEVEL, len(values)))

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of rows to come."""
        return np.full(rows, self.intervals.radius(level) * self._present()[1])

    def forget_errors(self) -> None:
        self.intervals = Intervals()

    @property
    def metrics(self) -> dict[str, float]:
        return coverage(self.covered)

    def state(self) -> dict[str, Any]:
        return {
            "moments": self.moments.state(),
            "intervals": self.intervals.state(),
            "last": self.last,
            "covered": self.covered,
            "score": self.score.state(),
        }

    def _present(self) -> tuple[float, float]:
        """Returns mean and deviation so far, NaN before the first number."""
        if not self.moments.count:
            return float("nan"), float("nan")
        mean, deviation = self.moments.look(np.array([np.nan]))
        return float(mean[0]), float(deviation[0])
