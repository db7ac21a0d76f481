"""The page: who scores what, how fast, in how much memory, and what was not run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean

from .cell import Cell
from .data import SOURCES
from .methods import METHODS
from .picture import draw
from .standing import (
    OWN,
    Score,
    Scores,
    behind,
    best,
    comparable,
    foremost,
    merit,
    place,
    rivals_of,
    scores,
    summary,
    within,
)

# What a default that is worth having must reach.
BOUNDS = {
    "Phishing": 0.912, "Bananas": 0.886, "TrumpApproval": 0.205, "Friedman": 1.00,
    "SolarFlare": 0.42,
}  # fmt: skip
TABLES = {
    "classification": "Classes: accuracy, higher is better",
    "regression": "Numbers: mean absolute error, lower is better",
    "forecast": "Forecasts: mean absolute error, lower is better",
}

PAGE = """# Many streams, many learners

One configuration of each learner, nothing tuned, on {streams} streams. Regenerate with
`python -m benchmarks.streams` (hours; it goes on where it stopped), or the page alone from
`benchmarks/streams.csv` with `python -m benchmarks.streams --page`.

![places, and error against time](streams.png)

Left: the place of a method on every stream (bars) and the mean of these (number). Right: its error
(share of wrong classes, or mean absolute error) over the best one's of the same stream, against
processor time per row; down and left is better. What has no model takes no time
and stands left only.

## All streams

{summaries}

