"""Classes, as they appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cost import SoftmaxCrossEntropy
from ..errors import StreamError
from ..learner.samples import Trace
from ..table.columns import FALSE, TRUE, Column, ColumnKind
from .score import Score
from .task import AbstractTask, Answers, Encoded, finite

MOST_CLASSES = 1000
MAJORITY, LAST = "majority class", "class of the row before"

Label = bool | int | float | str


class Classification(AbstractTask):
    """Classes as they appear: output neuron k stands for the k-th class met in the stream.

    **Arguments:** `state`, or `None` to begin; `whole`: stop at a number with a fraction, because
    nobody but the whole numbers so far said that these are classes.
    """

    name = "classification"
    loss = SoftmaxCrossEntropy()

    def __init__(self, state: Mapping[str, Any] | None = None, *, whole: bool = False):
        state = state or {"classes": [], "counts": [], "score": None, "whole": whole, "last": -1}
        self.whole = bool(state["whole"])
        self.classes: list[Label] = list(state["classes"])
        self.counts: list[int] = list(state["counts"])
        self.last = int(state["last"])  # the class that was met last
        self._index = {label: k for k, label in enumerate(self.classes)}
        kept = state["score"]
        self.score = Score.restore(kept) if kept else Score("accuracy", [MAJORITY, LAST])

    @property
    def outputs(self) -> int:
        # Room for a few more classes than there are, so that few of them cost a compilation.
        return max(2, 1 << (len(self.classes) - 1).bit_length()) if self.classes else 2

    @property
    def labelled(self) -> int:
        return sum(self.counts)

    def check(self, target: Column, lines: np.ndarray) -> None:
        fractions = finite(target.values) % 1 > 0 if self.whole else np.zeros(0)
        if fractions.any():
            row = int(np.argmax(fractions))
            raise StreamError(
                f"{target.values[row]:g} is no class among whole numbers so far; use --task "
                "regression, or --task classification if it is meant as one",
                line=int(lines[row]),
            )
        codes, categories = as_categories(target)
        new = [label for label in categories if label not in self._index]
        if len(self.classes) + len(new) > MOST_CLASSES:
            label = new[MOST_CLASSES - len(self.classes)]
            row = int(np.argmax(codes == categories.index(label)))
            raise StreamError(_too_many(label), line=int(lines[row]))

    def known_as(self, label: Label) -> Label:
        """Returns the class that is spelled like a label of a file, or else the label.

        `yes` and `true` are `True` where truth values were learned.
        """
        if label in self._index:
            return label
        spellings = {spelled(known): known for known in self.classes}
        if any(isinstance(known, bool) for known in self.classes) and isinstance(label, str):
            spellings |= dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)
            return spellings.get(label, spellings.get(label.lower(), label))
        return spellings.get(spelled(label), label)

    def encode(self, u: np.ndarray, target: Column) -> Encoded:
        codes, categories = as_categories(target)
        known_before = self._meet(codes, categories)
        index = np.array([self._index[label] for label in categories] + [-1])  # -1: missing
        truth = index[codes]
        fools = self._majority_before(truth) == truth, self._last_before(truth) == truth

        rows = np.flatnonzero(truth >= 0)
        known = np.maximum(known_before, truth + 1)[rows, None]
        z = np.full((len(u), self.outputs), np.nan)  # NaN: no target, or no such class yet
        z[rows] = np.where(np.arange(self.outputs) < known, 0.0, np.nan)
        z[rows, truth[rows]] = 1.0
        return Encoded(u, z, None, (truth, known_before, fools))

    def update_score(self, key: Any, trace: Trace) -> Answers:
        truth, known_before, fools = key
        answers = _answers(trace["output"], known_before)
        scored = truth >= 0
        right = answers.values == truth
        self.score.update(*(hits[scored].astype(float) for hits in (right, *fools)))
        return answers

    def read(self, output: np.ndarray) -> Answers:
        return _answers(output, np.full(len(output), len(self.classes)))

    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "counts": self.counts,
            "score": self.score.state(),
            "whole": self.whole,
            "last": self.last,
        }

    def _last_before(self, truth: np.ndarray) -> np.ndarray:
        """Returns the class met last before each row, −2 if none."""
        met = np.where(np.concatenate([[self.last], truth]) >= 0, np.arange(len(truth) + 1), 0)
        last = np.concatenate([[self.last], truth])[np.maximum.accumulate(met)]
        self.last = int(last[-1])
        return np.where(last[:-1] >= 0, last[:-1], -2)

    def _meet(self, codes: np.ndarray, categories: list[Label]) -> np.ndarray:
        """Numbers new classes as they appear; returns how many were known before each row."""
        first_rows, base = [], len(self.classes)
        for code, label in enumerate(categories):
            if label not in self._index:
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


def _answers(output: np.ndarray, known: np.ndarray) -> Answers:
    """Returns what the outputs say of the first `known` classes, row by row."""
    most = max(1, int(known.max(initial=0)))
    logits = np.array(output[:, :most], dtype=float)
    logits[np.arange(logits.shape[1]) >= known[:, None]] = -np.inf
    values = np.where(known > 0, logits.argmax(axis=1), -1)
    logits[known == 0] = 0.0  # no class: no probability, but no NaN either
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = np.where(known[:, None] > 0, e / e.sum(axis=1, keepdims=True), 0.0)
    return Answers(values, shares[:, : int(known.max(initial=0))])


def as_categories(target: Column) -> tuple[np.ndarray, list[Label]]:
    """Returns a target as class codes, -1 where missing, and labels in order of appearance."""
    if target.kind is ColumnKind.TEXT:
        return target.values, list(target.categories)
    values = finite(target.values)
    distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = [k for k in np.argsort(first) if not np.isnan(distinct[k])]
    codes = np.full(len(distinct), -1)
    codes[order] = np.arange(len(order))
    boolean = target.kind is ColumnKind.BOOLEAN
    return codes[inverse], [_label(float(distinct[k]), boolean) for k in order]


def _too_many(label: Label) -> str:
    problem = f"the target has more than {MOST_CLASSES} classes"
    if not isinstance(label, str):
        return f"{problem}; if it is a number, use --task regression"
    return (
        f"{problem}, for '{label[:40]}' is text; write plain numbers to have them predicted "
        "as numbers, or name another target"
    )


def _label(value: float, boolean: bool) -> Label:
    if boolean:
        return bool(value)
    return int(value) if value == int(value) else float(value)


def spelled(label: Any) -> str:
    """Returns a label as files and messages spell it."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return label if isinstance(label, str) else repr(label)
