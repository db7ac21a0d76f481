"""Classes, as they appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import StreamError
from ..table.columns import FALSE, TRUE, Column, ColumnKind
from .defaults import FIRST_WEIGHTS, NAMES
from .mixture import Mixture, class_losses
from .neighbours import NEIGHBOURS
from .score import Score
from .smoothing import smooth
from .stacking import STACKED, StackedClasses
from .task import AbstractTask, Answers, Encoded, finite
from .wide import widened

MOST_CLASSES = 1000
MAJORITY, LAST = "majority class", "class of the row before"
PERSISTENCE = "the class before"  # an expert
OWN = [PERSISTENCE, STACKED, NEIGHBOURS]  # experts that are no networks
LEAST = 8  # outputs; without weights, those that are not used cost next to nothing
DOUBT = 0.5  # of a voice among the neighbours', for all classes together
STAY = 100.0  # rows over which it is counted how often a class stays

Label = bool | int | float | str


class Classification(AbstractTask):
    """Classes as they appear: output neuron k stands for the k-th class met in the stream.

    **Arguments:** `state`, or `None` to begin; `whole`: stop at a number with a fraction, because
    nobody but the whole numbers so far said that these are classes; `neighbours`: whether rows are
    kept, so that the nearest ones can stand beside the networks.
    """

    name = "classification"

    def __init__(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        whole: bool = False,
        neighbours: bool = False,
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
        self.counts: list[int] = list(state["counts"])
        self.last = int(state["last"])  # the class that was met last
        self.stay = float(state["stay"])  # how often a class is that of the row before, lately
        kept = state["mixture"]
        names = kept["names"] if kept else [*NAMES, *(OWN if neighbours else OWN[:-1])]
        self.mixture = Mixture(names, relative=False, first=FIRST_WEIGHTS, state=kept)
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

    def encode(self, target: Column) -> Encoded:
        codes, categories = as_categories(target)
        known_before = self._meet(codes, categories)
        index = np.array([self._index[label] for label in categories] + [-1])  # -1: missing
        truth = index[codes]
        counts, last, stay = self._counts_before(truth), *self._last_before(truth)
        majority = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), -2)
        shares = _persistence(counts, last, stay)
        raw = np.where(truth >= 0, truth, np.nan)
        return Encoded(raw, (truth, known_before, (majority == truth, last == truth), shares))

    def targets(self, raw: np.ndarray, key: Any) -> np.ndarray:
        truth, known_before = key[:2]
        known = np.maximum(known_before, truth + 1)[:, None, None]
        classes = np.arange(self.outputs)
        z = np.where(classes < known, (raw[..., None] == classes) * 1.0, np.nan)
        return np.where(np.isnan(raw)[..., None], np.nan, z)  # no target, or no such class yet

    def update_score(
        self, key: Any, outputs: np.ndarray, near: np.ndarray | None = None
    ) -> Answers:
        truth, known_before, fools, persistence = key
        shares = self._all_shares(outputs, known_before, persistence, near, truth)
        weights = self.mixture.update(class_losses(shares, truth))
        answers = _answers(shares, weights, known_before)
        right = answers.values == truth
        self.score.update(*(hits.astype(float) for hits in (right, *fools)))
        return answers

    def read(self, outputs: np.ndarray, near: np.ndarray | None = None) -> Answers:
        rows = len(outputs)
        known = np.full(rows, len(self.classes))
        counts = np.broadcast_to(np.array(self.counts, dtype=float), (rows, len(self.counts)))
        last = np.full(rows, self.last if self.last >= 0 else -2)
        persistence = _persistence(counts, last, np.full(rows, self.stay))
        shares = self._all_shares(outputs, known, persistence, near, np.full(rows, -1))
        weights = np.broadcast_to(self.mixture.weights, (rows, len(self.mixture.names)))
        return _answers(shares, weights, known)

    def state(self) -> dict[str, Any]:
        return {
            "classes": self.classes,
            "counts": self.counts,
            "score": self.score.state(),
            "whole": self.whole,
            "last": self.last,
            "stay": self.stay,
            "mixture": self.mixture.state(),
            "stacked": self.stacked.state(),
        }

    def _all_shares(
        self,
        outputs: np.ndarray,
        known: np.ndarray,
        persistence: np.ndarray,
        near: np.ndarray | None,
        truth: np.ndarray,
    ) -> np.ndarray:
        """Returns the probabilities that every expert gives, `(T, experts, classes)`.

        **Arguments:** `truth`: what the stack learns from after each row, −1 for nothing.
        """
        shares = _shares(outputs, known)
        width = max(shares.shape[2], persistence.shape[1])
        parts = [widened(shares, width), widened(persistence, width)[:, None]]
        around = [] if near is None else [_neighbours(near, known, width)[:, None]]
        stacked = self.stacked.learn(np.concatenate([*parts, *around], 1), known, truth)
        return np.concatenate([*parts, stacked[:, None], *around], 1)

    def _last_before(self, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the class met last before each row, −2 if none, and how often it stays."""
        met = np.where(np.concatenate([[self.last], truth]) >= 0, np.arange(len(truth) + 1), 0)
        last = np.concatenate([[self.last], truth])[np.maximum.accumulate(met)]
        self.last = int(last[-1])
        last = np.where(last[:-1] >= 0, last[:-1], -2)
        judged = (truth >= 0) & (last >= 0)
        stays = smooth((truth == last)[judged] * 1.0, 1 - 1 / STAY, 1 / STAY, self.stay)
        found = np.concatenate([[self.stay], stays])
        self.stay = float(found[-1])
        return last, found[np.cumsum(judged) - judged]

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

    def _counts_before(self, truth: np.ndarray) -> np.ndarray:
        """Counts the classes on; returns how often each was met before each row."""
        met = (truth[:, None] == np.arange(len(self.classes))).astype(np.int64)
        counts = np.cumsum(np.concatenate([np.array([self.counts], dtype=np.int64), met]), axis=0)
        self.counts = [int(c) for c in counts[-1]]
        return counts[:-1].astype(float)


