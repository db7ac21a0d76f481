"""A column's own future."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..table.table import Column, ColumnKind
from .defaults import FORECASTERS
from .encode import MARK
from .interval import Intervals, count_covered, coverage
from .mixture import FAVOUR, Mixture
from .moments import hold, standardised
from .past import FIRST_OF_SLOT, GUESSES, LAST, OF_A_SEASON, SEASON, SLOTS, Past
from .score import Score
from .season import REACH, Seasons, Span
from .stacking import STACKED, StackedNumbers
from .task import CLIP, LEVEL, AbstractTask, Answers, Encoded, finite, within
from .window import Scales, Window

JUDGED = 400  # rows by which a season is judged that was just found
AGO = (1, 4)  # rows over which the changes of the other columns are looked at
# Per row to come: what experts say, the last season, a change's size, the answer.
NAMES = [*FORECASTERS, *GUESSES, STACKED]
EXPERTS, ALONE = len(NAMES), len(NAMES) - 1  # all of them, and without what is put together
FOOL, SIZE, ANSWER = range(EXPERTS, EXPERTS + 3)
FOOLS = ["last value", "seasonal last value"]


class Key(NamedTuple):
    """What scoring a piece will need.

    **Fields:** `y`: the target; `held`: it and its past, gaps filled; `scales`: of the changes over
    the horizon; `size`: of such a change lately; `least`, `most`: such a change; `spans` of the
    piece that know the same seasons; `pasts`: what is known in each.
    """

    y: np.ndarray
    held: np.ndarray
    scales: Scales
    size: np.ndarray
    least: np.ndarray
    most: np.ndarray
    spans: list[Span]
    pasts: list[Past]


class Forecast(AbstractTask):
    """The target column `horizon` rows ahead, from its own past and that of every other column.

    Row $t$ teaches with what was known at $t - H$ and the value at $t$; then the networks are asked
    with what is known at $t$, and their answers are kept until row $t + H$ scores them. A network
    answers with the change from the last value, standardised with its mean and deviation lately.
    Beside the networks stand the guesses of `Past`, no further from the last value than it moved
    lately: the last value, the last season, and others as simple; and what is put together of all
    of these by weights that are learned (`StackedNumbers`). A season that is found is judged
    at once by what its guesses would have been worth.
    """

    name = "forecast"
    unscored = "no row comes so far after another with a target that a forecast was due"

    def __init__(self, horizon: int, state: Mapping[str, Any] | None = None):
        self.horizon = horizon
        state = state or {}
        self.count = int(state.get("count", 0))
        self.change = Window(state.get("change"), outgrown=False)
        self.seasons = Seasons(state.get("seasons"))
        # Values of the last rows, held over gaps, from the first on.
        self.past = np.array(state.get("past", []), dtype=float)
        self.others = {n: np.array(v, dtype=float) for n, v in state.get("others", {}).items()}
        first, kept = {GUESSES[LAST]: FAVOUR}, state.get("mixture")
        self.mixture = Mixture(NAMES, relative=True, first=first, state=kept)
        self.stacked = StackedNumbers(ALONE, state.get("stacked"))
        nothing = [[np.nan] * (ANSWER + 1)] * horizon
        self.pending = np.array(state.get("pending", nothing), dtype=float)
        self.intervals = Intervals(state.get("intervals"))
        self.covered = list(state.get("covered", [0, 0]))  # inside, of how many
        fresh = Score("mean absolute error", FOOLS)
        self.score = Score.restore(state["score"]) if state else fresh

    @property
    def outputs(self) -> int:
        return 1

    @property
    def labelled(self) -> int:
        return self.count

    @property
    def kept(self) -> int:
        """How many values of the past are kept at most."""
        return most_kept(self.horizon)

    def encode(self, target: Column) -> Encoded:
        y, rows = finite(target.values), len(target.values)
        held = hold(np.concatenate([self.past, y]))
        self.past = held[-self.kept :].copy()
        self.count += int(np.isfinite(y).sum())
        change = y - _before(held, rows, self.horizon)
        _, now = self.change.update(change)
        size = np.hypot(now.mean, now.deviation)
        lowest, highest = now.edges[:, 0], now.edges[:, -1]
        least, most = np.fmin(lowest, -CLIP * size), np.fmax(highest, CLIP * size)
        spans = self.seasons.follow(held, rows)
        new = len(held) - rows
        pasts = [self._past(held, np.arange(new + s.start, new + s.stop), s) for s in spans]
        return Encoded(change, Key(y, held, now, size, least, most, spans, pasts))

    def features(self, columns: Mapping[str, Column], key: Key) -> dict[str, Column]:
        """Returns what is known at each row: the other columns and their past, and the target's."""
        found = dict(columns)
        for name, column in columns.items():
            if column.kind is ColumnKind.NUMBER:
                for lag, change in self._changes(name, finite(column.values)).items():
                    found[f"{name}{MARK}change over {lag}"] = Column(ColumnKind.NUMBER, change)
        parts = [past.features() for past in key.pasts]
        for name in parts[0]:
            values = np.concatenate([part[name] for part in parts])
            found[f"{MARK}{name}"] = Column(ColumnKind.NUMBER, values)
        return found

    def targets(self, raw: np.ndarray, key: Key) -> np.ndarray:
        z = standardised(raw, key.scales.mean[:, None], key.scales.deviation[:, None], CLIP)
        return np.where(np.isnan(raw), np.nan, z)[..., None]

    def update_score(
        self, key: Key, outputs: np.ndarray, near: np.ndarray | None = None
    ) -> Answers:
        del near
        rows = len(key.y)
        last = key.held[-rows:]
        nets = within(outputs[:, :, 0])
        own = np.concatenate([past.guesses for past in key.pasts])
        own_clipped = np.clip(own, key.least[:, None], key.most[:, None])
        new = np.full((rows, ANSWER + 1), np.nan)
        nets = key.scales.mean[:, None] + key.scales.deviation[:, None] * nets
        new[:, :ALONE] = last[:, None] + np.hstack([nets, own_clipped])
        new[:, FOOL] = last + own[:, SEASON]
        new[:, SIZE] = key.size
        asked = np.concatenate([self.pending, new])
        for span in key.spans:
            self._answer(key, asked, span)
        due = asked[:rows]
        self.pending = asked[-self.horizon :].copy()
        fools = np.abs(due[:, [len(FORECASTERS) + LAST, FOOL]] - key.y[:, None])
        judged = np.isfinite(fools[:, 0])
        unit = _unit(due[:, SIZE])
        answers = due[:, ANSWER].copy()
        errors = np.where(judged, np.abs(answers - key.y), np.nan)
        self.score.update(errors[judged], *fools[judged].T)
        radius = self.intervals.update(errors / unit, LEVEL) * unit
        count_covered(self.covered, errors, radius)
        return Answers(answers, radius=np.where(np.isfinite(answers), radius, np.nan))

    def read(self, outputs: np.ndarray, near: np.ndarray | None = None) -> Answers:
        """Returns the forecasts that are out: row k is the k-th row to come."""
        del near
        values = np.full(len(outputs), np.nan)
        values[: self.horizon] = self.pending[: len(outputs), ANSWER]
        return Answers(values, radius=self.radius(LEVEL, len(outputs)))

    def radius(self, level: float, rows: int) -> np.ndarray:
        """Returns half the widths of the intervals of the next rows, NaN where nothing is out."""
        found = np.full(rows, np.nan)
        out = self.pending[:rows]
        radius = self.intervals.radius(level) * _unit(out[:, SIZE])
        found[: self.horizon] = np.where(np.isfinite(out[:, ANSWER]), radius, np.nan)
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
            "seasons": self.seasons.state(),
            "past": self.past.tolist(),
            "others": {name: values.tolist() for name, values in self.others.items()},
            "mixture": self.mixture.state(),
            "stacked": self.stacked.state(),
            "pending": self.pending.tolist(),
            "intervals": self.intervals.state(),
            "covered": self.covered,
            "score": self.score.state(),
        }

    def _past(self, held: np.ndarray, at: np.ndarray, span: Span) -> Past:
        return Past(held, at, self.horizon, span.periods, span.met)

    def _answer(self, key: Key, asked: np.ndarray, span: Span) -> None:
        """Judges what was due in these rows, and mixes what is said in them.

        The weights after a row: what was due there is known when the next forecast is made.
        """
        here, y = slice(span.start, span.stop), key.y[span.start : span.stop]
        if span.before is not None:
            self._judge_season(key, span, span.before)
        # Without a season its guesses are the last value, which has its own weight.
        unknown = FIRST_OF_SLOT[len(span.periods) :]
        self.mixture.leave_out(
            [name for k in unknown for name in GUESSES[k : k + len(OF_A_SEASON)]]
        )
        due, new = asked[here], asked[self.horizon :][here]
        self._stack(due, new, y)
        unit = _unit(due[:, SIZE])[:, None]
        errors = np.abs(due[:, :EXPERTS] - y[:, None]) / unit
        judged = np.isfinite(errors[:, len(FORECASTERS) + LAST])
        weights = self.mixture.weights
        weights = _held(self.mixture.after(errors[judged]), judged, weights)
        guesses = np.where(weights > 0, new[:, :EXPERTS], 0.0)
        new[:, ANSWER] = np.sum(guesses * weights, axis=1)

    def _stack(self, due: np.ndarray, new: np.ndarray, y: np.ndarray) -> None:
        """Puts together what is said in new rows, each after what was due there is known."""
        both = np.stack([due, new], axis=1).reshape(-1, due.shape[1])
        unit = _unit(both[:, SIZE])
        truth = np.stack([y, np.full(len(y), np.nan)], axis=1).ravel()
        with np.errstate(over="ignore"):  # a value far beyond all scales teaches no weights
            said, truth = both[:, :ALONE] / unit[:, None], truth / unit
        truth[~np.isfinite(said).all(axis=1)] = np.nan
        nets = said[:, : len(FORECASTERS)]
        begun = nets[:, 0]
        for k in range(1, nets.shape[1]):  # in one order, however many rows there are
            begun = begun + nets[:, k]
        found = self.stacked.learn(said, begun / nets.shape[1], truth) * unit
        new[:, ALONE] = found[1::2]

    def _judge_season(self, key: Key, span: Span, before: tuple[int, ...]) -> None:
        """Gives the guesses of a season that was just found the losses that they would have had.

        They are measured by those of the last value, over the last 400 rows.
        """
        first = len(key.held) - len(key.y) + span.start  # the row at which it was found
        at = np.arange(max(0, first - self.horizon - JUDGED), first - self.horizon)
        at = at[np.isfinite(key.held[at])]
        size, least, most = (a[span.start] for a in (key.size, key.least, key.most))
        if not len(at) or not size > 0:
            return
        guesses = np.clip(self._past(key.held, at, span).guesses, least, most)
        change = key.held[at + self.horizon] - key.held[at]
        new = [k for k in range(len(SLOTS)) if span.periods[k : k + 1] != before[k : k + 1]]
        first_of = [FIRST_OF_SLOT[k] for k in new]
        names = [name for k in first_of for name in GUESSES[k : k + len(OF_A_SEASON)]]
        self.mixture.replace(names, GUESSES, np.abs(guesses - change[:, None]) / size)

    def _changes(self, name: str, values: np.ndarray) -> dict[int, np.ndarray]:
        """Returns the changes of another column, of which the last values are kept."""
        before = self.others.get(name, np.full(AGO[-1], np.nan))
        held = hold(np.concatenate([before, values]))
        self.others[name] = held[-AGO[-1] :].copy()
        now = held[AGO[-1] :]
        return {lag: now - _before(held, len(values), lag) for lag in AGO}


def most_kept(horizon: int) -> int:
    """Returns how many values of the past a forecast keeps at most."""
    return REACH + JUDGED + horizon


def _unit(size: np.ndarray) -> np.ndarray:
    return np.where(size > 0, size, 1.0)


def _before(held: np.ndarray, rows: int, lag: int) -> np.ndarray:
    """Returns the values so many rows before each of the last rows, NaN where there is none."""
    place = np.arange(len(held) - rows, len(held)) - lag
    return np.where(place >= 0, held[np.maximum(place, 0)], np.nan)


def _held(values: np.ndarray, known: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns each row's values, where they are not known those of the row before.

    **Arguments:** `values`: of the rows that are `known`, `(K, D)`; `start`: before the first.
    """
    return np.concatenate([start[None], values])[np.cumsum(known)]
