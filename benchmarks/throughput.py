"""Samples per second and peak memory of `localprop learn` on a table of nine columns.

    python -m benchmarks.throughput

49 000 rows, nine numbers, two classes, everything by default; then 50 000 and 500 000 rows for the
memory. Each run is a process of its own. Writes `benchmarks/throughput.md`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .accuracy import localprop

HERE = Path(__file__).parent
BOUND = 12_131  # samples per second


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """Writes nine standard normal columns and a class that hangs on two of their products."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        file.write(",".join(f"x{i}" for i in range(9)) + ",y\n")
        for _ in range(0, rows, 10_000):
            x = rng.normal(size=(min(10_000, rows), 9))
            y = (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] > 0).astype(int)
            np.savetxt(file, np.column_stack([x, y]), fmt=["%.6f"] * 9 + ["%d"], delimiter=",")


def measure(rows: int) -> dict[str, Any]:
    """Learns a table of so many rows with the command line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, rows)
        return localprop(path, "y", "--limit", str(rows))


def main() -> int:
    """Measures, writes the table, and returns 1 if a bound is missed."""
    speed, small, large = measure(49_000), measure(50_000), measure(500_000)
    growth = large["peak_memory_bytes"] / small["peak_memory_bytes"] - 1
    fast = speed["samples_per_second"]
    text = f"""# Speed and memory

Regenerate with `python -m benchmarks.throughput`. Nine numeric columns, two classes, CSV, the
default bank, {speed["hops"]} hops per row, {os.cpu_count()} cores; reading, scaling, predicting and
scoring are counted, compilation is not. The bound is half the speed of the one network of 64, 64
that was the default before the bank, 24 263 samples per second.

| what | measured | bound | holds |
| --- | --- | --- | --- |
| samples per second, 49 000 rows | {fast:,.0f} | ≥ {BOUND:,} | {"yes" if fast >= BOUND else "NO"} |
| samples per second, 500 000 rows | {large["samples_per_second"]:,.0f} | | |
| compilation, seconds | {speed["compile_seconds"]:.1f} | | |
| peak memory, 50 000 rows, MiB | {small["peak_memory_bytes"] / 2**20:.1f} | | |
| peak memory, 500 000 rows, MiB | {large["peak_memory_bytes"] / 2**20:.1f} | | |
| growth of peak memory | {growth:+.2%} | ≤ 5 % | {"yes" if growth <= 0.05 else "NO"} |
| state of the learner, KiB | {large["state_bytes"] / 2**10:.1f} | | |
| accuracy over the last run | {large["score"]:.3f} | | |
"""
    (HERE / "throughput.md").write_text(text, encoding="utf-8")
    print(text)
    return int("| NO |" in text)


if __name__ == "__main__":
    sys.exit(main())
