"""What a `Learner` without any option learns, beside the settings it had and the best there are.

Every stream is learned once, in order, every sample predicted before it is learned (prequential).
The accuracy of digits is the share of right answers over the whole pass; *NMSE* is the mean squared
error of the whole pass, its first samples included, over the variance of the target.

- *new*: `Learner(network, cost)` of this version;
- *one hop*: the same with $2L+1$ hops, of which one moves the weights, and with thrice the rate and
  decay, so that a sample moves them as far in all as in the three plastic hops of $2L+3$;
- *old*: hidden biases 0 and `Adaptive(4e-4, 5e-4, 3e-4)`, the law that a learner took before;
- *fast*: hidden biases 0 and `Hamiltonian(mass=Adaptive(0.003, 1e-3, 1e-3), dissipation=0.5)`:
  `Adaptive`'s own defaults before, in the law of the README's example;
- *tuned*: the best of four rates from 1e-4 to 1e-3 and the default's, hidden biases of 0 and .8,
  output weights of scale 0 and 1, and both numbers of hops, chosen in hindsight for this stream.

    python -m benchmarks.defaults
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from sklearn.datasets import load_digits

from localprop import (
    Adaptive,
    Block,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    Samples,
    SoftmaxCrossEntropy,
    SquaredError,
)
from localprop.law import untuned_law

from .page import write_page

SEEDS = range(3)
RATES = (1e-4, 2e-4, 5e-4, 1e-3)
SCALES = ((1.0, 0.0), (1.0, 0.8), (0.0, 0.8))  # of output weights, hidden biases
DEFAULT = SCALES[1]
OLD, FAST = (4e-4, 5e-4, 3e-4, 0.7), (3e-3, 1e-3, 1e-3, 0.5)  # rate, decay, floor, friction
CLASSES, NUMBERS = SoftmaxCrossEntropy(), SquaredError()

Setting = tuple[float, float, float, float]
Stream = tuple[np.ndarray, np.ndarray]


class Case(NamedTuple):
    """A stream by seed, the network that learns it by its settings, and what is minimised."""

    stream: Callable[[int], Stream]
    network: Callable[..., Any]
    loss: Any
    streams: int | None = None
    scales: tuple = SCALES


def digits(scale: str, shape: tuple[int, ...], seed: int) -> Stream:
    """Returns scikit-learn's digits in a seeded order, raw (0 to 16) or scaled."""
    u, label = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(u))
    u, z = u[order], np.eye(10)[label[order]]
    if scale == "unit":
        u = u / 16
    elif scale == "standard":
        u = (u - u.mean(axis=0)) / np.where(u.std(axis=0) > 0, u.std(axis=0), 1)
    return u.reshape(-1, *shape), z


def friedman(standard: bool, seed: int) -> Stream:
    """Returns Friedman's first function of 5 of 10 uniform inputs, with noise of variance 1."""
    rng = np.random.default_rng(seed)
    u = rng.random((5000, 10))
    bent = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
    z = (bent + 10 * u[:, 3] + 5 * u[:, 4] + rng.standard_normal(len(u)))[:, None]
    return ((u - 0.5) * 12**0.5, (z - z.mean()) / z.std()) if standard else (u, z)


def products(seed: int) -> Stream:
    """Returns two Gaussian inputs and their product."""
    u = np.random.default_rng(seed).standard_normal((5000, 2))
    return u, u[:, :1] * u[:, 1:]


def slow(seed: int) -> Stream:
    """Returns the stream of the README's example, from another moment on for every seed."""
    t = np.arange(6000) + 1000 * seed
    u = np.stack([np.sin(0.01 * t), np.cos(0.013 * t)], axis=1)
    return u, u[:, :1] * u[:, 1:]


def beside(stream: Callable[[int], Stream], count: int, seed: int) -> Stream:
    """Returns the stream's rows, so many of them side by side in each sample."""
    u, z = stream(seed)
    rows = len(u) // count
    return tuple(a[: rows * count].reshape(rows, count, *a.shape[1:]) for a in (u, z))


def convolution(**scales: float) -> Layered:
    """Returns a convolution of 8 channels and a dense layer, with Equinox's own weights."""
    del scales
    conv = partial(eqx.nn.Conv2d, 1, 8, 3, stride=2)
    blocks = {
        "conv": Block(conv, ["input"], "tanh"),
        "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
        "head": Block(partial(eqx.nn.Linear, 72, 10), ["flat"]),
    }
    return Layered(blocks, inputs=(1, 8, 8), output="head")


def complete(**scales: float) -> Digraph:
    """Returns a digraph in which every neuron hears every other."""
    del scales
    return Digraph.complete(8, 2)


def layers(output_scale: float = 1.0, **scales: float) -> Digraph:
    """Returns a digraph in layers, whose output weights begin like all others."""
    del output_scale
    return Digraph.layered([2, 32, 1], **scales)


def dense(*sizes: int) -> Callable[..., Layered]:
    """Returns the maker of a dense net."""
    return partial(Layered.dense, sizes)


