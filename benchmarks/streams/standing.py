"""Where methods stand: means and spreads over seeds, places, and error against the best."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, median, stdev
from typing import NamedTuple

from .cell import Cell
from .data import SOURCES

OWN = "localprop"  # its default; its other variants stand in its place, not beside it
WORST = 10.0  # times the best error: what more counts as, so that one stream does not decide
ENOUGH = 1000  # rows of a stream that tells how long a row takes


@dataclass(frozen=True)
class Score:
    """What a method scored on a stream, by seed."""

    by_seed: Mapping[int, float]

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.by_seed)

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.by_seed.values())

    @property
    def spread(self) -> float:
        """Their standard deviation, 0 of a single one."""
        return _deviation(self.by_seed.values())

    def on(self, seeds: Collection[int]) -> Score:
        """Returns the score of some seeds alone."""
        return Score({seed: value for seed, value in self.by_seed.items() if seed in seeds})


Scores = dict[str, dict[str, Score]]  # stream, then method


def scores(cells: Iterable[Cell]) -> Scores:
    """Returns what was scored to the end; infinitely bad where the answers were not finite."""
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for cell in cells:
        if cell.state == "done" and cell.score is not None:
            found[cell.stream, cell.method][cell.seed] = cell.score
        elif cell.state == "diverged":
            worst = -math.inf if merit(cell.stream) else math.inf
            found[cell.stream, cell.method][cell.seed] = worst
    ordered: Scores = {stream: {} for stream in SOURCES}
    for (stream, method), values in found.items():
        ordered[stream][method] = Score(dict(sorted(values.items())))
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


def comparable(stream: str, a: Score, b: Score) -> tuple[Score, Score]:
    """Returns two scores of the same streams: if seeds draw them, of the seeds that both have."""
    if not SOURCES[stream].drawn:
        return a, b
    both = a.by_seed.keys() & b.by_seed.keys()
    return a.on(both), b.on(both)


def behind(stream: str, mine: Score, theirs: Score) -> tuple[float, float]:
    """Returns by how much a score is behind another in the mean, and how sure that is.

    The second number is a standard deviation over seeds: of the difference where each seed draws
    another stream, the same for both; else the larger one of both scores.
    """
    sign = 1 if merit(stream) else -1
    mine, theirs = comparable(stream, mine, theirs)
    if not mine.seeds or not theirs.seeds:
        return math.nan, 0.0
    gap = 0.0 if mine.mean == theirs.mean else sign * (theirs.mean - mine.mean)
    if not SOURCES[stream].drawn:
        return gap, max(mine.spread, theirs.spread)
    return gap, _deviation([theirs.by_seed[k] - value for k, value in mine.by_seed.items()])


def place(stream: str, method: str, by_method: Mapping[str, Score]) -> float:
    """Returns the place among the rivals, from 1; equals share the mean of theirs."""
    rivals = rivals_of(method, by_method).values()
    gaps = [behind(stream, by_method[method], rival)[0] for rival in rivals]
    return 1 + sum(gap > 0 for gap in gaps) + sum(gap == 0 for gap in gaps) / 2


def foremost(stream: str, method: str, by_method: Mapping[str, Score]) -> str | None:
    """Returns the rival that is furthest ahead of a method, or least behind it."""
    gaps = {
        name: behind(stream, by_method[method], score)[0]
        for name, score in rivals_of(method, by_method).items()
    }
    known = [name for name, gap in gaps.items() if not math.isnan(gap)]
    return max(known, key=lambda name: gaps[name], default=None)


def within(stream: str, method: str, by_method: Mapping[str, Score]) -> bool:
    """Whether a method is best, or behind the best by no more than the spread (`behind`)."""
    first = foremost(stream, method, by_method)
    if first is None:
        return True
    gap, spread = behind(stream, by_method[method], by_method[first])
    return gap <= spread


def error(stream: str, score: Score) -> float:
    """Returns the share of wrong classes, or the mean absolute error."""
    return 1 - score.mean if merit(stream) else score.mean


def against_best(stream: str, method: str, by_method: Mapping[str, Score]) -> float:
    """Returns the error over the least of all that it is held against, at most `WORST`."""
    ratios = [1.0]
    for rival in rivals_of(method, by_method).values():
        mine, theirs = comparable(stream, by_method[method], rival)
        if mine.seeds and mine.mean != theirs.mean:
            least = error(stream, theirs)
            ratios.append(error(stream, mine) / least if least > 0 else WORST)
    return min(max(ratios), WORST)


def _deviation(values: Collection[float]) -> float:
    finite = all(map(math.isfinite, values))
    return stdev(values) if len(values) > 1 and finite else 0.0


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
