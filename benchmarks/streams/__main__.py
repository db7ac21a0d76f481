"""Prequential score, seconds and memory of localprop and of rivals, on many streams.

    python -m benchmarks.streams [--only METHOD,..] [--streams S,..] [--seeds N] [--again]
    python -m benchmarks.streams --page

Every method on every stream with every seed is a cell, measured in a process of its own and kept
at once in `out/streams.jsonl`: a run may be stopped at any time, and the next one goes on. Cells
come seed by seed, slow methods last, and those that are in `benchmarks/streams.csv` already are not
measured again. At the end, and with `--page` alone, writes that table and the page
`benchmarks/streams.md` with its picture.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .cell import Cell, Key, apart
from .data import SOURCES
from .methods import METHODS, named
from .results import Results

HERE = Path(__file__).parent.parent
LINES = HERE.parent / "out" / "streams.jsonl"
TABLE = HERE / "streams.csv"
LIMIT = 10.0  # minutes of processor time for a cell


def cells(methods: Iterable[str], streams: Iterable[str], seeds: int) -> list[Key]:
    """Returns what is to be measured, in an order in which stopping early hurts least.

    Seed by seed; in each the quick methods first, and their short streams before the long ones.
    """
    found = [
        (stream, method, seed)
        for seed in range(seeds)
        for method in methods
        for stream in streams
        if SOURCES[stream].task in METHODS[method].tasks
        and (seed == 0 or METHODS[method].seeded or SOURCES[stream].drawn)
    ]
    return sorted(found, key=lambda c: (c[2], METHODS[c[1]].slow, SOURCES[c[0]].rows))


def measured(todo: list[Key], workers: int, limit: float, budget: float | None) -> Iterator[Cell]:
    """Measures cells, several at a time, and yields each as it comes.

    **Arguments:** `limit`: minutes of processor time each; `budget`: minutes on the wall for all,
    after which none is begun.
    """
    ends = None if budget is None else time.monotonic() + 60 * budget

    def one(name: Key) -> Cell | None:
        late = ends is not None and time.monotonic() > ends
        return None if late else apart(name, limit)

    with ThreadPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(one, name) for name in todo]):
            if (cell := future.result()) is not None:
                yield cell


def main(arguments: list[str] | None = None) -> int:
    """Measures what is missing, and writes table and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", help="methods, or families such as river, by comma")
    parser.add_argument("--streams", help="streams, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1, help="cells at a time")
    parser.add_argument("--limit", type=float, default=LIMIT, help="minutes of processor time each")
    parser.add_argument("--budget", type=float, help="minutes after which no cell is begun")
    parser.add_argument("--again", action="store_true", help="measure also what is known")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    given = parser.parse_args(arguments)
    results = Results(TABLE, LINES)
    if not given.page:
        try:
            methods = named(given.only)
            streams = _streams(given.streams)
        except ValueError as error:
            parser.error(str(error))
        todo = cells(methods, streams, given.seeds)
        if not given.again:
            todo = [name for name in todo if not results.done(name, given.limit)]
        for count, cell in enumerate(
            measured(todo, given.workers, given.limit, given.budget), start=1
        ):
            results.add(cell)
            print(f"{count}/{len(todo)} {_told(cell)}", flush=True)
            results.write_table()
    from .page import write_page

    results.write_table()
    write_page(results.cells.values(), HERE)
    return 0


def _streams(names: str | None) -> list[str]:
    if names is None:
        return list(SOURCES)
    found = names.split(",")
    if unknown := [name for name in found if name not in SOURCES]:
        raise ValueError(f"no stream '{unknown[0]}'; there are {', '.join(SOURCES)}")
    return found


def _told(cell: Cell) -> str:
    found = "–" if cell.score is None else f"{cell.score:.4f}"
    seconds = "" if cell.seconds is None else f" in {cell.seconds:.1f} s"
    memory = "" if cell.memory is None else f", {cell.memory:.0f} MB"
    why = f" ({cell.state}: {cell.reason})" if cell.state != "done" else ""
    return f"{cell.stream}, {cell.method}, seed {cell.seed}: {found}{seconds}{memory}{why}"


if __name__ == "__main__":
    sys.exit(main())
