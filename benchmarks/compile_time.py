"""How long XLA compiles, by hops and by depth.

What is compiled is the loop over a chunk of samples, with `engine="xla"`, from an empty cache of
JAX's: tracing and compiling, in seconds of this process's processors, median of the rounds, which
go through all rows in turns.

Hops: a chain of 16, 64, 64, 8 neurons, all hops learning. Depth: chains of layers of 64 neurons,
with 2 × depth + 3 hops, as they are by default.

    python -m benchmarks.compile_time [ROUNDS]

Writes `benchmarks/compile_time.md`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import jax
import numpy as np

from localprop import Cost, Hamiltonian, Layered, Learner, SquaredError
from localprop.learner.samples import Samples

from .page import write_page

HOPS, DEPTHS, ROUNDS, WIDTH = (4, 8, 16, 64, 1024), (2, 4, 8, 16, 32), 3, 64
LAW = Hamiltonian(mass=1e5, dissipation=0.5)


def by_hops(hops: int) -> Learner:
    """Returns a learner of two hidden layers."""
    network = Layered.dense([16, 64, 64, 8])
    return Learner(network, Cost(SquaredError()), LAW, hops=hops, settle=0, engine="xla")


def by_depth(depth: int) -> Learner:
    """Returns a learner of so many layers."""
    network = Layered.dense([WIDTH] * (depth + 1))
    return Learner(network, Cost(SquaredError()), LAW, engine="xla")


def compiling(learner: Learner) -> float:
    """Returns the seconds that it takes to compile the loop over a chunk."""
    network = learner.network
    phase, sizes = learner.init(jax.random.key(0)), list(network.shapes.values())
    part = Samples(np.zeros((4, *network.inputs["input"])), np.zeros((4, *sizes[-1])))
    jax.clear_caches()
    begun = time.process_time()
    learner.compile(phase, part)
    return time.process_time() - begun


def main() -> int:
    """Measures and writes the page."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    rows: list[tuple[str, Callable[[int], Learner], int, int]] = []
    rows += [("hops", by_hops, k, HOPS[0]) for k in HOPS]
    rows += [("layers", by_depth, k, DEPTHS[0]) for k in DEPTHS]
    compiling(by_hops(HOPS[0]))  # what JAX loads once is nobody's
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for what, make, k, _ in rows:
            found.setdefault((what, k), []).append(compiling(make(k)))
    lines = []
    for what, _, k, first in rows:
        seconds, least = found[what, k], median(found[what, first])
        cells = [
            f"{k} {what}",
            f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
            f"{median(seconds) / least:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    note = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end; Python {platform.python_version()}, JAX "
        f"{version('jax')}. Medians of {rounds} rounds, least and most in brackets."
    )
    columns = ("what", "processor, s", "÷ first of its kind")
    write_page(Path(__file__), __doc__, note, columns, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
