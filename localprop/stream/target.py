"""What is to be predicted: classes, numbers, or a column's own future.

Each task turns pieces of a table into samples for the learner and the learner's answers into
scored predictions, using for every prediction only what was known before its target.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cost import Loss, SoftmaxCrossEntropy, SquaredError
from ..errors import StreamError
from ..learner import Trace
from ..score import Score
from .moments import Moments, standardised
from .table import Column, ColumnKind

CLIP = 5.0  # standardised targets beyond this are clipped while learning, not while scoring
MOST_CLASSES = 1000
FEW = 20  # whole numbers with at most so many distinct values are taken for classes
WINDOW = 64  # past values that a forecast looks at


@dataclass(frozen=True)
class Encoded:
    """A piece ready for the learner, and what scoring it will need."""

    u: np.ndarray
    z: np.ndarray
    query: np.ndarray | None
    key: Any


class AbstractTask(abc.ABC):
    """One way to read a target column."""

    name: str
    score: Score
    loss: Loss

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """How many output neurons are needed so far."""

    @property
    @abc.abstractmethod
    def labelled(self) -> int:
        """How many rows had a target so far."""

    @abc.abstractmethod
    def encode(self, u: np.ndarray, target: Column) -> Encoded:
        """Takes a piece in: its inputs, and its target column."""

    @abc.abstractmethod
    def update_score(self, key: Any, trace: Trace) -> None:
        """Scores what the learner answered for a piece."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""

    @property
    def record(self) -> tuple[str, ...]:
        """What the learner has to record for scoring."""
        return ("output",)


class Classification(AbstractTask):
    """Classes as they appear: output neuron k stands for the k-th class met in the stream."""

    name = "classification"
    loss = SoftmaxCrossEntropy()

    def __init__(self, state: Mapping[str, Any] | None = None):
        state = state or {"classes": [], "counts": [], "score": None}
        self.classes: list[str] = list(state["classes"])
        self.counts: list[int] = list(state["counts"])
        self._index = {label: k for k, label in enumerate(self.classes)}
        kept = state["score"]
        self.score = Score.restore(kept) if kept else Score("accuracy", "majority class")

    @property
    def outputs(self) -> int:
        # Room for a few more classes than there are, so that few of them cost a compilation.
        return max(2, 1 << (len(self.classes) - 1).bit_length()) if self.classes else 2

    @property
    def labelled(self) -> int:
        return sum(self.counts)

    def encode(self, u: np.ndarray, target: Column) -> Encoded:
        codes, categories = as_categories(target)
        known_before = self._meet(codes, categories)
        index = np.array([self._index[label] for label in categories] + [-1])  # -1: missing
        truth = index[codes]
        fool = self._majority_before(truth) == truth

        rows = np.flatnonzero(truth >= 0)
        known = np.maximum(known_before, truth + 1)[rows, None]
        z = np.full((len(u), self.outputs), np.nan)  # NaN: no target, or no such class yet
        z[rows] = np.where(np.arange(self.outputs) < known, 0.0, np.nan)
        z[rows, truth[rows]] = 1.0
        return Encoded(u, z, None, (truth, known_before, fool))

    def update_score(self, key: Any, trace: Trace) -> None:
        truth, known_before, fool = key
        logits = np.array(trace["output"], dtype=float)
        logits[np.arange(logits.shape[1]) >= known_before[:, None]] = -np.inf
        right = (logits.argmax(axis=1) == truth) & (known_before > 0)
        scored = truth >= 0
        self.score.update(right[scored].astype(float), fool[scored].astype(float))

    def state(self) -> dict[str, Any]:
        return {"classes": self.classes, "counts": self.counts, "score": self.score.state()}

    def _meet(self, codes: np.ndarray, categories: list[str]) -> np.ndarray:
        """Numbers new classes as they appear; returns how many were known before each row."""
        first_rows, base = [], len(self.classes)
        for code, label in enumerate(categories):
            if label not in self._index:
                if len(self.classes) == MOST_CLASSES:
                    raise StreamError(
                        f"the target has more than {MOST_CLASSES} classes; if it is a number, use "
                        "--task regression"
                    )
                self._index[label] = len(self.classes)
                self.classes.append(label)
                self.counts.append(0)
                first_rows.append(int(np.argmax(codes == code)))
        return base + np.searchsorted(first_rows, np.arange(len(codes)), side="left")

    def _majority_before(self, truth: np.ndarray) -> np.ndarray:
        """Counts the classes on and returns the most frequent one before each row, -2 if none."""
        met = (truth[:, None] == np.arange(len(self.classes))).astype(np.int64)
        counts = np.cumsum(np.concatenate([np.array([self.counts], dtype=np.int64), met]), axis=0)
        self.counts = [int(c) for c in counts[-1]]
        if not self.classes:
            return np.full(len(truth), -2)
        before = counts[:-1]
        return np.where(before.sum(axis=1) > 0, before.argmax(axis=1), -2)


