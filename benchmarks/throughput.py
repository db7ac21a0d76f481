"""Rows per second of `localprop learn`, of its two engines, and of others, and peak memory.

    python -m benchmarks.throughput

49 000 rows, nine numbers, two classes, everything by default, with each engine in turns, one
network without a bank, and Vowpal Wabbit on the same file; then 50 000 and 500 000 rows for the
memory; then one row at a time, predicted and learned, beside River and scikit-learn. Each run of
the command is a process of its own. Writes `benchmarks/throughput.md`. Vowpal Wabbit is in the
extra `rivals`; without it its rows are missing.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import river
from river import forest, linear_model, preprocessing
from sklearn.linear_model import SGDClassifier

from localprop import Online
from localprop.river import LocalClassifier

from .accuracy import localprop

HERE = Path(__file__).parent
BOUND = 12_131  # samples per second
TURNS = 3
SINGLE = 1500  # rows one at a time, of which the first are not counted
WARM = 300
NETWORK, VOWPAL = "localprop, one network", "Vowpal Wabbit, `--nn 10`"


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """Writes nine standard normal columns and a class that hangs on two of their products."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        file.write(",".join(f"x{i}" for i in range(9)) + ",y\n")
        for _ in range(0, rows, 10_000):
            x = rng.normal(size=(min(10_000, rows), 9))
            y = (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] > 0).astype(int)
            np.savetxt(file, np.column_stack([x, y]), fmt=["%.6f"] * 9 + ["%d"], delimiter=",")


def measure(rows: int, *options: str) -> dict[str, Any]:
    """Learns a table of so many rows with the command line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, rows)
        return localprop(path, "y", "--limit", str(rows), *options)


def vowpal(rows: int, options: str) -> tuple[float, float]:
    """Returns rows per second and accuracy of Vowpal Wabbit on the same table in its own format."""
    from vowpalwabbit import Workspace

    with tempfile.TemporaryDirectory() as folder:
        path, own = Path(folder) / "table.csv", Path(folder) / "table.vw"
        write_table(path, rows)
        with path.open() as file, own.open("w") as out:
            next(file)
            for line in file:
                *x, y = line.strip().split(",")
                label = "1" if y == "1" else "-1"
                out.write(f"{label} | " + " ".join(f"{k}:{v}" for k, v in enumerate(x)) + "\n")
        began = time.perf_counter()
        # Reads and learns the whole file, each row predicted before it is learned.
        with Workspace(f"-d {own} --binary --quiet {options}") as model:
            seconds = time.perf_counter() - began
            return rows / seconds, 1 - model.get_sum_loss() / model.get_weighted_examples()


def stream() -> list[tuple[dict[str, float], bool]]:
    """Rows of the table as dictionaries."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SINGLE, 9))
    y = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] > 0
    return [
        ({f"x{k}": float(v) for k, v in enumerate(row)}, bool(label))
        for row, label in zip(x, y, strict=True)
    ]


class Partial:
    """scikit-learn's linear classifier by `partial_fit`, with the face of a model of River."""

    def __init__(self) -> None:
        self.model = SGDClassifier(loss="log_loss")

    def predict_one(self, x: dict[str, float]) -> bool | None:
        if not hasattr(self.model, "classes_"):
            return None
        return bool(self.model.predict([list(x.values())])[0])

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        self.model.partial_fit([list(x.values())], [y], classes=[False, True])


def scaled(model: Any) -> Any:
    return preprocessing.StandardScaler() | model


ONE_BY_ONE: dict[str, Callable[[], Any]] = {
    "localprop, the default bank": LocalClassifier,
    "localprop, no review": lambda: LocalClassifier(review=0),
    "localprop, one network": lambda: LocalClassifier(review=0, bank=False),
    "localprop, engine xla": lambda: Online("classification", engine="xla"),
    "River, softmax regression": lambda: scaled(linear_model.SoftmaxRegression()),
    "River, adaptive random forest": lambda: forest.ARFClassifier(seed=0),
    "scikit-learn, `partial_fit`": Partial,
}


def one_by_one(build: Callable[[], Any]) -> float:
    """Returns the microseconds that a row takes, predicted and learned; the median of parts."""
    model, rows = build(), stream()
    for x, y in rows[:WARM]:
        model.predict_one(x)
        model.learn_one(x, y)
    parts = []
    for start in range(WARM, SINGLE, 100):
        began = time.perf_counter()
        for x, y in rows[start : start + 100]:
            model.predict_one(x)
            model.learn_one(x, y)
        parts.append((time.perf_counter() - began) / 100)
    return 1e6 * statistics.median(parts)


def file_rows(found: dict[str, list[tuple[float, float]]], unit: float) -> Iterator[str]:
    """Yields a line for everything that learned the file."""
    for name, runs in found.items():
        speeds = [speed for speed, _ in runs]
        middle = statistics.median(speeds)
        spread = (max(speeds) - min(speeds)) / middle
        yield f"| {name} | {middle:,.0f} | {spread:.0%} | {middle / unit:.2f} | {runs[0][1]:.3f} |"


