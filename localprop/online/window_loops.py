"""The loops of `window`, compiled by Numba: import them late, for Numba takes its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kept_loops import kept_loop
from ..table.columns import LARGEST
from .window_layout import (
    BINS,
    DUE,
    EARLY,
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
    return kept_loop(function, nogil=True, error_model="numpy", **more)


def inner(function: Callable[..., Any]) -> Any:
    """Returns one that is called by other such functions alone."""
    return loop(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def any_order(function: Callable[..., Any]) -> Any:
    """Returns an inner one whose sums may be taken in any order, so that they are vectors."""
    return loop(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"reassoc"})


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
def merge(ordered: Any, known: int, new: Any) -> None:
    """Puts sorted new values among those that are known, of which there are so many."""
    i, j = known - 1, len(new) - 1
    while j >= 0:
        if i >= 0 and ordered[i] > new[j]:
            ordered[i + j + 1] = ordered[i]
            i -= 1
        else:
            ordered[i + j + 1] = new[j]
            j -= 1


@inner
def remove(ordered: Any, known: int, old: Any) -> None:
    """Takes sorted old values out of those that are known."""
    gone = 0
    for k in range(known):
        if gone < len(old) and ordered[k] == old[gone]:
            gone += 1
        else:
            ordered[k - gone] = ordered[k]


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
    own: Any, count: Any, lengths: Any, held: Any, ordered: Any, clipped: Any, outgrown: bool
) -> None:
    """Finds quantiles and fences anew, and adds up the window between them."""
    n, new, parts = count[HELD], count[NEW], count[PIECES]
    known = n - new
    latest = held[known:n]
    ascend(latest)
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
        ascend(held[n - lengths[parts - 1] : n])
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
    for k in range(n):
        clipped[k] = min(max(ordered[k], own[LOW]), own[HIGH])
    find_edges(clipped[:n], own[QUANTILES:MEDIAN])
    own[SHIFT] = clipped[n // 2]
    own[TOTAL], own[SQUARES] = add_up(clipped[:n], own[SHIFT])
    step = STEP - n % STEP if n < EARLY else int(max(2 * STEP, (GROWTH - 1) * n))
    # A column may have begun anew amid the new values: the next ones, all of them later, tell.
    count[DUE] = FEWEST if anew else min(step, LATEST)
    count[HELD], count[NEW], count[PIECES] = n, 0, parts


@inner
def write(n: int, total: float, squares: float, shift: float, own: Any, row: Any) -> None:
    """Writes a row of scales."""
    row[0], row[1] = 0.0, 0.0
    if n > 0:
        mean = total / n
        row[0] = mean + shift
        row[1] = np.sqrt(max(squares / n - mean * mean, 0.0))
    for b in range(BINS + 2):
        row[2 + b] = own[QUANTILES + b]


@loop
def follow(
    values: Any,
    numbers: Any,
    counts: Any,
    lengths: Any,
    held: Any,
    ordered: Any,
    clipped: Any,
    outgrown: bool,
    keep: bool,
    before: Any,
    now: Any,
) -> None:
    """Writes the scales before each value and with it; values are taken in only to be kept.

    **Arguments:** `values`: `(T, D)`; `numbers`, `counts`, `lengths`, `held`, `ordered`: a row of
    each for a column; `clipped`: scratch; `before`: `(T, D, 10)`, or empty; `now`: `(T, D, 10)`.
    """
    for t in range(len(values)):
        for d in range(values.shape[1]):
            own, count = numbers[d], counts[d]
            n, total, squares, shift = count[HELD], own[TOTAL], own[SQUARES], own[SHIFT]
            if len(before) > 0:
                write(n, total, squares, shift, own, before[t, d])
            x = values[t, d] + 0.0  # -0.0 is 0.0
            known = abs(x) <= LARGEST
            if known:
                shift = shift if n > 0 else x
                apart = min(max(x, own[LOW]), own[HIGH]) - shift
                n, total, squares = n + 1, total + apart, squares + apart * apart
            write(n, total, squares, shift, own, now[t, d])
            if keep and known:
                held[d, n - 1] = x
                own[TOTAL], own[SQUARES], own[SHIFT] = total, squares, shift
                count[MET] += 1
                count[HELD] = n
                count[NEW] += 1
                count[DUE] -= 1
                if count[DUE] == 0:
                    refresh(own, count, lengths[d], held[d], ordered[d], clipped, outgrown)
