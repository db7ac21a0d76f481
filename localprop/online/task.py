"""What every task does: read a target column, and score what the learner answered.

For every prediction it uses only what was known before its target.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..table.columns import Column, is_known
from .mixture import Mixture
from .score import Score
from .wide import widened

CLIP = 5.0  # standardised targets beyond this are clipped while learning, not while scoring
LEVEL = 0.9  # of the intervals in reports and files of predictions


@dataclass(frozen=True)
class Encoded:
    """A piece of a target, as the review keeps it, and what scoring it will need.

    **Fields:** `raw`: `(T,)`, the number or the number of the class, NaN where missing; `key`.
    """

    raw: np.ndarray
    key: Any


@dataclass(frozen=True)
class Answers:
    """What was predicted of some rows, before any of them was learned.

    **Fields:**

    - `values`: `(rows,)`. For classes the number of the class, −1 where none was known yet; else
      the number in its own unit, NaN where none could be given.
    - `probabilities`: `(rows, classes)`, or `None` for numbers.
    - `radius`: `(rows,)`, half the width of the 90 % interval, NaN where there is none; `None` for
      classes.
    """

    values: np.ndarray
    probabilities: np.ndarray | None = None
    radius: np.ndarray | None = None

    def cut(self, start: int, stop: int | None = None) -> Answers:
        """Returns the answers from row `start` to before `stop`."""
        radius = None if self.radius is None else self.radius[start:stop]
        table = None if self.probabilities is None else self.probabilities[start:stop]
        return Answers(self.values[start:stop], table, radius)

    @staticmethod
    def joined(parts: list[Answers]) -> Answers:
        """Returns the answers one after the other; classes not known yet have probability 0."""
        if len(parts) == 1:
            return parts[0]
        values = np.concatenate([part.values for part in parts])
        found = Answers(values)
        if any(part.radius is not None for part in parts):
            radii = [p.values * np.nan if p.radius is None else p.radius for p in parts]
            found = replace(found, radius=np.concatenate(radii))
        if all(part.probabilities is None for part in parts):
            return found
        none = np.zeros((len(values), 0))
        tables = [
            none[: len(p.values)] if p.probabilities is None else p.probabilities for p in parts
        ]
        width = max(table.shape[1] for table in tables)
        wide = [widened(table, width) for table in tables]
        return replace(found, probabilities=np.concatenate(wide))


class AbstractTask(abc.ABC):
    """One way to read a target column, and to mix what experts answer.

    **Fields:** `mixture`: over the experts of the bank, and simple ones of the task's own.
    """

    name: str
    score: Score
    mixture: Mixture
    unscored: str = "no row has a target"  # why, while nothing was scored

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """How many output neurons are needed so far."""

    @property
    @abc.abstractmethod
    def labelled(self) -> int:
        """How many rows had a target so far."""

    def check(self, target: Column, lines: np.ndarray) -> None:
        """Raises `StreamError` for a target that this task cannot take, before it is learned.

        **Arguments:** `target`, standing at these `lines`.
        """
        del target, lines

    @abc.abstractmethod
    def encode(self, target: Column) -> Encoded:
        """Takes the target column of a piece in, each row with a target except for a forecast."""

    @abc.abstractmethod
    def targets(self, raw: np.ndarray, key: Any) -> np.ndarray:
        """Returns targets of the networks, `(T, S, outputs)`, as each row of a piece would say it.

        **Arguments:** `raw`: `(T, S)`, of the row and of those beside it; `key`: of the piece.
        """

    @abc.abstractmethod
    def update_score(
        self, key: Any, outputs: np.ndarray, near: np.ndarray | None = None
    ) -> Answers:
        """Scores what was answered for a piece, and returns the answers.

        **Arguments:** `key` of the piece; `outputs`: `(T, experts of the bank, outputs)`; `near`:
        what `ask_neighbours` says, where neighbours are among the experts.
        """

    @abc.abstractmethod
    def read(self, outputs: np.ndarray, near: np.ndarray | None = None) -> Answers:
        """Returns the answers in outputs that were asked for now, learning nothing."""

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of `rows` rows to come.

        **Raises:** `ConfigError` where classes are predicted.
        """
        del level, rows
        raise ConfigError("classes have no intervals; ask for their probabilities")

    def forget_errors(self) -> None:  # noqa: B027, classes have no intervals
        """Starts intervals afresh."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""

    @property
    def metrics(self) -> dict[str, float]:
        """What else there is to say of the score."""
        return {}


def finite(values: np.ndarray) -> np.ndarray:
    """Returns the values with NaN for what is infinite, or too large to square."""
    return np.where(is_known(values), values, np.nan)


def within(outputs: np.ndarray) -> np.ndarray:
    """Returns standardised answers of networks as far from 0 as the targets that they are told.

    One that is no number says nothing, which is 0; the next row starts such an expert again.
    """
    outputs = np.asarray(outputs, dtype=float)
    return np.clip(np.where(np.isnan(outputs), 0.0, outputs), -CLIP, CLIP)
