"""Least action on teacher-student streams: the claims of the laws, section 9.

A student network learns a teacher network on the streams of `timescales`, ten seeds each, with
the law's own defaults. Four errors are given, all as NMSE over the second half of the stream:

- *predicted*: the learner's output, read before the sample's target is used;
- *settled*: what the weights of that moment answer once the state has settled, so that nothing
  that the state remembers of past targets helps;
- *frozen*: what the weights after the last sample answer on the second half, without learning;
- *last value*: the target of the sample before.

    python -m benchmarks.least_action
"""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from localprop import (
    Constant,
    Cost,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    Overdamped,
    Samples,
    Splitting,
    SquaredError,
)
from localprop.law import AbstractLaw

from .timescales import SIZES, teacher_stream

SEEDS = range(10)
# Time scale, hops per sample, and the bound on every seed's NMSE of the predictions.
CLAIMS = ((100, 2, 0.002), (20, 8, 0.01))
LAWS: dict[str, AbstractLaw] = {
    "least action": LeastAction(),
    "least action, splitting": LeastAction(motion=Splitting()),
    "least action, overdamped": LeastAction(neurons=Overdamped(1.2)),
    "hamiltonian": Hamiltonian(mass=Constant(100.0), dissipation=1.0),
}


class Errors(NamedTuple):
    """NMSE per seed; see the module."""

    predicted: Float[np.ndarray, " seeds"]
    settled: Float[np.ndarray, " seeds"]
    frozen: Float[np.ndarray, " seeds"]
    last: Float[np.ndarray, " seeds"]


def measure(law: AbstractLaw, time_scale: int, hops: int) -> Errors:
    """Returns the errors of a law on all seeds at once."""
    learner = Learner(Layered.dense(SIZES, bias_scale=0.0), Cost(SquaredError()), law, hops=hops)
    streams = [teacher_stream(time_scale, seed) for seed in SEEDS]
    u, z = (np.stack(part) for part in zip(*streams, strict=True))
    keys = jax.vmap(jax.random.key)(jnp.array(SEEDS))

    def one(key: Array, u: Array, z: Array) -> Any:
        def sample(phase: Any, sample: Any) -> Any:
            settled = learner._answer(phase, sample[0])
            phase, predicted = learner.present(phase, Samples(*sample))
            return phase, (predicted, settled)

        phase, (predicted, settled) = jax.lax.scan(sample, learner.init(key), (u, z))
        return predicted, settled, jax.vmap(lambda u: learner._answer(phase, u))(u)

    outputs = [np.asarray(a, np.float64) for a in jax.jit(jax.vmap(one))(keys, u, z)]
    outputs.append(np.concatenate([z[:, :1], z[:, :-1]], axis=1))
    late = slice(z.shape[1] // 2, None)
    return Errors(
        *(np.mean((o - z)[:, late] ** 2, (1, 2)) / np.var(z[:, late], axis=(1, 2)) for o in outputs)
    )


def row(name: str, time_scale: int, hops: int, errors: Errors) -> str:
    """Returns a line of the table: mean and, in brackets, the worst of the seeds."""
    cells = [f"{np.mean(e):.2g} ({np.max(e):.2g})" for e in errors]
    return f"| {time_scale} | {hops} | {name} | {' | '.join(cells)} |"


def report(rows: list[str], verdicts: list[str]) -> str:
    """Returns the whole report as Markdown."""
    where = f"{platform.machine()}, {os.cpu_count()} cores, JAX {version('jax')}, float32"
    return "\n".join(
        [
            "# Least action on teacher-student streams",
            "",
            (__doc__ or "").split("\n\n", 1)[1].split("    python")[0].strip(),
            "",
            f"60 000 samples, student 4-32-32-1, {len(SEEDS)} seeds: mean, and in brackets the "
            f"worst seed. {where}. Written by `python -m benchmarks.least_action`.",
            "",
            "| time scale | hops | law | predicted | settled | frozen | last value |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            *verdicts,
            "",
        ]
    )


def main() -> int:
    """Measures, writes `least_action.md` and returns 0 if the claims hold, else 1."""
    rows, verdicts, sound = [], [], True
    for time_scale, hops, bound in CLAIMS:
        for name, law in LAWS.items():
            errors = measure(law, time_scale, hops)
            rows.append(row(name, time_scale, hops, errors))
            print(rows[-1], flush=True)
            if name == "least action":
                holds = bool(np.all(errors.predicted <= bound))  # False for NaN too
                verdicts.append(
                    f"- Time scale {time_scale}, {hops} hops: each of {len(SEEDS)} seeds at or "
                    f"below {bound}: {'holds' if holds else 'does not hold'}."
                )
                sound = sound and holds
    print("\n".join(verdicts))
    Path(__file__).with_suffix(".md").write_text(report(rows, verdicts))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
