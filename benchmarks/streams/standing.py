"""Where methods stand: means and spreads over seeds, places, and error against the best."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import mean, median, stdev
from typing import NamedTuple

from .cell import Cell
from .data import SOURCES

OWN = "localprop"  # its default; its other variants stand in its place, not beside it
WORST = 10.0  # times the best error: what more counts as, so that one stream does not decide
ENOUGH = 1000  # rows of a stream that tells how long a row takes


class Score(NamedTuple):
    """A method's mean over its seeds, their standard deviation, and how many there are."""

    mean: float
    spread: float
    seeds: int

    @staticmethod
    def of(values: list[float]) -> Score:
        """Returns the score of these values, one per seed."""
        finite = all(map(math.isfinite, values))
        spread = stdev(values) if len(values) > 1 and finite else 0.0
        return Score(mean(values), spread, len(values))


Scores = dict[str, dict[str, Score]]  # stream, then method


def scores(cells: Iterable[Cell]) -> Scores:
    """Returns what was scored to the end; infinitely bad where the answers were not finite."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for cell in cells:
        if cell.state == "done" and cell.score is not None:
            found[cell.stream, cell.method].append(cell.score)
        elif cell.state == "diverged":
            found[cell.stream, cell.method].append(-math.inf if merit(cell.stream) else math.inf)
    ordered: Scores = {stream: {} for stream in SOURCES}
    for (stream, method), values in found.items():
        ordered[stream][method] = Score.of(values)
    return {stream: by_method for stream, by_method in ordered.items() if by_method}


def merit(stream: str) -> bool:
    """Whether more is better."""
    return SOURCES[stream].task == "classification"


def rivals_of(method: str, by_method: Mapping[str, Score]) -> dict[str, Score]:
    """Returns the scores that a method is held against: no other variant of localprop's."""
    own = method.startswith(OWN)
    return {
        name: score
        for name, score in by_method.items()
        if name != method and (not name.startswith(OWN) or (name == OWN and not own))
    }


def best(stream: str, by_method: Mapping[str, Score]) -> str | None:
    """Returns the method with the best mean."""
    pick = max if merit(stream) else min
    return pick(by_method, key=lambda name: by_method[name].mean) if by_method else None


def place(stream: str, method: str, by_method: Mapping[str, Score]) -> float:
    """Returns the place among the rivals, from 1; equals share the mean of theirs."""
    sign = -1 if merit(stream) else 1
    mine = sign * by_method[method].mean
    others = [sign * score.mean for score in rivals_of(method, by_method).values()]
    return 1 + sum(o < mine for o in others) + sum(o == mine for o in others) / 2


def within(stream: str, method: str, by_method: Mapping[str, Score]) -> bool:
    """Whether a method is best, or no further behind than the larger of both spreads."""
    rivals = rivals_of(method, by_method)
    first = best(stream, rivals)
    if first is None:
        return True
    mine, theirs = by_method[method], rivals[first]
    behind = theirs.mean - mine.mean if merit(stream) else mine.mean - theirs.mean
    return behind <= max(mine.spread, theirs.spread)


def error(stream: str, score: Score) -> float:
    """Returns the share of wrong classes, or the mean absolute error."""
    return 1 - score.mean if merit(stream) else score.mean


def against_best(stream: str, method: str, by_method: Mapping[str, Score]) -> float:
    """Returns the error over the least of all that it is held against, at most `WORST`."""
    everyone = {**rivals_of(method, by_method), method: by_method[method]}
    least = min(error(stream, score) for score in everyone.values())
    mine = error(stream, by_method[method])
    return 1.0 if mine == least else min(mine / least, WORST) if least > 0 else WORST


class Summary(NamedTuple):
    """A method over all its streams.

    **Fields:** `streams`: how many; `place`: the mean; `best`: on how many it is best or within
    the spread; `three`: among the first three; `error`: geometric mean against the best;
    `microseconds` per row, of long streams; `memory`: MB; both medians, `None` if unknown.
    """

    streams: int
    place: float
    places: list[float]
    best: int
    three: int
    error: float
    microseconds: float | None
    memory: float | None


def summary(method: str, found: Scores, cells: Iterable[Cell]) -> Summary | None:
    """Returns how a method does over all the streams that it learned; `None` if there is none."""
    on = {stream: by_method for stream, by_method in found.items() if method in by_method}
    if not on:
        return None
    places = [place(stream, method, by_method) for stream, by_method in on.items()]
    ratios = [against_best(stream, method, by_method) for stream, by_method in on.items()]
    mine = [c for c in cells if c.method == method and c.state == "done"]
    pace = [1e6 * c.seconds / c.rows for c in mine if c.seconds and c.rows >= ENOUGH]
    memory = [c.memory for c in mine if c.memory is not None]
    return Summary(
        len(on),
        mean(places),
        places,
        sum(within(stream, method, by_method) for stream, by_method in on.items()),
        sum(p <= 3 for p in places),
        math.exp(mean(map(math.log, ratios))),
        median(pace) if pace else None,
        median(memory) if memory else None,
    )
