"""Scales and quantiles of columns: robust against outliers, and forgetting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .window_layout import (
    DUE,
    EVENLY,
    HIGH,
    LATEST,
    LOW,
    MEDIAN,
    MET,
    MOST,
    PARTS,
    PIECES,
    QUANTILES,
    SCALE,
    SHIFT,
    SPREAD,
    SQUARES,
    TOTAL,
)


@dataclass(frozen=True)
class Scales:
    """How columns lie, row by row.

    **Fields:** `table`: `(…, 10)`: mean, deviation, seven edges of the quantile bins, NaN before
    the first value, the last ones equal where there are fewer, and the median. Median and edges are
    those of the values up to the last time they were found. `(…, 2)` where these were not asked
    for.
    """

    table: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """The means, `(…)`."""
        return self.table[..., 0]

    @property
    def deviation(self) -> np.ndarray:
        """The deviations, `(…)`."""
        return self.table[..., 1]

    @property
    def edges(self) -> np.ndarray:
        """The edges, `(…, 7)`."""
        return self.table[..., 2:-1]

    @property
    def median(self) -> np.ndarray:
        """The medians, `(…)`."""
        return self.table[..., -1]


class Windows:
    """A `Window` for each of several columns, in one compiled loop.

    **Arguments:** `states`: of the columns with which to begin; `outgrown`: whether a column begins
    anew that leaves what it was behind, too, not only one that shrinks. Not for changes over
    several rows: a single jump is as many of them; `edges`: whether edges and medians are asked
    for.

    Values are kept sorted, in pieces of about 200, so that no row can be put together from them;
    only of the first rows, and of those since the quantiles were found last, a piece may be small.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.window import Windows
        >>> windows = Windows()
        >>> windows.grow(2)
        >>> _, scales = windows.update(np.array([[1.0, 0.0], [3.0, np.nan]]))
        >>> scales.mean.tolist()
        [[1.0, 0.0], [2.0, 0.0]]

        ```
    """

    def __init__(
        self,
        states: Sequence[Mapping[str, Any]] = (),
        *,
        outgrown: bool = True,
        edges: bool = True,
    ):
        self._outgrown, self._told = outgrown, SCALE if edges else 2
        self._numbers = np.zeros((0, MEDIAN + 1))
        self._counts = np.zeros((0, PIECES + 1), np.int64)
        self._lengths = np.zeros((0, PARTS), np.int64)
        self._held = np.zeros((0, MOST + LATEST))  # of a column its parts, the oldest first
        self._ordered = np.zeros((0, MOST + LATEST))  # and their values
        self._room = np.zeros(MOST + LATEST)
        self._marks = np.zeros((2, max(EVENLY, LATEST)), np.int32)
        self.grow(len(states))
        for column, state in enumerate(states):
            self._restore(column, state)

    def __len__(self) -> int:
        """Returns how many columns there are."""
        return len(self._counts)

    def grow(self, columns: int) -> None:
        """Makes room for so many columns."""
        room = [(0, max(0, columns - len(self))), (0, 0)]
        if not room[0][1]:
            return
        first = len(self)
        self._numbers = np.pad(self._numbers, room)
        self._numbers[first:, LOW], self._numbers[first:, HIGH] = -np.inf, np.inf
        self._numbers[first:, QUANTILES:] = np.nan
        self._counts = np.pad(self._counts, room)
        self._counts[first:, DUE] = 1
        self._lengths = np.pad(self._lengths, room)
        self._held, self._ordered = np.pad(self._held, room), np.pad(self._ordered, room)

    def update(self, values: np.ndarray, *, both: bool = False) -> tuple[Scales, Scales]:
        """Takes values in; returns the scales before each of them, and with each of them.

        **Arguments:** `values`: `(T, D)`, NaN or infinite where missing: such a row finds and
        leaves the scales as they are; `both`: whether those before are asked for. The edges are
        those before, in both.
        """
        return self._follow(values, both=both, keep=True)

    def look(self, values: np.ndarray) -> Scales:
        """Returns the scales with each value by itself, taking nothing in.

        **Arguments:** `values`: `(T, D)`, NaN or infinite where missing.
        """
        return self._follow(values, both=False, keep=False)[1]

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on, and room to work in."""
        state = self._numbers, self._counts, self._lengths, self._held, self._ordered
        return *state, self._room, self._marks

    def met(self, column: int) -> int:
        """Returns how many values of a column were met so far."""
        return int(self._counts[column, MET])

    def state(self, column: int) -> dict[str, Any]:
        """Returns what a checkpoint must keep of a column."""
        own, lengths = self._numbers[column].tolist(), self._lengths[column]
        met, held, _, due, pieces = self._counts[column].tolist()
        cuts = np.cumsum(lengths[:pieces])
        parts = np.split(self._held[column, :held], cuts)
        return {
            "count": met,
            "parts": [part.tolist() for part in parts[:-1]],
            "new": np.sort(parts[-1]).tolist(),
            "fences": [None if np.isinf(f) else f for f in own[LOW : HIGH + 1]],
            "shift": own[SHIFT],
            "sums": [held, own[TOTAL], own[SQUARES]],
            "edges": [None if np.isnan(e) else e for e in own[QUANTILES:MEDIAN]],
            "due": due,
        }

    def _restore(self, column: int, state: Mapping[str, Any]) -> None:
        own, parts, new = self._numbers[column], state["parts"], state["new"]
        held, total, squares = state["sums"]
        low, high = state["fences"]
        own[SHIFT], own[TOTAL], own[SQUARES] = state["shift"], total, squares
        own[LOW] = -np.inf if low is None else low
        own[HIGH] = np.inf if high is None else high
        own[QUANTILES:MEDIAN] = np.array(state["edges"], dtype=float)
        self._counts[column] = state["count"], held, len(new), state["due"], len(parts)
        self._lengths[column, : len(parts)] = [len(part) for part in parts]
        self._held[column, :held] = [value for part in (*parts, new) for value in part]
        if parts:
            known = held - len(new)
            ordered = np.sort(self._held[column, :known])
            self._ordered[column, :known] = ordered
            own[MEDIAN] = ordered[known // 2]
            own[SPREAD] = ordered[known - 1 - known // 10] - ordered[known // 10]

    def _follow(self, values: np.ndarray, *, both: bool, keep: bool) -> tuple[Scales, Scales]:
        from .window_loops import follow

        shape = *values.shape, self._told
        now = np.empty(shape)
        before = np.empty(shape) if both else now[:0]
        values = np.ascontiguousarray(values, float)
        follow(values, *self.carried, self._outgrown, keep, before, now)
        return Scales(before), Scales(now)


class Window:
    """Mean, deviation and quantiles of the last 2000 finite values of one column.

    Every so many values, at most 200, it sorts the window and finds anew: the edges of six bins
    that hold equally many values each (or the values themselves where there are at most seven);
    and fences, one spread beyond the 5th and the 95th percentile. What lies beyond the fences
    enters mean and deviation at the fence, so that a few outliers, however large, move them little.
    A column that moves by a thousand times its spread, or whose spread changes by as much, is one
    that begins anew: what was before is forgotten at once. The quantiles are those of the values
    up to the last time, exactly; 1800 to 2000 of them, or all as long as there are fewer.

    **Arguments:** as for `Windows`; `state`, or `None` to begin.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.window import Window
        >>> window, values = Window(), np.random.default_rng(0).normal(10.0, 2.0, 5000)
        >>> values[4000] = 1e9
        >>> _ = window.update(values)
        >>> scales = window.look(np.array([10.0]))
        >>> np.round([scales.mean[0], scales.deviation[0]])
        array([10.,  2.])
        >>> np.round(scales.edges[0, 1:-1], 1)  # closed form: 8.1, 9.1, 10, 10.9, 11.9
        array([ 8.1,  9.2, 10. , 11. , 12. ])

        ```
    """

    def __init__(self, state: Mapping[str, Any] | None = None, *, outgrown: bool = True):
        self._one = Windows([state] if state else [], outgrown=outgrown)
        self._one.grow(1)

    def update(self, values: np.ndarray) -> tuple[Scales, Scales]:
        """Takes values in; returns the scales before each of them, and with each of them.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing: such a row finds and leaves
        the scales as they are. The edges are those before, in both.
        """
        before, now = self._one.update(values[:, None], both=True)
        return Scales(before.table[:, 0]), Scales(now.table[:, 0])

    def look(self, values: np.ndarray) -> Scales:
        """Returns the scales with each value by itself, taking nothing in.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing.
        """
        return Scales(self._one.look(values[:, None]).table[:, 0])

    def still(self, rows: int) -> Scales:
        """Returns the scales of so many rows without a value, taking nothing in."""
        return Scales(np.repeat(self.look(np.full(1, np.nan)).table, rows, axis=0))

    @property
    def present(self) -> tuple[float, float]:
        """Mean and deviation so far, NaN before the first value."""
        if not self._one.met(0):
            return float("nan"), float("nan")
        mean, deviation = self.still(1).table[0, :2].tolist()
        return mean, deviation

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return self._one.state(0)


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    Windows([], outgrown=True).look(np.zeros((1, 0)))