ONE = SCALES[:1]
CASES = {
    "digits, 0 to 16": Case(partial(digits, "raw", (64,)), dense(64, 64, 64, 10), CLASSES),
    "digits, 0 to 1": Case(partial(digits, "unit", (64,)), dense(64, 64, 64, 10), CLASSES),
    "digits, standardised": Case(
        partial(digits, "standard", (64,)), dense(64, 64, 64, 10), CLASSES
    ),
    "digits, 0 to 1, convolution": Case(
        partial(digits, "unit", (1, 8, 8)), convolution, CLASSES, scales=ONE
    ),
    "Friedman, own units": Case(partial(friedman, False), dense(10, 32, 32, 1), NUMBERS),
    "Friedman, standardised": Case(partial(friedman, True), dense(10, 32, 32, 1), NUMBERS),
    "Friedman, 8 streams": Case(
        partial(beside, partial(friedman, True), 8), dense(10, 32, 32, 1), NUMBERS, 8
    ),
    "product of two": Case(products, dense(2, 32, 32, 1), NUMBERS),
    "product, digraph in layers": Case(products, layers, NUMBERS, scales=SCALES[:2]),
    "slow waves": Case(slow, dense(2, 16, 1), NUMBERS),
    "slow waves, complete digraph": Case(slow, complete, NUMBERS, scales=ONE),
}


def scores(case: Case, settings: Sequence[Setting], plastic: int) -> np.ndarray:
    """Returns the prequential score by setting, scales of the network, and seed.

    **Arguments:** `case`; `settings`: of the law; `plastic`: hops that move weights, after as many
    settle hops as a learner takes by itself.
    """
    cost = Cost(case.loss)
    made = [case.network(output_scale=o, bias_scale=b) for o, b in case.scales]
    own = Learner(made[0], cost, streams=case.streams)

    def one(setting: Array, phase: Any, u: Array, z: Array) -> Array:
        rate, decay, floor, friction = setting
        law = Hamiltonian(mass=Adaptive(rate, decay, floor), dissipation=friction)
        hops, settle = own.settle + plastic, own.settle
        learner = Learner(made[0], cost, law, hops=hops, settle=settle, streams=case.streams)
        sample = lambda phase, s: learner.present(phase, Samples(*s))  # noqa: E731
        _, output = jax.lax.scan(sample, phase, (u, z))
        if case.loss is CLASSES:
            return jnp.mean(jnp.argmax(output, -1) == jnp.argmax(z, -1))
        return jnp.mean((output - z) ** 2) / jnp.var(z)

    u, z = (jnp.array(np.stack(a)) for a in zip(*map(case.stream, SEEDS), strict=True))
    learners = [Learner(network, cost, streams=case.streams) for network in made]
    stack = lambda trees: jax.tree.map(lambda *a: jnp.stack(a), *trees)  # noqa: E731
    keys = [jax.random.key(seed) for seed in SEEDS]
    start = stack([stack([learner.init(key) for key in keys]) for learner in learners])
    seeds = jax.vmap(one, (None, 0, 0, 0))
    every = jax.vmap(jax.vmap(seeds, (None, 0, None, None)), (0, None, None, None))
    return np.asarray(jax.jit(every)(jnp.array(settings), start, u, z), np.float64)


def scaled(setting: Setting, factor: float) -> Setting:
    """Returns a law of so many times the rate and the decay."""
    rate, decay, *rest = setting
    return (factor * rate, factor * decay, *rest)


def measure(case: Case) -> list[str]:
    """Returns the cells of a stream's line."""
    law = untuned_law()
    new = (law.mass.rate, law.mass.decay, law.mass.floor, law.dissipation)
    tried = [*((rate, *new[1:]) for rate in RATES), new]
    single = scores(case, [scaled(setting, 3) for setting in tried], 1)
    usual = scores(case, [*tried, OLD, FAST], 3)
    every = np.concatenate([single, usual[:-2]]).reshape(-1, len(SEEDS))
    best = np.argmax if case.loss is CLASSES else np.argmin
    own = case.scales.index(DEFAULT) if DEFAULT in case.scales else 0
    columns = [
        usual[len(tried) - 1, own],
        single[-1, own],
        usual[-2, 0],
        usual[-1, 0],
        every[best(np.nan_to_num(every.mean(axis=1), nan=np.inf))],
    ]
    return [_cell(column, case.loss is CLASSES) for column in columns]


def _cell(column: np.ndarray, accuracy: bool) -> str:
    if not np.all(np.isfinite(column)):
        return "diverges"
    digits = "{:.3f} ({:.3f}–{:.3f})" if accuracy else "{:.2g} ({:.2g}–{:.2g})"
    return digits.format(column.mean(), column.min(), column.max())


def main() -> int:
    """Measures and writes `defaults.md`."""
    rows = []
    for name, case in CASES.items():
        kind = "accuracy" if case.loss is CLASSES else "NMSE"
        rows.append(f"| {name} | {kind} | {' | '.join(measure(case))} |")
        print(rows[-1], flush=True)
    note = (
        f"{len(SEEDS)} seeds: mean, and in brackets least and most. Written by "
        "`python -m benchmarks.defaults`."
    )
    columns = ["stream", "score", "new", "one hop", "old", "fast", "tuned"]
    write_page(Path(__file__), __doc__, note, columns, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
