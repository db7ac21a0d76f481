"""A column's own future."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.table import Column, ColumnKind
from .defaults import NAMES
from .interval import Intervals, count_covered, coverage
from .mixture import Mixture
from .moments import hold, standardised
from .score import Score
from .task import CLIP, LEVEL, AbstractTask, Answers, Encoded, finite, within
from .window import Window

LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # rows back, of the changes that are looked at
OWN = ["last value"]  # experts that are no networks
MARK = "\x1f"  # names of what is derived begin with it, and no column's does


class Forecast(AbstractTask):
    """The target column `horizon` rows ahead, from its own past and that of every other column.

    Row $t$ teaches with what was known at $t - H$ and the value at $t$; then the networks are asked
    with what is known at $t$, and their answers are kept until row $t + H$ scores them. A network
    answers with the change from the last value, in units of that change's size lately.
    """

    name = "forecast"
    unscored = "no row comes so far after another with a target that a forecast was due"

    def __init__(self, horizon: int, state: Mapping[str, Any] | None = None):
        self.horizon = horizon
        state = state or {}
        self.count = int(state.get("count", 0))
        self.change = Window(state.get("change"))
        # Values of the last rows, held over gaps.
        self.past = np.array(state.get("past", [np.nan] * (LAGS[-1] + horizon)), dtype=float)
        names, kept = [*NAMES, *OWN], state.get("mixture")
        self.mixture = Mixture(names, relative=True, favoured=OWN[0], state=kept)
        # Per row to come: what each expert says, the size of a change, and what is answered.
        width = len(self.mixture.names) + 2
        self.pending = np.array(state.get("pending", [[np.nan] * width] * horizon), dtype=float)
        self.intervals = Intervals(state.get("intervals"))
        self.covered = list(state.get("covered", [0, 0]))  # inside, of how many
        fresh = Score("mean absolute error", ["last value"])
        self.score = Score.restore(state["score"]) if state else fresh

    @property
    def outputs(self) -> int:
        return 1

    @property
    def labelled(self) -> int:
        return self.count

    def features(self, columns: Mapping[str, Column], target: Column) -> dict[str, Column]:
        """Returns what is known at each row: the other columns, and the target's own past."""
        rows = len(target.values)
        held = hold(np.concatenate([self.past, finite(target.values)]))[-rows - LAGS[-1] :]
        now = held[LAGS[-1] :]
        found = dict(columns)
        found[f"{MARK}level"] = Column(ColumnKind.NUMBER, now)
        for lag in LAGS:
            change = now - held[LAGS[-1] - lag : len(held) - lag]
            found[f"{MARK}change over {lag}"] = Column(ColumnKind.NUMBER, change)
        return found

    def encode(self, target: Column) -> Encoded:
        y, rows = finite(target.values), len(target.values)
        held = hold(np.concatenate([self.past, y]))
        self.past = held[-len(self.past) :].copy()
        self.count += int(np.isfinite(y).sum())
        last, then = held[-rows:], held[-rows - self.horizon : -self.horizon]
        change = y - then
        _, now = self.change.update(change)
        size = np.hypot(now.mean, now.deviation)
        return Encoded(change, (y, last.copy(), size))

    def targets(self, raw: np.ndarray, key: Any) -> np.ndarray:
        size = key[2][:, None]
        z = standardised(raw, np.zeros_like(size), size, CLIP)
        return np.where(np.isnan(raw), np.nan, z)[..., None]

    def update_score(self, key: Any, outputs: np.ndarray) -> Answers:
        y, last, size = key
        rows, experts = len(y), len(self.mixture.names)
        guesses = np.column_stack([last[:, None] + size[:, None] * within(outputs[:, :, 0]), last])
        asked = np.concatenate(
            [self.pending, np.column_stack([guesses, size, np.full(rows, np.nan)])]
        )
        due = asked[:rows]
        fool = due[:, len(NAMES)]
        judged = np.isfinite(y) & np.isfinite(fool)
        unit = np.where(due[:, experts] > 0, due[:, experts], 1.0)
        losses = np.abs(due[:, :experts] - y[:, None]) / unit[:, None]
        weights, start = np.empty((rows, experts)), self.mixture.weights
        # The weights after a row: what was due there is known when the next forecast is made.
        weights[judged] = self.mixture.after(losses[judged])
        weights = _held(weights, judged, start)
        asked[self.horizon :, -1] = np.sum(np.where(weights > 0, guesses, 0.0) * weights, axis=1)
        answers = asked[:rows, -1].copy()
        self.pending = asked[-self.horizon :].copy()
        errors = np.where(judged, np.abs(answers - y), np.nan)
        self.score.update(errors[judged], np.abs(fool - y)[judged])
        radius = self.intervals.update(errors / unit, LEVEL) * unit
        count_covered(self.covered, errors, radius)
        return Answers(answers, radius=np.where(np.isfinite(answers), radius, np.nan))

    def read(self, outputs: np.ndarray) -> Answers:
        """Returns the forecasts that are out: row k is the k-th row to come."""
        values = np.full(len(outputs), np.nan)
        values[: self.horizon] = self.pending[: len(outputs), -1]
        return Answers(values, radius=self.radius(LEVEL, len(outputs)))

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of the next rows, NaN where nothing is out."""
        found = np.full(rows, np.nan)
        out = self.pending[:rows]
        unit = np.where(out[:, -2] > 0, out[:, -2], 1.0)
        radius = self.intervals.radius(level) * unit
        found[: self.horizon] = np.where(np.isfinite(out[:, -1]), radius, np.nan)
        return found

    def forget_errors(self) -> None:
        self.intervals = Intervals()

    @property
    def metrics(self) -> dict[str, float]:
        return coverage(self.covered)

    def state(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "change": self.change.state(),
            "past": self.past.tolist(),
            "mixture": self.mixture.state(),
            "pending": self.pending.tolist(),
            "intervals": self.intervals.state(),
            "covered": self.covered,
            "score": self.score.state(),
        }


def _held(values: np.ndarray, known: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns each row's values, where they are not known those of the row before."""
    at = np.maximum.accumulate(np.where(known, np.arange(len(known)) + 1, 0))
    return np.concatenate([start[None], values])[at]
