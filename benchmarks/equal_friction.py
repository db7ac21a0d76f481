"""Least action with one friction for neurons and weights: what the action costs on tables.

The action of the laws, section 9, is $\\int (T - U)\\,e^{\\theta t}dt$, with one $\\theta$ for
neurons and weights. `learn --law least-action` takes 1.0 for neurons; for weights 1.0 in two of its
four experts and 0.5 in the other two, along whose paths no action is stationary. The *equal*
variant has 1.0 for both, and a rate of its masses larger by as much as the friction, so that under
a steady force weights move as fast. Every row is predicted before it is learned.

    python -m benchmarks.equal_friction
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import mean
from unittest import mock

from localprop import Adaptive, LeastAction
from localprop.law import AbstractLaw
from localprop.online import defaults
from localprop.online.defaults import Recipe, law_for
from localprop.online.learn import learn
from localprop.online.settings import Settings

from .accuracy import BOUNDS, export

SEEDS = (0, 1, 2)


def equal(name: str, recipe: Recipe, plastic: int) -> AbstractLaw:
    """Returns the law of the command line with the friction of its neurons on its weights too."""
    law = law_for(name, recipe, plastic)
    assert isinstance(law, LeastAction)
    assert isinstance(law.mass, Adaptive)
    friction = law.neurons.dissipation  # pyright: ignore[reportAttributeAccessIssue]
    mass = Adaptive(law.mass.rate * friction / law.dissipation, law.mass.decay, law.mass.floor)
    return LeastAction(law.stiffness, law.neurons, mass, friction, law.motion)


def scores(file: Path, target: str) -> tuple[str, list[float], list[float]]:
    """Returns the metric, and the scores with the default and with equal frictions, per seed."""
    metric, found = "", []
    for law in (law_for, equal):
        values = []
        with mock.patch.object(defaults, "law_for", law):
            for seed in SEEDS:
                result, _ = learn(file, Settings(target, law="least-action", seed=seed))
                assert result.score is not None
                metric = result.metric
                values.append(result.score)
        found.append(values)
    return metric, *found


def row(name: str, metric: str, default: list[float], same: list[float]) -> str:
    """Returns a line of the table: means, and in brackets every seed."""
    cells = [f"{mean(v):.4f} ({', '.join(f'{x:.4f}' for x in v)})" for v in (default, same)]
    return f"| {name} | {metric} | {' | '.join(cells)} |"


def main() -> int:
    """Measures and writes `equal_friction.md`."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in BOUNDS:
            rows.append(row(name, *scores(*export(name, Path(folder)))))
            print(rows[-1], flush=True)
    text = [
        "# Least action with one friction for neurons and weights",
        "",
        (__doc__ or "").split("\n\n", 1)[1].split("    python")[0].strip(),
        "",
        f"Mean over seeds {SEEDS[0]} to {SEEDS[-1]}, and in brackets each of them. Written by "
        "`python -m benchmarks.equal_friction`.",
        "",
        "| stream | metric | default: 1.0 and 0.5 or 1.0 | equal: 1.0 and 1.0 |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
