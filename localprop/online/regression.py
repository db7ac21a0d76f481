"""A number, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.table import Column
from .compiled import compiled
from .defaults import FIRST_WEIGHTS, NAMES, Experts, names_of
from .interval import Intervals, count_covered, coverage
from .mixture import FAVOUR, Mixture
from .moments import Moments, hold, standardised
from .neighbours import NEIGHBOURS
from .score import Score
from .smoothing import smooth
from .stacking import STACKED, StackedNumbers
from .task import CLIP, LEVEL, AbstractTask, Answers, Encoded, finite, within
from .window import Scales, Window
from .window_layout import SCALE

FOLLOWED = NAMES.index("fast")  # whose errors of the last rows are added to its answer
FOLLOW = 0.4  # share of an error by which that is moved
LAST = "last value"
OWN = ["fast, corrected", LAST, "mean", "median", STACKED, NEIGHBOURS]  # that are no networks
BEGUN = tuple(NAMES.index(name) for name in ("fast", "high", "slow"))  # a stack begins from these


class Regression(AbstractTask):
    """A number, standardised with its mean and deviation lately.

    Beside the networks four simple experts stand in the mixture: the fast network with the mean
    of its last errors added, $b \\leftarrow b + 0.4\\,(y - \\hat y - b)$, the last value, the mean
    and the median; and the nearest rows, where rows are kept. So nothing is ever much worse than
    they are. One more puts together what networks, last value and nearest rows say, by weights
    that are learned (`StackedNumbers`). A network that is alone has none of these beside it.

    **Arguments:** `state`, or `None` to begin; `experts`: which there are to be.
    """

    name = "regression"
    unscored = "a first number has none before it by which it could be predicted"

    def __init__(self, state: Mapping[str, Any] | None = None, *, experts: Experts = "bank"):
        self.moments = Moments(**state["moments"]) if state else Moments()
        self.window = Window(state["window"] if state else None)
        self.intervals = Intervals(state["intervals"] if state else None)
        kept = state and state["mixture"]
        names = kept["names"] if kept else names_of(experts, OWN)
        first = {LAST: FAVOUR, **FIRST_WEIGHTS}
        self.mixture = Mixture(names, relative=True, first=first, state=kept)
        kept, self.stacked = state and state["stacked"], None
        if len(names) > 1:
            self.stacked = StackedNumbers(len(NAMES) + 1 + (NEIGHBOURS in names), kept)
        self.bias = float(state["bias"]) if state else 0.0
        self.last = float("nan")  # the number that was met last
        if state and state["last"] is not None:
            self.last = float(state["last"])
        self.covered = list(state["covered"]) if state else [0, 0]  # inside, of how many
        fresh = Score("mean absolute error", ["running mean", "last value"])
        self.score = Score.restore(state["score"]) if state else fresh

    @property
    def outputs(self) -> int:
        return 1

    @property
    def labelled(self) -> int:
        return self.moments.count

    def encode(self, target: Column) -> Encoded:
        y = finite(target.values)
        mean, _ = self.moments.update(y)
        before, now = self.window.update(y)
        held = hold(np.concatenate([[self.last], y]))
        self.last = float(held[-1])
        return Encoded(y, (y, mean[:-1], before, now, held[:-1]))

    def targets(self, raw: np.ndarray, key: Any) -> np.ndarray:
        now = key[3]
        z = standardised(raw, now.mean[:, None], now.deviation[:, None], CLIP)
        return np.where(np.isnan(raw), np.nan, z)[..., None]

    def update_score(
        self, key: Any, outputs: np.ndarray, near: np.ndarray | None = None
    ) -> Answers:
        y, mean, scales, _, last = key
        bias = np.zeros(len(y))
        if self.stacked is not None:
            fast = _in_unit(outputs[:, FOLLOWED, 0], scales.mean, scales.deviation)
            bias = self._follow(y, fast, last)
        # A first value has nothing before it by which it could be predicted, not even a mean.
        scored = np.isfinite(last)
        truth = np.where(scored & (scales.deviation > 0), y, np.nan)
        guesses = self._guesses(outputs, scales, bias, last, near, truth)
        unit = np.where(scales.deviation > 0, scales.deviation, 1.0)
        losses = np.abs(guesses - y[:, None]) / unit[:, None]
        # Errors before there is a deviation have no unit by which they could be weighed.
        weights = self.mixture.update(losses, scored & (scales.deviation > 0))
        answer = _mixed(guesses, weights)
        errors = np.abs(answer - y)
        self.score.update(*(e[scored] for e in (errors, np.abs(mean - y), np.abs(last - y))))
        unit = np.where(scales.deviation > 0, scales.deviation, np.nan)
        radius = self.intervals.update(errors / unit, LEVEL) * scales.deviation
        count_covered(self.covered, errors, radius)
        return Answers(np.where(scored, answer, np.nan), radius=radius)

    def read(self, outputs: np.ndarray, near: np.ndarray | None = None) -> Answers:
        rows = len(outputs)
        scales = self.window.still(rows)
        bias, last = np.full(rows, self.bias), np.full(rows, self.last)
        guesses = self._guesses(outputs, scales, bias, last, near, np.full(rows, np.nan))
        weights = np.broadcast_to(self.mixture.weights, guesses.shape)
        return Answers(_mixed(guesses, weights), radius=self.radius(LEVEL, rows))

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of rows to come."""
        return np.full(rows, self.intervals.radius(level) * self.window.present[1])

    def forget_errors(self) -> None:
        self.intervals = Intervals()

    @property
    def metrics(self) -> dict[str, float]:
        return coverage(self.covered)

    def state(self) -> dict[str, Any]:
        return {
            "moments": self.moments.state(),
            "window": self.window.state(),
            "intervals": self.intervals.state(),
            "mixture": self.mixture.state(),
            "stacked": self.stacked and self.stacked.state(),
            "bias": self.bias,
            "last": self.last,
            "covered": self.covered,
            "score": self.score.state(),
        }

    def _follow(self, y: np.ndarray, fast: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Takes errors of the fast network in; returns the mean of the last ones before each."""
        # Before the first value nothing was said that could be wrong.
        errors = np.where(np.isfinite(fast) & np.isfinite(last), y - fast, 0.0)
        moved = smooth(errors, 1 - FOLLOW, FOLLOW, self.bias)
        bias = np.concatenate([[self.bias], moved])
        self.bias = float(bias[-1])
        return bias[:-1]

    def _guesses(
        self,
        outputs: np.ndarray,
        scales: Scales,
        bias: np.ndarray,
        last: np.ndarray,
        near: np.ndarray | None,
        truth: np.ndarray,
    ) -> np.ndarray:
        """Returns what each expert says, in the target's unit, `(T, experts)`.

        **Arguments:** `truth`: what the stack learns from after each row, NaN for nothing.
        """
        rows, networks = outputs.shape[:2]
        guesses = np.empty((rows, len(self.mixture.names)))
        around = np.zeros((rows, 0)) if near is None else near
        said = np.empty((rows, networks + 1 + around.shape[1]))
        begun, told = np.empty(rows), np.empty(rows)
        table = np.ascontiguousarray(scales.table)
        given = np.ascontiguousarray(outputs[:, :, 0], float), table, last, around, truth
        compiled(_hear)(*given, said, begun, told, guesses)
        if self.stacked is not None:
            stacked = self.stacked.learn(said, begun, told)
            compiled(_complete)(stacked, table, last, bias, networks, guesses)
        return guesses


def prepare() -> None:
    """Compiles the loops, or reads them from where they were kept, before anything is learned."""
    one, table = np.zeros(1), np.zeros((1, SCALE))
    said, guesses = np.zeros((1, 4)), np.zeros((1, 9))
    nets, near = np.zeros((1, 3)), np.zeros((1, 0))
    compiled(_hear)(nets, table, one, near, one, said, one, one, guesses)
    compiled(_complete)(one, table, one, one, 3, guesses)


def _hear(
    outputs: Any,
    table: Any,
    last: Any,
    near: Any,
    truth: Any,
    said: Any,
    begun: Any,
    told: Any,
    guesses: Any,
) -> None:
    """Writes what networks and neighbours say in the target's unit, and what a stack hears.

    A network says at most as much as it may be told, neighbours as well; one that says nothing says
    the mean.
    """
    networks, experts = outputs.shape[1], guesses.shape[1]
    for t in range(len(outputs)):
        mean, deviation = table[t, 0], table[t, 1]
        unit = deviation if deviation > 0 else 1.0
        for e in range(networks):
            own = outputs[t, e]
            own = min(max(own, -CLIP), CLIP) if own == own else 0.0
            guesses[t, e] = mean + deviation * own
            said[t, e] = (guesses[t, e] - mean) / unit
        said[t, networks] = (last[t] - mean) / unit
        if near.shape[1]:
            own, room = near[t, 0], CLIP * deviation
            own = min(max(own, mean - room), mean + room) if own == own else mean
            guesses[t, experts - 1] = own
            said[t, networks + 1] = (own - mean) / unit
        told[t] = (truth[t] - mean) / unit
        begun[t] = 0.0
        for e in BEGUN:
            begun[t] += said[t, e] / len(BEGUN) if e < networks else 0.0


def _complete(stacked: Any, table: Any, last: Any, bias: Any, networks: int, guesses: Any) -> None:
    """Writes what the simple experts say, and the stack."""
    for t in range(len(guesses)):
        mean, deviation = table[t, 0], table[t, 1]
        guesses[t, networks] = guesses[t, FOLLOWED] + bias[t]
        guesses[t, networks + 1] = last[t]
        guesses[t, networks + 2] = mean
        guesses[t, networks + 3] = table[t, -1]
        guesses[t, networks + 4] = mean + (deviation if deviation > 0 else 1.0) * stacked[t]


def _in_unit(outputs: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return mean + deviation * within(outputs)


def _mixed(guesses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the weighted mean of what the experts say; one that says nothing has no weight."""
    return np.sum(np.where(weights > 0, guesses, 0.0) * weights, axis=1)
