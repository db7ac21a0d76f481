"""Scale and quantiles of one column: robust against outliers, and forgetting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..table.columns import LARGEST, is_known

MOST = 2000  # values that a window holds
BINS = 6
EARLY, STEP, GROWTH, LATEST = 20, 5, 1.15, 200  # when the quantiles are found anew
FENCES = (0.05, 0.02, 0.01, 0.005)  # the first that has a spread bounds what moments take in
LEAP = 1000.0  # times the spread: a column that moved so far has begun anew
FEWEST = 50  # values by which that is judged

OfOne = tuple[float, float, np.ndarray]  # mean, deviation, edges and median for one value


@dataclass(frozen=True)
class Scales:
    """How a column lies, row by row.

    **Fields:** `mean`, `deviation`, `median`: `(T,)`; `edges`: of the quantile bins, `(T, 7)`, NaN
    before the first value, the last ones equal where there are fewer. Median and edges are those of
    the values up to the last time they were found.
    """

    mean: np.ndarray
    deviation: np.ndarray
    edges: np.ndarray
    median: np.ndarray


class Window:
    """Mean, deviation and quantiles of the last 2000 finite values of one column.

    Every so many values, at most 200, it sorts the window and finds anew: the edges of six bins
    that hold equally many values each (or the values themselves where there are at most seven);
    and fences, one spread beyond the 5th and the 95th percentile. What lies beyond the fences
    enters mean and deviation at the fence, so that a few outliers, however large, move them little.
    A column that moves by a thousand times its spread, or whose spread changes by as much, is one
    that begins anew: what was before is forgotten at once. The quantiles are those of the values
    up to the last time, exactly; 1800 to 2000 of them, or all as long as there are fewer.

    **Arguments:** `state`, or `None` to begin; `outgrown`: whether a column begins anew that leaves
    what it was behind, too, not only one that shrinks. Not for changes over several rows: a single
    jump is as many of them.

    Values are kept sorted, in pieces of about 200, so that no row can be put together from them;
    only of the first rows, and of those since the quantiles were found last, a piece may be small.

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
        self._outgrown = outgrown
        self.count = 0  # values met so far
        self._parts: list[np.ndarray] = []  # sorted, the oldest first
        self._new: list[float] = []  # since the quantiles were found last
        self._low, self._high = -np.inf, np.inf
        self._shift, self._sums = 0.0, (0, 0.0, 0.0)  # number, sum, squares about the shift
        self._quantiles = np.full(BINS + 2, np.nan)  # the edges, and the median
        self._middle = 0.0, 0.0  # median, spread
        self._due = 1  # more values until the quantiles are found anew
        if state is not None:
            self._restore(state)

    def update(self, values: np.ndarray) -> tuple[Scales, Scales]:
        """Takes values in; returns the scales before each of them, and with each of them.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing: such a row finds and leaves
        the scales as they are. The edges are those before, in both.
        """
        if len(values) == 1:
            before = _scales_of_one(self._sums, self._shift, self._quantiles)
            return _as_arrays(before), _as_arrays(self.take(float(values[0])))
        found = np.flatnonzero(is_known(values))
        known = np.asarray(values, dtype=float)[found]
        before = [np.empty((3, 0))]  # number, sum, squares
        after, shifts, quantiles, spans = [np.empty((3, 0))], [], [], []
        start = 0
        while start < len(known):
            stop = min(len(known), start + self._due)
            part = known[start:stop]
            if not self._sums[0]:
                self._shift = float(part[0])
            sums = self._added(part)
            before.append(sums[:, :-1])
            after.append(sums[:, 1:])
            shifts.append(self._shift)
            quantiles.append(self._quantiles)
            spans.append(stop - start)
            n, total, squares = sums[:, -1].tolist()
            self._sums = int(n), total, squares
            self._new += part.tolist()
            self.count += stop - start
            self._due -= stop - start
            if not self._due:
                self._refresh()
            start = stop
        # One more entry: what a row finds that comes after the last value.
        spans.append(1)
        shifts.append(self._shift)
        quantiles.append(self._quantiles)
        here = np.array(self._sums, dtype=float)[:, None]
        shift, found_last = np.repeat(shifts, spans), np.repeat(quantiles, spans, axis=0)
        if len(found) == len(values):
            shift, found_last = shift[:-1], found_last[:-1]
            first = _scales(np.hstack(before), shift, found_last)
            return first, _scales(np.hstack(after), shift, found_last)
        place = np.searchsorted(found, np.arange(len(values)))  # the next known value
        known_here = np.zeros(len(values), bool)
        known_here[found] = True
        shift, found_last = shift[place], found_last[place]
        first = _scales(np.hstack([*before, here])[:, place], shift, found_last)
        second = _scales(np.hstack([*after, here])[:, place], shift, found_last)
        mean = np.where(known_here, second.mean, first.mean)
        deviation = np.where(known_here, second.deviation, first.deviation)
        return first, Scales(mean, deviation, first.edges, first.median)

    def look(self, values: np.ndarray) -> Scales:
        """Returns the scales with each value by itself, taking nothing in.

        **Arguments:** `values`: `(T,)`, NaN or infinite where missing.
        """
        known = is_known(values)
        shift = np.where(known, values, 0.0) if not self._sums[0] else np.full(known.shape, 0.0)
        shift = shift if not self._sums[0] else shift + self._shift
        clipped = np.where(known, np.clip(values, self._low, self._high) - shift, 0.0)
        n, total, squares = self._sums
        sums = np.stack([n + known, total + clipped, squares + clipped**2])
        quantiles = np.broadcast_to(self._quantiles, (len(values), BINS + 2))
        return _scales(sums, shift, quantiles)

    def glance(self, value: float) -> OfOne:
        """Returns what `look` does for one value, operation for operation, without arrays."""
        return _scales_of_one(*self._with(value), self._quantiles)

    def still(self, rows: int) -> Scales:
        """Returns the scales of so many rows without a value, taking nothing in."""
        mean, deviation, quantiles = self.glance(math.nan)
        every = np.broadcast_to(quantiles, (rows, BINS + 2))
        return Scales(np.full(rows, mean), np.full(rows, deviation), every[:, :-1], every[:, -1])

    def take(self, value: float) -> OfOne:
        """Takes one value in as `update` does; returns the scales with it, without arrays."""
        quantiles = self._quantiles
        self._sums, self._shift = self._with(value)
        now = _scales_of_one(self._sums, self._shift, quantiles)
        if abs(value) <= LARGEST:
            self._new.append(value)
            self.count += 1
            self._due -= 1
            if not self._due:
                self._refresh()
        return now

    @property
    def present(self) -> tuple[float, float]:
        """Mean and deviation so far, NaN before the first value."""
        if not self.count:
            return float("nan"), float("nan")
        return self.glance(float("nan"))[:2]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {
            "count": self.count,
            "parts": [part.tolist() for part in self._parts],
            "new": sorted(self._new),
            "fences": [None if np.isinf(f) else f for f in (self._low, self._high)],
            "shift": self._shift,
            "sums": list(self._sums),
            "edges": [None if np.isnan(e) else e for e in self._quantiles[:-1].tolist()],
            "due": self._due,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.count, self._due = int(state["count"]), int(state["due"])
        self._parts = [np.array(part, dtype=float) for part in state["parts"]]
        self._new = list(state["new"])
        low, high = state["fences"]
        self._low = -np.inf if low is None else float(low)
        self._high = np.inf if high is None else float(high)
        n, total, squares = state["sums"]
        self._shift, self._sums = float(state["shift"]), (int(n), float(total), float(squares))
        self._quantiles[:-1] = np.array(state["edges"], dtype=float)
        if self._parts:
            self._middle = _middle(np.sort(np.concatenate(self._parts)))
            self._quantiles[-1] = self._middle[0]

    def _with(self, value: float) -> tuple[tuple[int, float, float], float]:
        """Returns the sums with a value, and the shift."""
        n, total, squares = self._sums
        if not abs(value) <= LARGEST:
            return self._sums, self._shift
        shift = self._shift if n else value
        clipped = min(max(value, self._low), self._high) - shift
        return (n + 1, total + clipped, squares + clipped * clipped), shift

    def _added(self, values: np.ndarray) -> np.ndarray:
        """Returns the sums before the values and after each, `(3, T + 1)`, strictly in order."""
        clipped = np.clip(values, self._low, self._high) - self._shift
        rows = np.stack([np.ones_like(clipped), clipped, clipped**2])
        start = np.array(self._sums, dtype=float)[:, None]
        return np.cumsum(np.hstack([start, rows]), axis=1)

    def _begins_anew(self, new: tuple[float, float]) -> bool:
        fell = 0 < new[1] * LEAP < self._middle[1]
        return fell or (self._outgrown and _elsewhere(new, self._middle))

    def _refresh(self) -> None:
        """Finds quantiles and fences anew, and adds up the window between them."""
        new = np.sort(np.array(self._new))
        judged = len(new) >= FEWEST and bool(self._parts)
        anew = judged and self._begins_anew(_middle(new))
        if anew:
            self._parts = []
        if self._parts and len(self._parts[-1]) + len(new) <= LATEST:
            self._parts[-1] = np.sort(np.concatenate([self._parts[-1], new]))
        else:
            self._parts.append(new)
        while sum(map(len, self._parts)) > MOST:
            del self._parts[0]
        self._new = []
        values = np.sort(np.concatenate(self._parts))
        self._middle = _middle(values)
        self._low, self._high = _fences(values)
        clipped = np.clip(values, self._low, self._high)
        self._quantiles = np.append(_edges(clipped), self._middle[0])
        self._shift = float(clipped[len(clipped) // 2])
        centred = clipped - self._shift
        self._sums = len(values), float(centred.sum()), float((centred**2).sum())
        n = len(values)
        step = STEP - n % STEP if n < EARLY else int(max(2 * STEP, (GROWTH - 1) * n))
        # A column may have begun anew amid the new values: the next ones, all of them later, tell.
        self._due = FEWEST if anew else min(step, LATEST)


_UNSCALED: OfOne = 0.0, 0.0, np.full(BINS + 2, np.nan)


def _scales(sums: np.ndarray, shift: np.ndarray, quantiles: np.ndarray) -> Scales:
    n, total, squares = sums
    count = np.maximum(n, 1)
    mean = total / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    mean = np.where(n > 0, mean + shift, 0.0)
    return Scales(mean, np.sqrt(variance), quantiles[:, :-1], quantiles[:, -1])


def _scales_of_one(sums: tuple[int, float, float], shift: float, quantiles: np.ndarray) -> OfOne:
    n, total, squares = sums
    if not n:
        return 0.0, 0.0, quantiles
    mean = total / n
    variance = squares / n - mean * mean
    return mean + shift, math.sqrt(variance) if variance > 0 else 0.0, quantiles


def _as_arrays(one: OfOne) -> Scales:
    mean, deviation, quantiles = one
    return Scales(
        np.array([mean]), np.array([deviation]), quantiles[None, :-1], quantiles[None, -1]
    )


def side_by_side(windows: Sequence[Window | None], numbers: np.ndarray, *, taken: bool) -> Scales:
    """Returns the scales of columns with each of their values, `(T, D)`, edges `(T, D, 7)`.

    **Arguments:** `windows`: of the columns, `None` for one that is not there, and has no scales;
    `numbers`: `(T, D)`; `taken`: whether values are taken in, or each is looked at by itself.
    """
    rows, width = numbers.shape
    if not width:
        nothing, none = np.zeros((rows, 0)), np.zeros((rows, 0, BINS + 1))
        return Scales(nothing, nothing, none, nothing)
    if rows == 1:
        pairs = zip(windows, numbers[0].tolist(), strict=True)
        ones = [_UNSCALED if w is None else w.take(x) if taken else w.glance(x) for w, x in pairs]
        mean, deviation, each = zip(*ones, strict=True)
        quantiles = np.concatenate(each).reshape(1, width, BINS + 2)
        return Scales(
            np.array([mean]), np.array([deviation]), quantiles[..., :-1], quantiles[..., -1]
        )
    several = []
    for window, values in zip(windows, numbers.T, strict=True):
        if window is None:
            none = np.full((rows, BINS + 2), np.nan)
            several.append(_scales(np.zeros((3, rows)), np.zeros(rows), none))
        else:
            several.append(window.update(values)[1] if taken else window.look(values))
    names = [field.name for field in fields(Scales)]
    return Scales(*(np.stack([getattr(s, name) for s in several], axis=1) for name in names))


def _fences(values: np.ndarray) -> tuple[float, float]:
    """Returns one spread beyond the outer percentiles of sorted values; none without a spread."""
    for share in FENCES:
        outer = int(share * len(values))
        low, high = float(values[outer]), float(values[-1 - outer])
        if high > low:
            return low - (high - low), high + (high - low)
    return -np.inf, np.inf


def _edges(values: np.ndarray) -> np.ndarray:
    """Returns the edges of the bins of sorted values."""
    edges = values[np.arange(BINS + 1) * (len(values) - 1) // BINS]
    if (edges[1:] > edges[:-1]).all():
        return edges
    distinct = _distinct(values)
    if len(distinct) > BINS + 1:
        distinct = _distinct(edges)
    return np.concatenate([distinct, np.full(BINS + 1 - len(distinct), distinct[-1])])


def _distinct(values: np.ndarray) -> np.ndarray:
    return values[np.concatenate([[True], values[1:] > values[:-1]])]


def _middle(values: np.ndarray) -> tuple[float, float]:
    """Returns the median of sorted values, and the spread of four in five of them."""
    n = len(values)
    return float(values[n // 2]), float(values[n - 1 - n // 10] - values[n // 10])


def _elsewhere(new: tuple[float, float], old: tuple[float, float]) -> bool:
    """Returns whether a column moved, or changed its spread, by a thousand times what it was."""
    small, large = sorted([new[1], old[1]])
    return large > LEAP * small > 0 or abs(new[0] - old[0]) > LEAP * large > 0
