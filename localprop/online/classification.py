"""Classes, as they appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import StreamError
from ..table.columns import FALSE, TRUE, Column, ColumnKind
from .defaults import FIRST_WEIGHTS, Experts, names_of
from .mixture import Mixture, class_losses
from .neighbours import NEIGHBOURS
from .score import Score
from .shares import Persistence, hits_of, mixed, shares_of, targets_of
from .stacking import STACKED, StackedClasses
from .task import AbstractTask, Answers, Encoded, finite

MOST_CLASSES = 1000
MAJORITY, LAST = "majority class", "class of the row before"
PERSISTENCE = "the class before"  # an expert
OWN = [PERSISTENCE, STACKED, NEIGHBOURS]  # experts that are no networks
LEAST = 8  # outputs; without weights, those that are not used cost next to nothing

Label = bool | int | float | str


class Classification(AbstractTask):
    """Classes as they appear: output neuron k stands for the k-th class met in the stream.

    **Arguments:** `state`, or `None` to begin; `whole`: stop at a number with a fraction, because
    nobody but the whole numbers so far said that these are classes; `experts`: which there are to
    be.
    """

    name = "classification"

    def __init__(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        whole: bool = False,
        experts: Experts = "bank",
    ):
        fresh = {
            "classes": [],
            "counts": [],
            "score": None,
            "whole": whole,
            "last": -1,
            "stay": 0.5,
        }
        state = state or {**fresh, "mixture": None, "stacked": None}
        self.whole = bool(state["whole"])
        self.classes: list[Label] = list(state["classes"])
        self.before = Persistence(state["counts"], int(state["last"]), float(state["stay"]))
        kept = state["mixture"]
        names = kept["names"] if kept else names_of(experts, OWN)
        self.mixture = Mixture(names, relative=False, first=FIRST_WEIGHTS, state=kept)
        self.stacked = None
        if len(names) > 1:
            self.stacked = StackedClasses(len(names) - 1, state["stacked"])
        self._index = {label: k for k, label in enumerate(self.classes)}
        kept = state["score"]
        self.score = Score.restore(kept) if kept else Score("accuracy", [MAJORITY, LAST])

    @property
    def outputs(self) -> int:
        # Room for more classes than there are, so that few of them cost a compilation.
        return max(LEAST, 1 << (len(self.classes) - 1).bit_length()) if self.classes else LEAST

    @property
    def labelled(self) -> int:
        return int(self.before.counts.sum())

    def number_of(self, label: Any) -> int | None:
        """Returns the number of a class that was met, `None` of what may be none."""
        return self._index.get(label) if type(label) in (bool, int, float, str) else None

    def check(self, target: Column, lines: np.ndarray) -> None:
        codes, categories = as_categories(target)
        fractions = [label for label in categories if isinstance(label, float) and self.whole]
        if fractions:
            row = int(np.argmax(codes == categories.index(fractions[0])))
            raise StreamError(
                f"{fractions[0]:g} is no class among whole numbers so far; use --task "
                "regression, or --task classification if it is meant as one",
                line=int(lines[row]),
            )
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

    def encode(self, target: Column) -> Encoded:
        codes, categories = as_categories(target)
        known_before = self._meet(codes, categories)
        index = np.array([self._index[label] for label in categories] + [-1])  # -1: missing
        truth = index[codes]
        before, guesses = self.before.follow(truth)
        raw = np.where(truth >= 0, truth, np.nan)
        return Encoded(raw, (truth, known_before, guesses, before))

    def targets(self, raw: np.ndarray, key: Any) -> np.ndarray:
        truth, known_before = key[:2]
        z = np.empty((*raw.shape, self.outputs), np.float32)
        return targets_of(raw, np.maximum(known_before, truth + 1), z)

    def update_score(
        self, key: Any, outputs: np.ndarray, near: np.ndarray | None = None
    ) -> Answers:
        truth, known, guesses, before = key
        shares = self._shares(outputs, known, before, near, truth)
        alone = self.stacked is None
        losses = np.zeros((len(truth), 1)) if alone else class_losses(shares, truth)
        weights = self.mixture.update(losses)
        answers = Answers(*mixed(shares, weights, known))
        self.score.update(*hits_of(answers.values, guesses, truth))
        return answers

    def read(self, outputs: np.ndarray, near: np.ndarray | None = None) -> Answers:
        rows = len(outputs)
        known = np.full(rows, len(self.classes))
        before = np.repeat(self.before.now, rows, axis=0)
        shares = self._shares(outputs, known, before, near, np.full(rows, -1))
        weights = np.repeat(self.mixture.weights[None], rows, axis=0)
        return Answers(*mixed(shares, weights, known))

    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "score": self.score.state(),
            "whole": self.whole,
            "mixture": self.mixture.state(),
            "stacked": self.stacked and self.stacked.state(),
            **self.before.state(),
        }

    def _shares(
        self,
        outputs: np.ndarray,
        known: np.ndarray,
        before: np.ndarray,
        near: np.ndarray | None,
        truth: np.ndarray,
    ) -> np.ndarray:
        """Returns the probabilities that every expert gives, `(T, experts, classes)`.

        A network that is alone is followed by one that has no weight.

        **Arguments:** as for `shares_of`; `truth`: what the stack learns from after each row, −1
        for nothing.
        """
        shares = shares_of(outputs, known, before, near)
        if self.stacked is None:
            return shares
        stacked = self.stacked.learn(shares, known, truth)[:, None]
        first = shares.shape[1] - (near is not None)
        return np.concatenate([shares[:, :first], stacked, shares[:, first:]], 1)

    def _meet(self, codes: np.ndarray, categories: list[Label]) -> np.ndarray:
        """Numbers new classes as they appear; returns how many were known before each row."""
        first_rows, base = [], len(self.classes)
        for code, label in enumerate(categories):
            if label not in self._index:
                self._index[label] = len(self.classes)
                self.classes.append(label)
                self.before.meet()
                first_rows.append(int(np.argmax(codes == code)))
        if not first_rows:
            return np.full(len(codes), base)
        return base + np.searchsorted(first_rows, np.arange(len(codes)), side="left")


def as_categories(target: Column) -> tuple[np.ndarray, list[Label]]:
    """Returns a target as class codes, -1 where missing, and labels in order of appearance."""
    if target.kind is ColumnKind.TEXT:
        return target.values, list(target.categories)
    values = pa.array(finite(target.values) + 0.0, from_pandas=True)  # -0.0 is 0.0
    found = values.dictionary_encode()
    codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    boolean = target.kind is ColumnKind.BOOLEAN
    return codes, [_label(value, boolean) for value in found.dictionary.to_pylist()]


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