def learned() -> tuple[dict[str, list[tuple[float, float]]], dict[str, Any]]:
    """Learns the file with everything, in turns; returns speeds and accuracies, and one result."""
    found: dict[str, list[tuple[float, float]]] = {}
    last: dict[str, Any] = {}

    def add(name: str, run: tuple[float, float]) -> None:
        found.setdefault(name, []).append(run)

    for turn in range(TURNS):
        for name, options in {
            "localprop, native": ("--engine", "native"),
            "localprop, xla": ("--engine", "xla"),
            "localprop, native, no review": ("--engine", "native", "--review", "0"),
            NETWORK: ("--engine", "native", "--review", "0", "--no-bank"),
        }.items():
            result = measure(49_000, *options)
            add(name, (result["samples_per_second"], result["score"]))
            if name == "localprop, native" and turn == 0:
                last = result
        if importlib.util.find_spec("vowpalwabbit"):
            add(VOWPAL, vowpal(49_000, "--nn 10"))
            add("Vowpal Wabbit, linear", vowpal(49_000, ""))
    return found, last


def against_vowpal(found: dict[str, list[tuple[float, float]]]) -> str:
    """Returns how one network stands against as small a one of Vowpal Wabbit's."""
    if VOWPAL not in found:
        return ""
    ours, theirs = (statistics.median(s for s, _ in found[name]) for name in (NETWORK, VOWPAL))
    holds = ours > theirs and found[NETWORK][0][1] > found[VOWPAL][0][1]
    return (
        f"\n| one network, samples per second by `--nn 10`'s | {ours / theirs:.2f} "
        f"| > 1, more accurate | {'yes' if holds else 'NO'} |"
    )


def main() -> int:
    """Measures, writes the table, and returns 1 if a bound is missed."""
    found, speed = learned()
    small, large = measure(50_000), measure(500_000)
    growth = large["peak_memory_bytes"] / small["peak_memory_bytes"] - 1
    fast = statistics.median(s for s, _ in found["localprop, native"])
    xla = statistics.median(s for s, _ in found["localprop, xla"])
    single = {name: one_by_one(build) for name, build in ONE_BY_ONE.items()}
    softmax, trees = single["River, softmax regression"], single["River, adaptive random forest"]
    own = single["localprop, the default bank"]

    def holds(good: bool) -> str:
        return "yes" if good else "NO"

    lines = "\n".join(file_rows(found, xla))
    by_one = "\n".join(
        f"| {name} | {each:,.0f} | {each / softmax:.2f} |" for name, each in single.items()
    )
    text = f"""# Speed and memory

Regenerate with `python -m benchmarks.throughput`. Nine numeric columns, two classes, CSV, the
default bank, {speed["hops"]} hops per row, {os.cpu_count()} cores; reading, scaling, predicting and
scoring are counted, compilation is not. The bound is half the speed of the one network of 64, 64
that was the default before the bank, 24 263 samples per second.

| what | measured | bound | holds |
| --- | --- | --- | --- |
| samples per second, 49 000 rows | {fast:,.0f} | ≥ {BOUND:,} | {holds(fast >= BOUND)} |
| the same, by that of engine xla | {fast / xla:.2f} | ≥ 3 | {holds(fast >= 3 * xla)} |\
{against_vowpal(found)}
| samples per second, 500 000 rows | {large["samples_per_second"]:,.0f} | | |
| compilation, seconds | {speed["compile_seconds"]:.1f} | | |
| peak memory, 50 000 rows, MiB | {small["peak_memory_bytes"] / 2**20:.1f} | | |
| peak memory, 500 000 rows, MiB | {large["peak_memory_bytes"] / 2**20:.1f} | | |
| growth of peak memory | {growth:+.2%} | ≤ 5 % | {holds(growth <= 0.05)} |
| state of the learner, KiB | {large["state_bytes"] / 2**10:.1f} | | |
| accuracy over the last run | {large["score"]:.3f} | | |
| one row, predicted and learned, by River's softmax | {own / softmax:.1f} | ≤ 3 | \
{holds(own <= 3 * softmax)} |
| the same, by River's adaptive random forest | {own / trees:.2f} | < 1 | {holds(own < trees)} |

## The same file

Medians of {TURNS} runs in turns, spread from the slowest to the fastest. Vowpal Wabbit reads the
same numbers in its own format, which were written for it before.

| what | rows per second | spread | by xla | accuracy |
| --- | --- | --- | --- | --- |
{lines}

## One row at a time

Predicted, then learned, {SINGLE - WARM} rows after {WARM} others; median over parts of 100 rows.
River {river.__version__}.

| what | microseconds | by River's softmax |
| --- | --- | --- |
{by_one}
"""
    (HERE / "throughput.md").write_text(text, encoding="utf-8")
    print(text)
    return int("| NO |" in text)


if __name__ == "__main__":
    sys.exit(main())
