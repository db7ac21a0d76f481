"""How long it takes to begin: imports, and every command on 500 rows, cold and warm.

Each run is a process of its own, from nothing to the end. *Cold* has an empty cache folder, *warm*
finds there what the run before has compiled. Ratios are to `import jax` alone in the same run of
this benchmark, the least that anything that computes can take.

    python -m benchmarks.start [RUNS]
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from .page import write_page

ROWS, RUNS = 500, 5
MOST, MOST_IMPORT = 3.0, 0.5  # seconds: of a second run, and of importing the package
WORDS = [
    "good",
    "bad",
    "fine",
    "poor",
    "great",
    "awful",
    "nice",
    "late",
    "fast",
    "slow",
    "cheap",
    "dear",
]
IMPORTS = ("import jax", "import localprop", "from localprop import Learner, Layered")
IMPORTS += ("from localprop import Online",)


class Took(NamedTuple):
    """Seconds of a process: by the clock, and of processors."""

    wall: float
    busy: float


def run(arguments: Sequence[str], cache: Path) -> Took:
    """Runs Python with these arguments and this cache folder."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    env |= {"LOCALPROP_CACHE": str(cache), "JAX_PLATFORMS": "cpu"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    busy = after.children_user + after.children_system
    return Took(wall, busy - before.children_user - before.children_system)


def write_tables(folder: Path) -> None:
    """Writes the tables to learn: numbers, classes with a category, sentences, a series."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(ROWS, 5)).round(4), rng.normal(size=ROWS)
    y = (x @ np.arange(5) + 0.1 * noise).round(4)
    colours, names = rng.choice(["red", "blue", "green"], ROWS), [f"x{k}" for k in range(5)]
    numbers = [",".join(map(str, row)) for row in x.tolist()]
    sentences = [" ".join(rng.choice(WORDS, 6)) for _ in range(ROWS)]
    wave = np.sin(np.arange(ROWS) / 7) + 0.1 * noise
    tables = {
        "numbers": ([*names, "y"], [f"{a},{b}" for a, b in zip(numbers, y, strict=True)]),
        "classes": (
            [*names, "colour", "y"],
            [f"{a},{c},{int(b > 0)}" for a, c, b in zip(numbers, colours, y, strict=True)],
        ),
        "sentences": (
            ["x", "note", "y"],
            [f"{a},{s},{int(b > 0)}" for a, s, b in zip(x[:, 0], sentences, y, strict=True)],
        ),
        "series": (["x", "y"], [f"{a},{b:.4f}" for a, b in zip(x[:, 0], wave, strict=True)]),
    }
    for name, (columns, rows) in tables.items():
        (folder / f"{name}.csv").write_text("\n".join([",".join(columns), *rows, ""]))


def commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the commands, in an order in which each finds what it reads."""
    kept = str(folder / "kept.npz")
    table = {name: str(folder / f"{name}.csv") for name in ("numbers", "classes", "sentences")}
    series = str(folder / "series.csv")
    learn = ["learn", "--target", "y"]
    yield "learn, numbers", [*learn, table["numbers"]]
    yield "learn, classes", [*learn, table["classes"]]
    yield "learn, sentences", [*learn, "--text", "note", table["sentences"]]
    yield "learn, sequences", [*learn, "--sequence", "colour", table["classes"]]
    yield "learn, one network", [*learn, "--no-bank", "--review", "0", table["numbers"]]
    yield "learn, by XLA", [*learn, "--engine", "xla", table["numbers"]]
    yield "learn, forecast", [*learn, "--horizon", "3", series]
    yield "learn, least action", [*learn, "--law", "least-action", table["numbers"]]
    more = ["--checkpoint", kept, "--overwrite", "--out", str(folder / "report")]
    yield "learn, with checkpoint and report", [*learn, *more, table["numbers"]]
    yield "predict", ["predict", kept, table["numbers"], "--predictions", str(folder / "p.csv")]
    yield "track", ["track", "--signal", series]
    yield "--help", ["--help"]


def main() -> int:
    """Measures, writes the page, and returns 1 if a bound is missed."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    lines, missed = [], False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tables(folder)
        imports = {code: [run(["-c", code], folder) for _ in range(runs)] for code in IMPORTS}
        alone = median(t.wall for t in imports[IMPORTS[0]])
        for code, took in imports.items():
            bound = MOST_IMPORT if code == "import localprop" else None
            line, bad = _line(f"`{code}`", None, took, alone, bound)
            lines, missed = [*lines, line], missed or bad
        for k, (what, arguments) in enumerate(commands(folder)):
            cache = folder / f"cache{k}"
            command = ["-m", "localprop", *arguments]
            cold = run(command, cache)
            took = [run(command, cache) for _ in range(runs)]
            line, bad = _line(what, cold, took, alone, MOST)
            print(line, flush=True)
            lines, missed = [*lines, line], missed or bad
    load = os.getloadavg()[0]
    note = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at "
        f"the end; Python {platform.python_version()}, JAX {version('jax')}, Numba "
        f"{version('numba')}. {ROWS} rows; medians of {runs} runs, least and most in brackets, and "
        "of processor time beside the clock's; cold is one run."
    )
    columns = ("what", "cold, s", "warm, s", "processor, s", "÷ import jax", "bound, s", "holds")
    write_page(Path(__file__), __doc__, note, columns, lines)
    print("\n".join([note, *lines]))
    return int(missed)


def _line(
    what: str, cold: Took | None, warm: list[Took], alone: float, bound: float | None
) -> tuple[str, bool]:
    """Returns a row of the table, and whether its bound is missed."""
    wall = [took.wall for took in warm]
    missed = bound is not None and median(wall) > bound
    cells = [
        what,
        "" if cold is None else f"{cold.wall:.2f}",
        f"{median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})",
        f"{median(took.busy for took in warm):.2f}",
        f"{median(wall) / alone:.2f}",
        "" if bound is None else f"≤ {bound:g}",
        "" if bound is None else ("NO" if missed else "yes"),
    ]
    return f"| {' | '.join(cells)} |", missed


if __name__ == "__main__":
    sys.exit(main())