*First*: best, or behind the best by no more than a standard deviation over seeds. Where a seed
draws the stream too (all generated ones, and the orders of scikit-learn's), two methods are
compared on the seeds that both have, and that is the deviation of their difference; elsewhere, the
larger of their own.
*Error*: geometric mean over streams of the error over the best one's; more than ten times
counts as ten. *µs*: processor time per row, median over streams of {enough} rows and more. *MB*:
median of the memory that learning took above what the process held before, compiling included.
A method is placed among those that learned the stream to its end; answers that stopped being
finite are the worst. Variants of localprop stand in the place of its default, not beside it.

## Where localprop stands

{standing}

{losses}

{bounds}

{tables}

## Processor time and memory

Seconds on each stream, mean over seeds, without compiling; in brackets megabytes.

{costs}

## How it was measured

* Every row is predicted before it is learned: accuracy, or mean absolute error of all rows that
  have one before them. A forecast of `H` rows ahead is made when the row `H` before is known, and
  learned from when its own row is.
* Every cell of these tables has a process of its own, on one core, with one thread. Seconds are of
  the processor, so that what else the machine does distorts them little; imports, loading and
  compiling are not in them (a virtual machine of Java compiles while it runs, so that is in).
  localprop's include reading a CSV and scoring; rivals get their rows ready-made.
* Rivals are at their own defaults behind the scaler that suits them: a standard one, but none for
  trees that learn classes, nor for MOA's. Where numbers are predicted, the target is scaled too
  (River's `TargetStandardScaler`, or the same by hand). k-nearest neighbours search the last 1000
  rows exactly; the linear classifier of scikit-learn has the logistic loss. Words are inputs of
  their own. Of a series, rivals predict the change from the last known value, from the phases of
  the calendar, that value, and how far the others of a season lie from it; localprop gets the table
  of times and values. Backpropagation trains one network of two hidden layers of 64 (tanh)
  from z-scores, a row at a time: Adam at 10⁻³, or SGD at 10⁻².
* The task is told to everybody. A seed is the learner's own, and draws the stream where that is
  generated or has no order of its own; where neither draws there is one. A cell
  that takes more than {limit:g} minutes of processor time is stopped.
* Versions: {versions}.

| stream | rows | what it is |
| --- | ---: | --- |
{sources}

## What was not run, and why

{missing}
"""


def write_page(cells: Iterable[Cell], folder: Path) -> None:
    """Writes `streams.md` and `streams.png`."""
    cells = list(cells)
    found = scores(cells)
    summaries = {m: s for m in METHODS if (s := summary(m, found, cells)) is not None}
    if not summaries:
        return
    draw(summaries, folder / "streams.png")
    text = PAGE.format(
        streams=len(found),
        summaries=_table(
            "method | streams | mean place | first | in the first three | error | µs | MB",
            [
                [
                    *(METHODS[m].told, str(s.streams), f"{s.place:.1f}"),
                    *(str(s.best), str(s.three), f"{s.error:.2f}"),
                    *(_number(s.microseconds), _number(s.memory)),
                ]
                for m, s in sorted(summaries.items(), key=lambda item: item[1].place)
            ],
        ),
        enough="1000",
        standing=_standing(found),
        losses=_losses(found),
        bounds=_bounds(found),
        tables="\n\n".join(_scores(found, task) for task in TABLES),
        costs=_costs(cells),
        limit=max(c.limit for c in cells),
        versions=_versions(cells),
        sources="\n".join(f"| {n} | {s.rows} | {s.told} |" for n, s in SOURCES.items()),
        missing=_missing(cells),
    )
    (folder / "streams.md").write_text(text, encoding="utf-8")


def _standing(found: Scores) -> str:
    rows = []
    for stream, by_method in found.items():
        rivals = rivals_of(OWN, by_method)
        first = foremost(stream, OWN, by_method) if OWN in by_method else None
        if first is None:
            continue
        mine, theirs = comparable(stream, by_method[OWN], rivals[first])
        word = "best" if place(stream, OWN, by_method) == 1 else "within the spread"
        rows.append(
            [
                *(stream, _told(stream, mine)),
                f"{METHODS[first].told}, {_told(stream, theirs)}",
                word if within(stream, OWN, by_method) else "**behind**",
                f"{place(stream, OWN, by_method):g} of {len(rivals) + 1}",
                *(_against(stream, by_method, fool) for fool in ("river-linear", "last")),
            ]
        )
    head = (
        "stream | localprop | best of the others | it is | place | linear | last value, last class"
    )
    return _table(head, rows) if rows else "Not measured yet."


def _against(stream: str, by_method: dict[str, Score], other: str) -> str:
    """Returns another score, marked where localprop is below it by more than is allowed."""
    if other not in by_method:
        return "–"
    mine, theirs = (s.mean for s in comparable(stream, by_method[OWN], by_method[other]))
    below = mine < theirs - 0.002 if merit(stream) else mine > 1.01 * theirs
    told = _told(stream, by_method[other])
    return f"{told}, **ahead**" if below else told


def _losses(found: Scores) -> str:
    own = {stream: by_method for stream, by_method in found.items() if OWN in by_method}
    if not own:
        return ""
    first = [s for s, m in own.items() if within(s, OWN, m)]
    three = [s for s, m in own.items() if place(s, OWN, m) <= 3]
    lines = [
        f"Best or within the spread of the best on {len(first)} of {len(own)} streams, among the "
        f"first three on {len(three)}.",
        "",
    ]
    for stream, by_method in own.items():
        if stream in first:
            continue
        rivals = rivals_of(OWN, by_method)
        gaps = {n: behind(stream, by_method[OWN], s)[0] for n, s in rivals.items()}
        ranked = sorted((n for n in gaps if gaps[n] > 0), key=lambda n: -gaps[n])
        who = "; ".join(f"{METHODS[n].told} {_told(stream, rivals[n])}" for n in ranked)
        lines.append(f"* {stream}, {_told(stream, by_method[OWN])}. Ahead: {who}.")
    return "\n".join(lines)


def _bounds(found: Scores) -> str:
    rows = []
    for stream, bound in BOUNDS.items():
        score = found.get(stream, {}).get(OWN)
        if score is not None:
            holds = score.mean >= bound if merit(stream) else score.mean <= bound
            sign = "≥" if merit(stream) else "≤"
            word = "yes" if holds else "**no**"
            rows.append([stream, _told(stream, score), f"{sign} {bound:g}", word])
    return _table("stream | localprop | bound | holds", rows) if rows else ""


def _scores(found: Scores, task: str) -> str:
    streams = [s for s in found if SOURCES[s].task == task]
    rows = []
    for method in METHODS:
        cells = [_score(stream, method, found[stream]) for stream in streams]
        if any(cell != "–" for cell in cells):
            rows.append([METHODS[method].told, *cells])
    head = " | ".join(["method", *streams])
    note = "The best mean in bold; what is within the spread of the best in italics."
    return f"## {TABLES[task]}\n\n{_table(head, rows)}\n\n{note}"


def _score(stream: str, method: str, by_method: dict[str, Score]) -> str:
    if method not in by_method:
        return "–"
    text = _told(stream, by_method[method])
    if best(stream, by_method) == method:
        return f"**{text}**"
    return f"*{text}*" if within(stream, method, by_method) else text


def _told(stream: str, score: Score) -> str:
    digits: Callable[[float], str] = (
        (lambda v: f"{v:.4f}") if merit(stream) else (lambda v: f"{v:.4g}")
    )
    if abs(score.mean) == float("inf"):
        return "diverged"
    return digits(score.mean) + (f" ± {score.spread:.2g}" if score.seeds > 1 else "")


def _costs(cells: list[Cell]) -> str:
    done = defaultdict(list)
    for cell in cells:
        if cell.state == "done":
            done[cell.method, cell.stream].append(cell)
    streams = [s for s in SOURCES if any(s == name for _, name in done)]
    rows = []
    for method in METHODS:
        found = [done.get((method, stream)) for stream in streams]
        if any(found):
            rows.append([METHODS[method].told, *map(_cost, found)])
    return _table(" | ".join(["method", *streams]), rows)


def _cost(cells: list[Cell] | None) -> str:
    if not cells:
        return "–"
    seconds = mean(c.seconds or 0.0 for c in cells)
    return f"{_number(seconds)} ({_number(mean(c.memory or 0.0 for c in cells))})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value >= 0.01 else "< 0.01"


def _versions(cells: list[Cell]) -> str:
    found = {
        METHODS[c.method].needs[0].split(".")[0]: c.version
        for c in cells
        if c.version and METHODS[c.method].needs
    }
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _missing(cells: list[Cell]) -> str:
    known = {(c.stream, c.method): c for c in cells if c.seed == 0}
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for method, told in METHODS.items():
        for stream, source in SOURCES.items():
            if source.task not in told.tasks:
                continue
            cell = known.get((stream, method))
            if cell is None:
                reasons[method, "not run yet"].append(stream)
            elif cell.state == "stopped":
                where = f"{stream} (after {cell.rows} of {source.rows} rows)"
                reasons[method, f"stopped: {cell.reason}"].append(where)
            elif cell.state in ("failed", "absent"):
                reasons[method, f"{cell.state}: {cell.reason}"].append(stream)
    lines = []
    for (method, reason), streams in reasons.items():
        tasks = METHODS[method].tasks
        everywhere = len(streams) == sum(s.task in tasks for s in SOURCES.values())
        where = "all streams" if everywhere else ", ".join(streams)
        lines.append(f"* {METHODS[method].told}: {reason}: {where}.")
    few = _few_seeds(cells)
    return "\n".join(lines + few) or "Everything was run."


def _few_seeds(cells: list[Cell]) -> list[str]:
    """Returns who has fewer seeds than others on some streams."""
    seeds: dict[tuple[str, str], int] = defaultdict(int)
    for cell in cells:
        seeds[cell.method, cell.stream] += cell.state == "done"
    lines = []
    for method, told in METHODS.items():
        counts = {s: n for (m, s), n in seeds.items() if m == method and n}
        few = [s for s, n in counts.items() if n < 3]
        few = [s for s in few if told.seeded or SOURCES[s].drawn]
        if few:
            where = "all" if len(few) == len(counts) else ", ".join(few)
            lines.append(f"* {told.told}: fewer than three seeds on {where}.")
    return lines


def _table(head: str, rows: list[list[str]]) -> str:
    columns = head.split(" | ")
    lines = [f"| {head} |", "| --- |" + " ---: |" * (len(columns) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