class Regression(AbstractTask):
    """A number, standardised with its mean and deviation so far."""

    name = "regression"
    loss = SquaredError()
    outputs = 1

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.moments = Moments(**state["moments"]) if state else Moments()
        fresh = Score("mean absolute error", "running mean")
        self.score = Score.restore(state["score"]) if state else fresh

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
        return Encoded(u, z, None, (y, mean[:-1], deviation[:-1], scored))

    def update_score(self, key: Any, trace: Trace) -> None:
        y, mean, deviation, scored = key
        answer = mean + deviation * np.asarray(trace["output"], dtype=float)[:, 0]
        errors, fool = np.abs(answer - y), np.abs(mean - y)
        self.score.update(errors[scored], fool[scored])

    def state(self) -> dict[str, Any]:
        return {"moments": self.moments.state(), "score": self.score.state()}


class Forecast(AbstractTask):
    """The target column `horizon` rows ahead, from its own past.

    Row $t$ teaches with the window that ended at $t - H$ and the value at $t$; then the network is
    asked with the window that ends at $t$, and its answer is kept until row $t + H$ scores it. The
    network answers with the change from the last value, in units of that change's size so far.
    """

    name = "forecast"
    loss = SquaredError()
    outputs = 1

    def __init__(self, horizon: int, state: Mapping[str, Any] | None = None):
        self.horizon = horizon
        state = state or {}
        self.level = Moments(**state.get("level", {}))
        self.increment = Moments(**state.get("increment", {}))
        self.change = Moments(**state.get("change", {}))
        # Values of the last rows, held over gaps, and forecasts whose row has not come yet.
        self.past = np.array(state.get("past", [np.nan] * (WINDOW + horizon)))
        self.pending = np.array(state.get("pending", [[np.nan, np.nan]] * horizon))
        fresh = Score("mean absolute error", "last value")
        self.score = Score.restore(state["score"]) if state else fresh

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

    def update_score(self, key: Any, trace: Trace) -> None:
        y, last, size = key
        answer = last + size * np.asarray(trace["answer"], dtype=float)[:, 0]
        forecasts = np.concatenate([self.pending, np.stack([answer, last], axis=1)])
        self.pending = forecasts[-self.horizon :]
        errors = np.abs(forecasts[: len(y)] - y[:, None])
        scored = np.isfinite(errors).all(axis=1)
        self.score.update(errors[scored, 0], errors[scored, 1])

    def state(self) -> dict[str, Any]:
        return {
            "level": self.level.state(),
            "increment": self.increment.state(),
            "change": self.change.state(),
            "past": self.past.tolist(),
            "pending": self.pending.tolist(),
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


def as_categories(target: Column) -> tuple[np.ndarray, list[str]]:
    """Returns a target as class codes, -1 where missing, and labels in order of appearance."""
    if target.kind is ColumnKind.TEXT:
        return target.values, list(target.categories)
    values = finite(target.values)
    distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = [k for k in np.argsort(first) if not np.isnan(distinct[k])]
    codes = np.full(len(distinct), -1)
    codes[order] = np.arange(len(order))
    boolean = target.kind is ColumnKind.BOOLEAN
    return codes[inverse], [_label(distinct[k], boolean) for k in order]


def finite(values: np.ndarray) -> np.ndarray:
    """Returns the values with NaN for what is infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def hold(values: np.ndarray) -> np.ndarray:
    """Returns the values with the last one before it in place of every gap."""
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    return values[last]


def _size(moments: Moments, values: np.ndarray) -> np.ndarray:
    """Returns the root mean square of the values so far, each included."""
    mean, deviation = moments.update(values)
    return np.hypot(mean, deviation)[1:]


def _label(value: float, boolean: bool) -> str:
    if boolean:
        return "true" if value else "false"
    return str(int(value)) if value == int(value) else repr(float(value))


def choose_task(target: Column, task: str, horizon: int | None, name: str) -> AbstractTask | None:
    """Returns the task for a target column, judged by its first piece; `None` if it is all missing.

    Text and booleans are classes; so are whole numbers of which only a few distinct ones appear;
    other numbers are numbers.

    **Raises:** `StreamError` for a column that does not fit the task.
    """
    if not has_values(target):
        return None
    if target.kind is ColumnKind.TIME:
        raise StreamError("a timestamp cannot be predicted; name another target", column=name)
    if task == "auto":
        task = "forecast" if horizon is not None else _guess(target)
    if task == "classification":
        return Classification()
    if target.kind is ColumnKind.TEXT:
        raise StreamError(f"{task} needs numbers, and this column holds text", column=name)
    return Regression() if task == "regression" else Forecast(horizon or 1)


def restore_task(state: Mapping[str, Any], horizon: int | None) -> AbstractTask:
    """Returns the task as it was when its `state` was kept, beside its `name`."""
    if state["name"] == Forecast.name:
        return Forecast(horizon or 1, state)
    return {Classification.name: Classification, Regression.name: Regression}[state["name"]](state)


def has_values(target: Column) -> bool:
    """Whether any row of the piece has a target."""
    if target.kind is ColumnKind.TEXT:
        return bool((target.values >= 0).any())
    return bool(np.isfinite(target.values).any())


def _guess(target: Column) -> str:
    if target.kind is not ColumnKind.NUMBER:
        return "classification"
    values = target.values[np.isfinite(target.values)]
    distinct = len(np.unique(values))
    whole = bool(np.all(values == np.round(values)))
    few = distinct <= FEW and (distinct == 1 or distinct * 5 <= len(values))
    return "classification" if whole and few else "regression"
