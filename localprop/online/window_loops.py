"""The loops of `window`, compiled by Numba: import them late, for Numba takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kept_loops import kept_loop
from ..table.columns import LARGEST
from .window_layout import (
    AHEAD,
    BINS,
    DUE,
    EARLY,
    EVENLY,
    FENCES,
    FEWEST,
    GROWTH,
    HELD,
    HIGH,
    LATEST,
    LEAP,
    LOW,
    MEDIAN,
    MET,
    MOST,
    NEW,
    PIECES,
    QUANTILES,
    SHIFT,
    SPREAD,
    SQUARES,
    STEP,
    TOTAL,
)


def loop(function: Callable[..., Any], **more: Any) -> Any:
    """Returns a function compiled when it is first called."""
    options = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
    return kept_loop(function, **options, **more)


def inner(function: Callable[..., Any]) -> Any:
    """Returns one that is called by other such functions alone."""
    return loop(function, no_cpython_wrapper=True)


def any_order(function: Callable[..., Any]) -> Any:
    """Returns an inner one whose sums may be taken in any order, so that they are vectors."""
    return loop(function, no_cpython_wrapper=True, fastmath={"reassoc"})


@inner
def ascend(values: Any) -> None:
    """Sorts at most 200 values (Shell, *A high-speed sorting procedure*, 1959)."""
    for gap in (57, 10, 1):
        for k in range(gap, len(values)):
            x, place = values[k], k
            while place >= gap and values[place - gap] > x:
                values[place] = values[place - gap]
                place -= gap
            values[place] = x


@inner
def spread_of(values: Any) -> float:
    """Returns the spread of four in five of sorted values."""
    n = len(values)
    return values[n - 1 - n // 10] - values[n // 10]


@inner
def begins_anew(new: Any, median: float, spread: float, outgrown: bool) -> bool:
    """Returns whether sorted new values are those of another column."""
    moved, other = abs(new[len(new) // 2] - median), spread_of(new)
    fell = 0 < other * LEAP < spread
    small, large = min(other, spread), max(other, spread)
    return fell or (outgrown and (large > LEAP * small > 0 or moved > LEAP * large > 0))


@inner
def sort(values: Any, room: Any, counts: Any, places: Any) -> None:
    """Sorts values: each goes nearly to where it would stand if all lay evenly (Neubert, *The
    Flashsort1 algorithm*, 1998), and then to where it stands.
    """
    low = high = values[0]
    for k in range(len(values)):
        room[k] = values[k]
        low, high = min(low, room[k]), max(high, room[k])
    if high > low:
        scale = (EVENLY - 1) / (high - low)
        if scale < np.inf:
            for k in range(EVENLY):
                counts[k] = 0
            for k in range(len(values)):
                places[k] = int((room[k] - low) * scale)
            for k in range(len(values)):
                counts[places[k]] += 1
            for k in range(1, EVENLY):
                counts[k] += counts[k - 1]
            for k in range(len(values) - 1, -1, -1):
                counts[places[k]] -= 1
                values[counts[places[k]]] = room[k]
        ascend(values)


@inner
def merge(ordered: Any, known: int, new: Any) -> None:
    """Puts sorted new values among those that are known, of which there are so many."""
    k = known - 1
    for j in range(len(new) - 1, -1, -1):
        x = new[j]
        while k >= 0 and ordered[k] > x:
            ordered[k + j + 1] = ordered[k]
            k -= 1
        ordered[k + j + 1] = x


@inner
def remove(ordered: Any, known: int, old: Any) -> None:
    """Takes sorted old values out of those that are known."""
    k = 0
    for gone in range(len(old)):
        x = old[gone]
        while ordered[k] != x:
            ordered[k - gone] = ordered[k]
            k += 1
        k += 1
    for i in range(k, known):
        ordered[i - len(old)] = ordered[i]


@inner
def find_edges(clipped: Any, edges: Any) -> None:
    """Writes the edges of six bins that hold equally many sorted values each.

    Where these are but a few, they are the values themselves, the last one repeated.
    """
    last, rise = len(clipped) - 1, True
    for b in range(BINS + 1):
        edges[b] = clipped[b * last // BINS]
        rise = rise and (b == 0 or edges[b] > edges[b - 1])
    if rise:
        return
    distinct = 1
    for k in range(last):
        distinct += clipped[k + 1] > clipped[k]
    source = edges if distinct > BINS + 1 else clipped
    distinct = 0
    for k in range(len(source)):
        x = source[k]
        if distinct == 0 or x > edges[distinct - 1]:
            edges[distinct] = x
            distinct += 1
    for b in range(distinct, BINS + 1):
        edges[b] = edges[distinct - 1]


@any_order
def add_up(clipped: Any, shift: float) -> tuple[float, float]:
    """Returns the sum of values less a shift, and that of their squares."""
    total, squares = 0.0, 0.0
    for k in range(len(clipped)):
        apart = clipped[k] - shift
        total += apart
        squares += apart * apart
    return total, squares


@inner
def refresh(
    own: Any,
    count: Any,
    lengths: Any,
    held: Any,
    ordered: Any,
    room: Any,
    marks: Any,
    outgrown: bool,
) -> None:
    """Finds quantiles and fences anew, and adds up the window between them."""
    n, new, parts = count[HELD], count[NEW], count[PIECES]
    known, counts, places = n - new, marks[0], marks[1]
    latest = held[known:n]
    sort(latest, room, counts, places)
    anew = False
    if new >= FEWEST and parts > 0:
        anew = begins_anew(latest, own[MEDIAN], own[SPREAD], outgrown)
    if anew:
        for k in range(new):
            held[k] = latest[k]
        n, known, parts = new, 0, 0
    merge(ordered, known, held[known:n])
    if parts > 0 and lengths[parts - 1] + new <= LATEST:
        lengths[parts - 1] += new
        sort(held[n - lengths[parts - 1] : n], room, counts, places)
    else:
        lengths[parts] = new
        parts += 1
    while n > MOST:
        oldest = lengths[0]
        remove(ordered, n, held[:oldest])
        for k in range(oldest, n):
            held[k - oldest] = held[k]
        for k in range(1, parts):
            lengths[k - 1] = lengths[k]
        n, parts = n - oldest, parts - 1
    own[MEDIAN], own[SPREAD] = ordered[n // 2], spread_of(ordered[:n])
    own[LOW], own[HIGH] = -np.inf, np.inf
    for share in FENCES:
        outer = int(share * n)
        low, high = ordered[outer], ordered[n - 1 - outer]
        if high > low:
            own[LOW], own[HIGH] = low - (high - low), high + (high - low)
            break
    clipped = room[:n]
    for k in range(n):
        clipped[k] = min(max(ordered[k], own[LOW]), own[HIGH])
    find_edges(clipped, own[QUANTILES:MEDIAN])
    own[SHIFT] = clipped[n // 2]
    own[TOTAL], own[SQUARES] = add_up(clipped, own[SHIFT])
    step = STEP - n % STEP if n < EARLY else int(max(2 * STEP, (GROWTH - 1) * n))
    # A column may have begun anew amid the new values: the next ones, all of them later, tell.
    count[DUE] = FEWEST if anew else min(step, LATEST)
    count[HELD], count[NEW], count[PIECES] = n, 0, parts


@inner
def write(n: int, total: float, squares: float, shift: float, own: Any, row: Any) -> None:
    """Writes a row of scales."""
    mean = total / max(n, 1)
    row[0], row[1] = mean + shift, np.sqrt(max(squares / max(n, 1) - mean * mean, 0.0))
    for k in range(2, len(row)):
        row[k] = own[QUANTILES + k - 2]


@inner
def advance(
    values: Any, own: Any, count: Any, held: Any, room: Any, keep: bool, before: Any, now: Any
) -> int:
    """Writes the scales of a column before each value and with it; returns of how many values: of
    `AHEAD` at most, and none after those with which the quantiles are due.

    **Arguments:** `values`: `(T,)`; `own`, `count`, `held`: of the column; `room`: scratch;
    `before`: `(T, 10)`, or empty; `now`: `(T, 10)` or `(T, 2)`.
    """
    n, total, squares, shift = count[HELD], own[TOTAL], own[SQUARES], own[SHIFT]
    low, high, done = own[LOW], own[HIGH], min(len(values), AHEAD)
    sizes, sums = room[:AHEAD], room[AHEAD : 2 * AHEAD]
    seconds, origins = room[2 * AHEAD : 3 * AHEAD], room[3 * AHEAD : 4 * AHEAD]
    for t in range(done):
        if len(before) > 0:
            write(n, total, squares, shift, own, before[t])
        x = values[t] + 0.0  # -0.0 is 0.0
        sizes[t], sums[t], seconds[t], origins[t] = n, total, squares, shift
        if not abs(x) <= LARGEST:
            continue
        origin = shift if n > 0 else x
        apart = min(max(x, low), high) - origin
        sizes[t], sums[t], seconds[t] = n + 1, total + apart, squares + apart * apart
        origins[t] = origin
        if keep:
            held[n] = x
            n, total, squares, shift = n + 1, sums[t], seconds[t], origin
            count[MET] += 1
            count[NEW] += 1
            count[DUE] -= 1
            if count[DUE] == 0:
                done = t + 1
                break
    if keep:
        count[HELD], own[TOTAL], own[SQUARES], own[SHIFT] = n, total, squares, shift
    for t in range(done):  # by themselves, and so as vectors
        size = max(sizes[t], 1.0)
        mean = sums[t] / size
        seconds[t] = np.sqrt(max(seconds[t] / size - mean * mean, 0.0))
        sums[t] = mean + origins[t]
    for t in range(done):
        now[t, 0], now[t, 1] = sums[t], seconds[t]
    if now.shape[1] > 2:
        for t in range(done):
            for k in range(BINS + 2):
                now[t, 2 + k] = own[QUANTILES + k]
    return done


@loop
def follow(
    values: Any,
    numbers: Any,
    counts: Any,
    lengths: Any,
    held: Any,
    ordered: Any,
    room: Any,
    marks: Any,
    outgrown: bool,
    keep: bool,
    before: Any,
    now: Any,
) -> None:
    """Writes the scales before each value and with it; values are taken in only to be kept.

    **Arguments:** `values`: `(T, D)`; `numbers`, `counts`, `lengths`, `held`, `ordered`: a row of
    each for a column; `room`, `marks`: scratch; `before`: `(T, D, 10)`, or empty; `now`:
    `(T, D, 10)`, or `(T, D, 2)` for mean and deviation alone.
    """
    for first in range(0, len(values), AHEAD):
        end = min(first + AHEAD, len(values))
        for d in range(values.shape[1]):
            t, count = first, counts[d]
            while t < end:
                told = before[t:end, d], now[t:end, d]
                own = numbers[d], count, held[d], room, keep
                t += advance(values[t:end, d], *own, *told)
                if keep and count[DUE] == 0:
                    parts = numbers[d], count, lengths[d], held[d], ordered[d]
                    refresh(*parts, room, marks, outgrown)
