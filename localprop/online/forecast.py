"""A column's own future."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..learner import Trace
from ..table.table import Column
from .interval import Intervals, count_covered, coverage
from .moments import Moments, hold, standardised
from .score import Score
from .shrinkage import Shrinkage
from .task import CLIP, LEVEL, AbstractTask, Answers, Encoded, finite

WINDOW = 64  # past values that a forecast looks at


class Forecast(AbstractTask):
    """The target column `horizon` rows ahead, from its own past.

    Row $t$ teaches with the window that ended at $t - H$ and the value at $t$; then the network is
    asked with the window that ends at $t$, and its answer is kept until row $t + H$ scores it. The
    network answers with the change from the last value, in units of that change's size so far; it
    is followed as far as its answers were right lately.
    """

    name = "forecast"
    unscored = "no row comes so far after another with a target that a forecast was due"

    def __init__(self, horizon: int, state: Mapping[str, Any] | None = None):
        self.horizon = horizon
        state = state or {}
        self.level = Moments(**state.get("level", {}))
        self.increment = Moments(**state.get("increment", {}))
        self.change = Moments(**state.get("change", {}))
        # Values of the last rows, held over gaps, and forecasts whose row has not come yet.
        self.past = np.array(state.get("past", [np.nan] * (WINDOW + horizon)), dtype=float)
        # per row: the change that the network answered, its unit, the last value, the forecast.
        self.pending = np.array(state.get("pending", [[np.nan] * 4] * horizon), dtype=float)
        self.shrinkage = Shrinkage(**state.get("shrinkage", {}))
        self.intervals = Intervals(state.get("intervals"))
        self.covered = list(state.get("covered", [0, 0]))  # inside, of how many
        fresh = Score("mean absolute error", ["last value"])
        self.score = Score.restore(state["score"]) if state else fresh

    @property
    def outputs(self) -> int:
        return 1

    def inputs(self, encoded: int) -> int:
        del encoded  # a forecast looks at the target's own past alone
        return WINDOW

    @property
    def labelled(self) -> int:
        return self.level.count

    @property
    def record(self) -> tuple[str, ...]:
        return ("answer",)

    def encode(self, u: np.ndarray, target: Column) -> Encoded:
        del u  # a forecast looks at the target's own past alone
        y, rows, h = finite(target.values), len(target.values), self.horizon
        held = hold(np.concatenate([self.past, y]))
        self.past = held[-len(self.past) :].copy()
        windows = np.lib.stride_tricks.sliding_window_view(held, WINDOW)
        now, then = windows[-rows:], windows[-rows - h : -h]

        scales = self._scales(y, held[-rows - 1 :])
        change = y - then[:, -1]
        size = _size(self.change, change)
        z = standardised(change, np.zeros(rows), size, CLIP)
        z = np.where(np.isnan(change), np.nan, z)[:, None]
        query = self._features(now, *scales)
        return Encoded(self._features(then, *scales), z, query, (y, now[:, -1].copy(), size))

    def update_score(self, key: Any, trace: Trace) -> Answers:
        y, last, size = key
        answer = np.asarray(trace["answer"], dtype=float)[:, 0]
        asked = np.concatenate([self.pending, np.stack([answer, size, last, last], axis=1)])
        then, now = asked[: len(y)], asked[self.horizon :]
        unit = np.where(then[:, 1] > 0, then[:, 1], 1.0)
        follow = self.shrinkage.update(then[:, 0], (y - then[:, 2]) / unit)
        now[:, 3] = last + follow * size * answer
        self.pending = asked[-self.horizon :]
        errors, fool = np.abs(then[:, 3] - y), np.abs(then[:, 2] - y)
        scored = np.isfinite(errors)
        self.score.update(errors[scored], fool[scored])
        radius = self.intervals.update(errors / unit, LEVEL) * unit
        count_covered(self.covered, errors, radius)
        return Answers(then[:, 3].copy(), radius=np.where(np.isfinite(then[:, 3]), radius, np.nan))

    def read(self, output: np.ndarray) -> Answers:
        """Returns the forecasts that are out: row k is the k-th row to come."""
        values = np.full(len(output), np.nan)
        values[: self.horizon] = self.pending[: len(output), 3]
        return Answers(values, radius=self.radius(LEVEL, len(output)))

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of the next rows, NaN where nothing is out."""
        found = np.full(rows, np.nan)
        out = self.pending[:rows]
        unit = np.where(out[:, 1] > 0, out[:, 1], 1.0)
        radius = self.intervals.radius(level) * unit
        found[: self.horizon] = np.where(np.isfinite(out[:, 3]), radius, np.nan)
        return found

    def forget_errors(self) -> None:
        self.intervals = Intervals()

    @property
    def metrics(self) -> dict[str, float]:
        return coverage(self.covered)

    def state(self) -> dict[str, Any]:
        return {
            "level": self.level.state(),
            "increment": self.increment.state(),
            "change": self.change.state(),
            "shrinkage": self.shrinkage.state(),
            "past": self.past.tolist(),
            "pending": self.pending.tolist(),
            "intervals": self.intervals.state(),
            "covered": self.covered,
            "score": self.score.state(),
        }

    def _scales(self, y: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, ...]:
        mean, deviation = self.level.update(y)
        return mean[1:], deviation[1:], _size(self.increment, np.diff(held))

    def _features(
        self, windows: np.ndarray, mean: np.ndarray, deviation: np.ndarray, step: np.ndarray
    ) -> np.ndarray:
        """Returns the level and the increments of every window, each at its own scale."""
        level = standardised(windows[:, -1], mean, deviation, CLIP)
        steps = np.diff(windows, axis=1)[:, ::-1]
        zero = np.zeros((len(windows), 1))
        steps = standardised(steps, zero, np.broadcast_to(step[:, None], steps.shape), CLIP)
        return np.concatenate([level[:, None], steps], axis=1)


def _size(moments: Moments, values: np.ndarray) -> np.ndarray:
    """Returns the root mean square of the values so far, each included."""
    mean, deviation = moments.update(values)
    return np.hypot(mean, deviation)[1:]
