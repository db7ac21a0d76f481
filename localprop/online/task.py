"""What every task does: read a target column, and score what the learner answered.

For every prediction it uses only what was known before its target.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cost import Loss
from ..learner.samples import Trace
from ..table.columns import is_known
from ..table.table import Column
from .score import Score

CLIP = 5.0  # standardised targets beyond this are clipped while learning, not while scoring


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
    unscored: str = "no row has a target"  # why, while nothing was scored

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """How many output neurons are needed so far."""

    def inputs(self, encoded: int) -> int:
        """Returns how many inputs are known ahead, where the encoder knows of `encoded`."""
        return encoded

    @property
    @abc.abstractmethod
    def labelled(self) -> int:
        """How many rows had a target so far."""

    def check(self, target: Column, lines: np.ndarray, name: str) -> None:
        """Raises `StreamError` for a target that this task cannot take, before it is learned.

        **Arguments:** `target`, standing at these `lines`; `name` of the column.
        """
        del target, lines, name

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


def finite(values: np.ndarray) -> np.ndarray:
    """Returns the values with NaN for what is infinite, or too large to square."""
    return np.where(is_known(values), values, np.nan)
