"""Conjecture 1: at finite speed costate reversal brings the loss down, whatever the depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import stats

from ..cost import Cost, SquaredError
from ..law import Hamiltonian
from ..network import Layered
from .claim import Claim, Part

DEPTHS = (1, 2, 3)  # hidden layers
SPEED, SAMPLES, STRETCHES = 2.0, 30_000, 600
LEAST_SEEDS = 8
FROZEN = 6000  # samples after the run, on which the weights are held


@dataclass(frozen=True)
class Evidence:
    """Normalised loss over time, `(seeds, stretches)`, per number of hidden layers."""

    time: np.ndarray
    losses: dict[int, np.ndarray]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims. In float32, as everybody runs it."""
    count = max(LEAST_SEEDS, len(seeds))
    measured = {depth: _losses(depth, count) for depth in DEPTHS}
    losses = {depth: loss for depth, (loss, _) in measured.items()}
    claims = [_claim(depth, *both) for depth, both in measured.items()]
    # Stretches that grow with time: most happens early.
    edges = np.unique(np.geomspace(1, STRETCHES, 24).astype(int))[:-1] - 1
    time = SAMPLES / STRETCHES * np.append(edges[1:], STRETCHES)
    sizes = np.diff(np.append(edges, STRETCHES))
    means = {d: np.add.reduceat(loss, edges, axis=1) / sizes for d, loss in losses.items()}
    return Part(claims, {"conjecture_1": Evidence(time, means)})


def _claim(depth: int, loss: np.ndarray, frozen: np.ndarray) -> Claim:
    last = loss[:, -STRETCHES // 6 :].mean(axis=1)
    layers = f"{depth} hidden layer{'s' if depth > 1 else ''}"
    return Claim.at_most(
        f"CJ1-{depth}",
        f"evidence: at c = {SPEED:g} a net of {layers} brings the loss down under costate reversal "
        "(upper end of the 95 % interval of mean squared error over variance, last sixth of a run)",
        "NLP Conjecture 1",
        measured=last.mean() + half_width(last),
        bound=0.05,
        note=f"mean {last.mean():.3g} over {len(last)} seeds, worst {last.max():.3g}; "
        f"teacher-student stream of {SAMPLES:,} samples, one hop of 1 per sample; it is slow, "
        f"so that part of this is following: with weights held, on the next {FROZEN:,} "
        f"samples, the median is {np.median(frozen):.3g}",
    )


def half_width(values: np.ndarray) -> Any:
    """Returns half the width of Student's 95 % interval of the mean, over the first axis."""
    spread = np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    return stats.t.ppf(0.975, len(values) - 1) * spread


def _losses(depth: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the loss `(seeds, stretches)` while learning, and `(seeds,)` with held weights."""
    network = Layered.dense([4, *[24] * depth, 1], speed=SPEED)
    law, cost = Hamiltonian(mass=30.0, dissipation=1.0), Cost(SquaredError())

    @partial(jax.jit, static_argnums=0)
    def run(samples: int, key: Array, u: Array, z: Array) -> tuple[Array, Array]:
        def sample(phase, now):
            u, z = now
            before = cost.target_loss(network.output(phase.x), z)
            return law.hop(network, cost, phase, u, z, 1.0), before

        def held(phase, now):
            u, z = now
            phase = law.settle(network, cost, phase, u, z, 1.0)
            return phase, cost.target_loss(network.output(phase.x), z)

        start, scale = law.init(network, cost, key), jnp.var(z) / 2
        end, loss = jax.lax.scan(sample, start, (u[:samples], z[:samples]))
        after = jax.lax.scan(held, end, (u[samples:], z[samples:]))[1]
        return loss.reshape(STRETCHES, -1).mean(axis=1) / scale, after.mean() / scale

    streams = [_stream(seed) for seed in range(count)]
    u, z = (jnp.asarray(np.stack(part)) for part in zip(*streams, strict=True))
    keys = jax.vmap(jax.random.key)(jnp.arange(count))
    every = jax.vmap(partial(run, SAMPLES))
    loss, frozen = every(keys, u, z)
    return np.asarray(loss, np.float64), np.asarray(frozen, np.float64)


def _stream(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns slow inputs, sums of sines, and a random tanh teacher's answers."""
    rng = np.random.default_rng(seed)
    t = np.arange(SAMPLES + FROZEN)
    rates, phases = rng.uniform(0.003, 0.02, (4, 6)), rng.uniform(0, 2 * np.pi, (4, 6))
    u = np.sin(np.multiply.outer(t, rates) + phases).sum(axis=-1) / np.sqrt(3)
    inner, outer = rng.normal(size=(16, 4)) / 2, rng.normal(size=(1, 16)) / 4
    z = np.tanh(u @ inner.T) @ outer.T
    return u.astype(np.float32), (z / z.std()).astype(np.float32)