def _persistence(counts: np.ndarray, last: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """Returns what the class before says of each row, `(T, classes)`, the others by frequency."""
    if not counts.shape[1]:
        return np.zeros((len(last), 1))
    rows, known = np.arange(len(last)), last >= 0
    others = counts.copy()
    others[rows[known], last[known]] = 0.0
    total = _total(others)
    shares = np.where(total > 0, others / np.maximum(total, 1.0), 0.0) * (1 - stay[:, None])
    shares[rows[known], last[known]] = np.where(total[known, 0] > 0, stay[known], 1.0)
    return shares


def _neighbours(near: np.ndarray, known: np.ndarray, width: int) -> np.ndarray:
    """Returns probabilities by what speaks for each class, and half a voice for all together."""
    doubt = DOUBT / np.maximum(known[:, None], 1)
    voices = widened(near, width) + np.where(np.arange(width) < known[:, None], doubt, 0.0)
    total = _total(voices)
    return voices / np.where(total > 0, total, 1.0)


def _total(table: np.ndarray) -> np.ndarray:
    """Returns the sums over classes, `(…, 1)`, added in one order, however many there are."""
    return np.cumsum(table, axis=-1)[..., -1:]


def _shares(outputs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns probabilities `(T, experts, classes)` of the first `known` classes of each row."""
    most = max(1, int(known.max(initial=0)))
    logits = np.array(outputs[..., :most], dtype=float)
    # An expert that went wrong knows nothing; the mixture sees to it.
    logits = np.where(np.isfinite(logits), logits, 0.0)
    exists = (np.arange(logits.shape[2]) < np.maximum(known, 1)[:, None])[:, None]
    logits = np.where(exists, logits, -np.inf)
    e = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.where((known > 0)[:, None, None], e / _total(e), 0.0)


def _answers(shares: np.ndarray, weights: np.ndarray, known: np.ndarray) -> Answers:
    """Returns what the experts say together of the first `known` classes, row by row."""
    mixed = np.zeros(shares[:, 0].shape)
    for e in range(shares.shape[1]):  # in this order, which einsum does not promise
        mixed += weights[:, e, None] * shares[:, e]
    total = _total(mixed)
    mixed = mixed / np.where(total > 0, total, 1.0)
    values = np.where(known > 0, mixed.argmax(axis=1), -1)
    return Answers(values, mixed[:, : int(known.max(initial=0))])


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
