"""How far uneven spacing may reach the law: scores of `--time` under several bounds.

python -m benchmarks.durations
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from localprop.online import durations
from localprop.online.learn import learn
from localprop.online.settings import Settings

from .accuracy import export

HERE = Path(__file__).parent
SEEDS = range(2)
ROWS = 2500
BOUNDS = {
    "without `--time`": None,
    "as it is, √½ to √2": (durations.SHORTEST, durations.LONGEST),
    "0.3 to 1.43": (0.3, 1.43),
    "0 to 1.43": (1e-3, 1.43),
    "0 to 1.9": (1e-3, 1.9),
}
GAPS = {
    "exponential gaps": lambda rng: rng.exponential(size=ROWS),
    "three gaps in four next to nothing": lambda rng: rng.choice([1e-3, 4.0], ROWS, p=[0.75, 0.25]),
}


def uneven(path: Path, name: str) -> None:
    """Writes y = 2a + b at uneven times, which have nothing to do with it."""
    rng = np.random.default_rng(1)
    t = np.cumsum(GAPS[name](rng))
    a, b = rng.standard_normal((2, ROWS))
    table = np.stack([t, a, b, 2 * a + b], axis=1)
    np.savetxt(path, table, "%.9g", ",", header="t,a,b,y", comments="")


def score(path: Path, bounds: tuple[float, float] | None, time: str, **settings: Any) -> str:
    """Returns the mean absolute error, over the seeds."""
    if bounds is not None:
        durations.SHORTEST, durations.LONGEST = bounds
    clock = None if bounds is None else time
    runs = [learn(path, Settings(time=clock, seed=s, **settings))[0].score for s in SEEDS]
    return f"{mean(run for run in runs if run is not None):.3f}"


def main() -> None:
    """Measures and writes `benchmarks/durations.md`."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        streams: dict[str, tuple[Path, str, dict[str, Any]]] = {}
        path, target = export("TrumpApproval", Path(folder))
        streams["TrumpApproval"] = path, "ordinal_date", {"target": target}
        path, target = export("WaterFlow", Path(folder))
        streams["WaterFlow, 1 ahead"] = path, "Time", {"target": target, "horizon": 1}
        for k, name in enumerate(GAPS):
            path = Path(folder) / f"{k}.csv"
            uneven(path, name)
            streams[name] = path, "t", {"target": "y"}
        for law in ("hamiltonian", "least-action"):
            for name, (path, time, settings) in streams.items():
                cells = [score(path, b, time, law=law, **settings) for b in BOUNDS.values()]
                lines.append(f"| {name} | {law} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    head = f"| stream | law | {' | '.join(BOUNDS)} |\n{'| --- ' * (2 + len(BOUNDS))}|"
    (HERE / "durations.md").write_text(f"{PAGE}\n{head}\n" + "\n".join(lines) + "\n")


PAGE = """# How far uneven spacing may reach the law

    python -m benchmarks.durations

A row's duration is the gap before it over the mean gap so far, within bounds. At infinite speed
the neurons do not feel it: what it changes is friction, and how much the row counts, as a hop of
length τ moves a weight by τ² × force / mass. Rows that count unequally are fewer rows: of $n$
of them $(\\sum\\tau^2)^2/\\sum\\tau^4$ are left. The Hamiltonian law is sound up to 1.43, where
friction θτ = 0.7 × 1.43 would be 1, the output neurons of least action up to 1.9; below, nothing is
unstable, and yet wider bounds cost accuracy where rows come unevenly. Mean absolute error (lower
is better) with no other option, mean over seeds 0 and 1. The first two streams have even times,
with few exceptions.
"""

if __name__ == "__main__":
    main()
