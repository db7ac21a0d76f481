"""Seasons that a series itself shows: which lags repeat, found as the series goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

REACH = 4096  # values back that are looked at
LONGEST = 1440  # rows of the longest season: the minutes of a day
EARLIEST, GROWTH, LATEST = 8, 1.1, 400  # values when a season is first looked for, and how often
STEEP = 2.0  # changes count as at most so many times their 90th percentile
OUTER = 1.0  # values count as at most so many quartile distances outside the quartiles
DEEP = 0.85  # share of the deepest dip that makes a shorter season the fundamental one
DEEPER = 0.03  # by which a longer season must be deeper to be one of its own
STAY = 0.02  # by which a neighbour must be deeper to take a season's place
STRETCHES, HOLDING = 4, 3  # of the series, and in how many of them a season must show itself
SURE = 3  # seasons that must have been seen; in fewer, every stretch must show them
BETTER = 0.2  # share by which it must be nearer to its own season than to what lies between
TRIED = 12  # dips that are tried, the deepest first, and then the shortest


class Span(NamedTuple):
    """Rows of a piece, from `start` to before `stop`, that know the same seasons.

    **Fields:** `periods`, in rows; `before`: what was known until then, where the first of these
    rows found something new, else `None`; `met`: whether there ever was a season.
    """

    start: int
    stop: int
    periods: tuple[int, ...]
    before: tuple[int, ...] | None = None
    met: bool = False


class Seasons:
    """The seasons of a series, in rows: at most two, the fundamental one first.

    They are looked for at 8 values and then whenever a tenth more came, at the latest every 400,
    in the last 4096. What was found stays until something else is.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.season import Seasons
        >>> seasons = Seasons()
        >>> week = np.tile([5.0, 5.0, 6.0, 5.0, 7.0, 1.0, 0.0], 30)
        >>> spans = seasons.follow(week, 210)
        >>> spans[0].periods, seasons.periods
        ((), (7,))

        ```
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        self.count = int(state["count"]) if state else 0  # values so far, those held included
        self.due = int(state["due"]) if state else EARLIEST
        self.periods: tuple[int, ...] = tuple(state["periods"]) if state else ()
        self.met = bool(state["met"]) if state else False  # whether there ever was one

    def follow(self, held: np.ndarray, rows: int) -> list[Span]:
        """Takes rows in and returns what is known at each of them, the row itself included.

        **Arguments:** `held`: the past and the new rows, gaps filled, NaN only before the first
        value; at least 4096 values of the past, or all; `rows`: how many of them are new.
        """
        first = len(held) - rows
        begun = first + int(np.argmax(np.isfinite(held[first:])))
        if not np.isfinite(held[-1]):
            return [Span(0, rows, self.periods, None, self.met)]
        spans, start, known = [], 0, None
        counted = self.count
        self.count += len(held) - begun
        while self.due <= self.count:
            end = begun + self.due - counted  # one past the row at which it is looked
            found = find_seasons(held[max(0, end - REACH) : end], self.periods)
            if found != self.periods:
                spans.append(Span(start, end - 1 - first, self.periods, known, self.met))
                start, known, self.periods, self.met = end - 1 - first, self.periods, found, True
            self.due += int(np.clip((GROWTH - 1) * self.due, 2, LATEST))
        spans.append(Span(start, rows, self.periods, known, self.met))
        return [span for span in spans if span.stop > span.start]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {
            "count": self.count,
            "due": self.due,
            "periods": list(self.periods),
            "met": self.met,
        }


def find_seasons(values: np.ndarray, present: Sequence[int] = ()) -> tuple[int, ...]:
    """Returns the seasons of a series: the fundamental one, and a longer one that explains more.

    A season is a dip of the normalised difference function (`dips`), deep enough for the length
    of the series, that shows itself in three of four stretches of it: one event that happened
    twice makes no season.

    **Arguments:** `values`: `(n,)`, finite; `present`: seasons known so far, which stay where a
    neighbour is hardly deeper.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.logical_or.accumulate(np.isfinite(values))]
    levels = _levelled(values)
    if levels is None:
        return ()
    depth = 1 - dips(levels, min(len(values) // 2, LONGEST) + 1)
    lags = np.arange(2, len(depth) - 1)
    enough = np.minimum(0.8, 2 * np.sqrt(3 / (len(values) - lags)))
    here = depth[lags]
    dip = (here >= depth[lags - 1]) & (here > depth[lags + 1]) & (here >= enough)
    deepest = sorted(lags[dip].tolist(), key=lambda lag: -depth[lag])
    best = next((lag for lag in deepest[:TRIED] if _recurs(levels, lag)), None)
    if best is None:
        return ()
    shorter = sorted(lag for lag in deepest if lag < best and depth[lag] >= DEEP * depth[best])
    first = next((lag for lag in shorter[:TRIED] if _recurs(levels, lag)), best)
    longer = best != first and depth[best] > depth[first] + DEEPER
    found = [first, best] if longer else [first]
    for k, (new, old) in enumerate(zip(found, present, strict=False)):
        near = old < len(depth) and abs(new - old) <= max(1, 0.05 * old)
        if near and depth[new] < depth[old] + STAY:
            found[k] = old
    return tuple(found)


def dips(values: np.ndarray, most: int) -> np.ndarray:
    """Returns the normalised difference function at the lags from 0 to `most`.

    With $d(\\tau) = \\mathrm{Var}_t(x_t - x_{t-\\tau})$, $d(\\tau)$ over the mean of $d(1), \\dots,
    d(\\tau)$ (de Cheveigné and Kawahara, *YIN*, 2002, with the variance in place of the square):
    1 for noise, above 1 for a random walk, near 0 at the period of what repeats itself. The sums
    are autocorrelations, by one Fourier transform.

    **Arguments:** `values`: `(n,)`; `most`: below n − 1.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.season import dips
        >>> wave = np.sin(2 * np.pi * np.arange(100) / 10)
        >>> bool(dips(wave, 12)[10] < 1e-12), bool(dips(wave, 12)[5] > 1)
        (True, True)

        ```
    """
    n, lag = len(values), np.arange(most + 1)
    x = values - values.mean()
    spectrum = np.fft.rfft(x, 2 * n)
    products = np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[: most + 1]
    sums = np.concatenate([[0.0], np.cumsum(x)])
    squares = np.concatenate([[0.0], np.cumsum(x * x)])
    pairs = n - lag
    mean = ((sums[n] - sums[lag]) - sums[pairs]) / pairs
    both = (squares[n] - squares[lag]) + squares[pairs]
    difference = np.maximum((both - 2 * products) / pairs - mean**2, 0.0)
    usual = np.cumsum(difference[1:]) / lag[1:]
    share = np.where(usual > 0, difference[1:] / np.where(usual > 0, usual, 1.0), 1.0)
    return np.concatenate([[1.0], share])


def _levelled(values: np.ndarray) -> np.ndarray | None:
    """Returns the series without jumps, trend and outliers, in units of its changes."""
    if len(values) < EARLIEST:
        return None
    changes = np.diff(values)
    size = np.abs(changes)
    usual = float(np.quantile(size, 0.9)) or float(size.max()) / STEEP
    if not usual > 0 or not np.isfinite(usual):
        return None
    with np.errstate(over="ignore"):  # a quotient too large to represent is clipped anyway
        steps = np.clip(changes / usual, -STEEP, STEEP)
    x = np.concatenate([[0.0], np.cumsum(steps)])
    time = np.arange(len(x)) - (len(x) - 1) / 2
    x = x - x.mean() - time * ((time @ x) / (time @ time))
    low, high = np.quantile(x, [0.25, 0.75])
    outer = OUTER * (high - low)
    return np.clip(x, low - outer, high + outer) if outer > 0 else x


def _recurs(x: np.ndarray, period: int) -> bool:
    """Returns whether most stretches are nearer to a season ago than to what lies between."""
    n, now = len(x), x[period:]
    between = [max(1, period * k // 4) for k in (1, 2, 3)]
    others = np.median([np.abs(now - x[period - lag : n - lag]) for lag in between], axis=0)
    own = np.abs(now - x[: n - period])
    pairs = zip(np.array_split(own, STRETCHES), np.array_split(others, STRETCHES), strict=True)
    return sum(a.sum() < (1 - BETTER) * b.sum() for a, b in pairs) >= (
        STRETCHES if n < SURE * period else HOLDING
    )
