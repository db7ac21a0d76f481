"""Predicting every row before it is learned, and what that scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .data import Stream


@dataclass(frozen=True)
class RowByRow:
    """A learner of rows, which are named by their number.

    **Fields:** `predict(row)`: the number of a class, or a number, `None` if it knows none yet;
    `learn(row)`.
    """

    predict: Callable[[int], float | None]
    learn: Callable[[int], None]


def prequential(learner: RowByRow, stream: Stream, answers: np.ndarray) -> None:
    """Predicts row after row, each with what was known `horizon` rows before; fills `answers`.

    They are filled as they come, so that something is there where the time runs out.
    """
    late = stream.horizon - 1
    for row in range(len(stream)):
        answer = learner.predict(row)
        answers[row] = np.nan if answer is None else answer
        if row >= late:
            learner.learn(row - late)


def score(stream: Stream, answers: np.ndarray) -> float:
    """Returns accuracy, or mean absolute error; of what has an answer before it, as localprop does.

    No class is a wrong one. A first number, and the first forecasts, have nothing before them.
    """
    truth = stream.truth()[: len(answers)]
    if stream.task == "classification":
        return float(np.mean(answers == truth))
    return float(np.mean(np.abs(answers - truth)[stream.horizon :]))


def standardised(values: np.ndarray, clip: float = 5.0) -> np.ndarray:
    """Returns z-scores by the moments so far, the row itself included, `(rows, features)`."""
    mean, deviation = moments(values)
    z = (values - mean[1:]) / np.where(deviation[1:] > 0, deviation[1:], 1.0)
    return np.clip(z, -clip, clip)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and deviation of the first 0, 1, 2, … rows, `(rows + 1, features)` each.

    Of nothing they are 0 and 1, and a deviation of 0 is given as 1: as scales of a target.
    """
    shift = values[:1]  # sums of squares around any value at all keep their digits
    count = np.arange(1, len(values) + 1).reshape(-1, *[1] * (values.ndim - 1))
    mean = np.cumsum(values - shift, axis=0) / count
    square = np.cumsum((values - shift) ** 2, axis=0) / count
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    deviation = np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, 1.0)
    none = np.zeros_like(values[:1])
    return np.concatenate([none, mean + shift]), np.concatenate([none + 1, deviation])
