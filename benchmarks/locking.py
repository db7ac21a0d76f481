"""Weights that never wait, on slow streams.

With settle hops a learner holds its weights until the error of a sample has arrived. Here the same
law learns the teacher-student streams of `timescales` with the settle hops that a learner takes by
itself and with none at all, so that every hop moves every weight. The law has
an adaptive mass (4e-4, decay 5e-4, floor 3e-4) and friction 0.7, per hop, ten seeds, nothing tuned.

- *held*: hops of a sample in which the weights are held;
- *predicted*: NMSE over the second half of the stream, read before the target is used;
- *frozen*: what the weights after the last sample answer on the 20 000 samples that follow,
  without learning: what they know, not what the state remembers;
- *last value*: the target of the sample before, for every sample.

    python -m benchmarks.locking
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from localprop import Adaptive, Cost, Hamiltonian, Layered, Learner, Samples, SquaredError

from .page import write_page
from .timescales import SIZES, teacher_stream

SEEDS, TRAINED = range(10), 40_000  # of 60 000 samples; the last third is answered only
TIME_SCALES = (5, 20, 100)
LAW = Hamiltonian(mass=Adaptive(4e-4, 5e-4, 3e-4), dissipation=0.7)
SETTINGS: tuple[tuple[int, Any], ...] = ((9, "auto"), (9, 0), (2, 0), (1, 0))


def measure(time_scale: int, hops: int, settle: Any) -> tuple[int, np.ndarray]:
    """Returns the settle hops, and NMSE predicted, frozen and of the last value, per seed."""
    network = Layered.dense(SIZES, bias_scale=0.0)
    learner = Learner(network, Cost(SquaredError()), LAW, hops=hops, settle=settle)
    streams = [teacher_stream(time_scale, seed) for seed in SEEDS]
    u, z = (np.stack(part) for part in zip(*streams, strict=True))
    keys = jax.vmap(jax.random.key)(jnp.array(SEEDS))

    def one(key: Array, u: Array, z: Array) -> Any:
        def sample(phase: Any, sample: Any) -> Any:
            return learner.present(phase, Samples(*sample))

        first = (u[:TRAINED], z[:TRAINED])
        phase, predicted = jax.lax.scan(sample, learner.init(key), first)
        return predicted, jax.vmap(lambda u: learner._answer(phase, u))(u[TRAINED:])

    predicted, frozen = (np.asarray(a, np.float64) for a in jax.jit(jax.vmap(one))(keys, u, z))
    half = slice(TRAINED // 2, TRAINED)
    last = np.concatenate([z[:, :1], z[:, :-1]], axis=1)
    parts = [
        (predicted[:, half], z[:, half]),
        (frozen, z[:, TRAINED:]),
        (last[:, half], z[:, half]),
    ]
    errors = [np.mean((o - t) ** 2, axis=(1, 2)) / np.var(t, axis=(1, 2)) for o, t in parts]
    return learner.settle, np.array(errors)


def main() -> int:
    """Measures and writes `locking.md`."""
    rows = []
    for time_scale in TIME_SCALES:
        for hops, settle in SETTINGS:
            held, errors = measure(time_scale, hops, settle)
            cells = [f"{np.mean(e):.2g} ({np.max(e):.2g})" for e in errors]
            rows.append(f"| {time_scale} | {hops} | {held} | {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    note = (
        f"{TRAINED:,} samples, student 4-32-32-1, {len(SEEDS)} seeds: mean, and in brackets the "
        "worst. Written by `python -m benchmarks.locking`."
    )
    columns = ["time scale", "hops", "held", "predicted", "frozen", "last value"]
    write_page(Path(__file__), __doc__, note, columns, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
