"""What a series' own past says of its future: inputs of networks, and guesses by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .season import REACH

LAGS = (1, 2, 3, 5, 8, 13, 21, 34)  # rows back, of changes looked at
MEDIANS = (5, 21, 101)  # rows of which the median is a level
DRIFT = 500  # rows over which the drift is taken
AROUND = (-1, 0, 1)  # rows about the same place of the season before
SEASONS, RECENT = 7, 5  # of which a usual value, and a usual distance from the level, is taken
POINTS = 24  # at most so many values of a season make its level
SLOTS = ("season", "longer season")
OF_A_SEASON = ("last {}", "shifted last {}", "usual {}", "shifted usual {}")
GUESSES = [
    "last value",
    *(f"median of {rows}" for rows in MEDIANS),
    "drift",
    *(guess.format(slot) for slot in SLOTS for guess in OF_A_SEASON),
]
LAST, SEASON = GUESSES.index("last value"), GUESSES.index("last season")
LEVELS = [k for k, guess in enumerate(GUESSES) if guess.startswith("median")]
SEASON_INPUTS = [*(f"{{}} {j:+d}" for j in AROUND), "two {}s", *OF_A_SEASON[1:]]
LONGER_INPUTS = [name.format(SLOTS[1]) for name in ("{} +0", OF_A_SEASON[1], OF_A_SEASON[3])]
FIRST_OF_SLOT = [GUESSES.index(OF_A_SEASON[0].format(slot)) for slot in SLOTS]


class Past:
    """A series as it is known at some of its rows: as changes from its value there.

    **Arguments:** `held`: the series, gaps filled, NaN only before the first value; `at`: places
    in it, `(T,)`; `horizon`: rows ahead; `periods`: seasons known there, at most two; `met`:
    whether there ever was one.

    Nothing reaches further back than 4096 rows; what is not there is NaN.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.past import GUESSES, Past
        >>> week = np.tile([5.0, 5.0, 6.0, 5.0, 7.0, 1.0, 0.0], 5)
        >>> past = Past(week, np.array([34]), 1, (7,))  # on a Sunday, of Monday
        >>> dict(zip(GUESSES, past.guesses[0].tolist()))["last season"]
        5.0

        ```
    """

    def __init__(
        self,
        held: np.ndarray,
        at: np.ndarray,
        horizon: int,
        periods: Sequence[int] = (),
        met: bool = False,
    ):
        self.held, self.at, self.horizon = held, at, horizon
        self.now, self.met = held[at], met
        self.periods = tuple(periods)
        self._seasonal = [self._of_season(period) for period in self.periods]

    def ago(self, rows: int | np.ndarray) -> np.ndarray:
        """Returns the values so many rows before, `(T,)` or `(T, …)`, NaN where there is none."""
        place = self.at.reshape(-1, *[1] * np.ndim(rows)) - rows
        there = (place >= 0) & (np.asarray(rows) <= REACH)
        return np.where(there, self.held[np.maximum(place, 0)], np.nan)

    def features(self) -> dict[str, np.ndarray]:
        """Returns inputs by name, each `(T,)`: the value, changes over some lags, and from seasons.

        Those of seasons are NaN before there ever was one, and 0 where there is none any more.
        """
        found = {"level": self.now}
        found |= {f"change over {lag}": self.now - self.ago(lag) for lag in LAGS}
        found |= {GUESSES[k]: self.guesses[:, k] for k in LEVELS}
        none = np.full(len(self.at), 0.0 if self.met else np.nan)
        for k, slot in enumerate(SLOTS):
            values = [none] * len(SEASON_INPUTS)
            if k < len(self.periods):
                values = [_or_nothing(value) for value in self._about_season(k)]
            names = [name.format(slot) for name in SEASON_INPUTS]
            given = zip(names, values, strict=True)
            found |= {name: value for name, value in given if k == 0 or name in LONGER_INPUTS}
        return found

    def _about_season(self, slot: int) -> list[np.ndarray]:
        """Returns the values of `SEASON_INPUTS`."""
        period = self.periods[slot]
        since = _phase(period, self.horizon)
        around = [self.ago(max(since - j, 0)) for j in AROUND]
        before = [value - self.now for value in (*around, self.ago(since + period))]
        return [*before, *self._seasonal[slot][1:]]

    @cached_property
    def guesses(self) -> np.ndarray:
        """The changes over the horizon that each of `GUESSES` expects, `(T, guesses)`."""
        found = [np.zeros(len(self.at))]
        found += [_median(self.ago(np.arange(rows))) - self.now for rows in MEDIANS]
        first = int(np.argmax(np.isfinite(self.held)))
        rows = np.clip(self.at - first, 1, DRIFT)
        found.append((self.now - self.held[self.at - np.minimum(rows, self.at)]) / rows)
        found[-1] = found[-1] * self.horizon
        for k in range(len(SLOTS)):
            known = k < len(self.periods)
            found += self._seasonal[k] if known else [found[0]] * len(OF_A_SEASON)
        return np.stack([_or_nothing(values) for values in found], axis=1)

    def _of_season(self, period: int) -> list[np.ndarray]:
        """Returns the four guesses of `OF_A_SEASON`."""
        since = _phase(period, self.horizon)
        turn = since + self.horizon  # whole seasons
        last = self.ago(since)
        shifted = last - self.ago(turn) + self.now
        usual = _median(self.ago(since + period * np.arange(SEASONS)))
        apart = [
            self.ago(since + k * period) - self._level(turn + k * period, period)
            for k in range(RECENT)
        ]
        moved = _median(np.stack(apart, axis=1)) + self._level(0, period)
        return [values - self.now for values in (last, shifted, usual, moved)]

    def _level(self, rows: int, period: int) -> np.ndarray:
        """Returns the mean over the season that ended so many rows before."""
        points = min(period, POINTS)
        values = self.ago(rows + period * np.arange(points) // points)
        total = values[:, 0]
        for k in range(1, points):  # in one order, however many rows there are
            total = total + values[:, k]
        return total / points


def _phase(period: int, horizon: int) -> int:
    """Returns how many rows ago the season was where it will be after the horizon."""
    return -horizon % period


def _median(table: np.ndarray) -> np.ndarray:
    """Returns the median of what is there in each row, NaN where nothing is."""
    table = np.sort(table, axis=1)  # NaN comes last
    count = np.sum(~np.isnan(table), axis=1)
    rows = np.arange(len(table))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, table.shape[1] - 1)
    return (table[rows, low] + table[rows, high]) / 2


def _or_nothing(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0)
