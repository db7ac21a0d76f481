"""A number, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..cost import SquaredError
from ..learner.samples import Trace
from ..table.table import Column
from .moments import Moments, standardised
from .score import Score
from .task import CLIP, AbstractTask, Encoded, finite


class Regression(AbstractTask):
    """A number, standardised with its mean and deviation so far."""

    name = "regression"
    loss = SquaredError()
    unscored = "a first number has none before it by which it could be predicted"

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.moments = Moments(**state["moments"]) if state else Moments()
        fresh = Score("mean absolute error", "running mean")
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
        return Encoded(u, z, None, (y, mean[:-1], deviation[:-1], scored))

    def update_score(self, key: Any, trace: Trace) -> None:
        y, mean, deviation, scored = key
        answer = mean + deviation * np.asarray(trace["output"], dtype=float)[:, 0]
        errors, fool = np.abs(answer - y), np.abs(mean - y)
        self.score.update(errors[scored], fool[scored])

    def state(self) -> dict[str, Any]:
        return {"moments": self.moments.state(), "score": self.score.state()}
