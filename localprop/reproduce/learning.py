"""Learning as such, where neither the last target nor frozen hidden weights can answer.

The same law learns the same lessons whole and with every hidden layer held at its random weights,
of which the best readout in hindsight is known, too, so that no learner of outputs is better;
for Conjecture 1 also with nothing free but the first hidden layer, which hears of the target only
through all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from ..cost import Cost, SquaredError
from ..law import AbstractLaw, Adaptive, LeastAction, Phase, untuned_law
from ..learner import Learner
from ..network import AbstractNetwork, Digraph, Layered
from . import lessons
from .claim import Claim, Part
from .lessons import Lessons, Maker

SAMPLES, WIDTH, RATE = 12_000, 24, 1.5e-3
WHOLE, FROZEN, FIRST = "law", "hidden layers frozen", "only the first layer learns"
READ_OUT = "hidden layers frozen, best readout in hindsight"
# What a claim of learning asks for: so many times the error on every start.
FACTOR = 3.0

Free = dict[str, PyTree]  # which weights may move, trees like w, by name


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims. In float32, as everybody runs it."""
    return Part(
        [
            *(taught(depth, seeds) for depth in (1, 2)),
            ahead(seeds),
            shuffled(seeds),
            with_cycles(seeds),
            by_least_action(seeds),
        ]
    )


def taught(depth: int, seeds: Sequence[int], samples: int = SAMPLES) -> Claim:
    """Learns a teacher at infinite speed, settle hops included."""
    return _claim(
        f"LN-teacher-{depth}",
        f"costate reversal teaches {layers(depth)} what a teacher makes of unrelated inputs",
        "NLP sections 3-4",
        lessons.teacher,
        Learner(dense(8, depth), Cost(SquaredError()), untuned_law(rate=RATE)),
        seeds,
        samples,
    )


def ahead(seeds: Sequence[int], samples: int = SAMPLES) -> Claim:
    """Learns to answer for two steps ahead."""
    return _claim(
        "LN-horizon",
        f"costate reversal teaches {layers(2)} the product of two of Hénon's maps a step ahead",
        "NLP sections 3-4",
        lessons.horizon,
        Learner(dense(4, 2), Cost(SquaredError()), untuned_law(rate=RATE / 2)),
        seeds,
        samples,
    )


def shuffled(seeds: Sequence[int], samples: int = SAMPLES) -> Claim:
    """Learns a path whose moments are met in another order."""
    return _claim(
        "LN-order",
        f"costate reversal teaches {layers(2)} a path whose moments come in another order",
        "NLP sections 3-4",
        lessons.order,
        Learner(dense(4, 2), Cost(SquaredError()), untuned_law(rate=RATE / 3)),
        seeds,
        samples,
    )


def with_cycles(seeds: Sequence[int], samples: int = SAMPLES) -> Claim:
    """Learns a path of fewer bends in a digraph in which every neuron hears every other."""
    law = untuned_law(rate=RATE / 3)
    return _claim(
        "LN-cycles",
        "costate reversal teaches such a path, of fewer bends, to a complete digraph of 12 "
        "neurons, cycles and all",
        "NLP sections 3-4",
        partial(lessons.order, bends=1),
        Learner(Digraph.complete(12, 4), Cost(SquaredError()), law, hops=18, settle=14),
        seeds,
        samples,
    )


def by_least_action(seeds: Sequence[int], samples: int = SAMPLES) -> Claim:
    """Learns the teacher by the other law."""
    law = LeastAction(mass=Adaptive(RATE, 5e-4, 3e-4), dissipation=0.7)
    return _claim(
        "LN-least-action",
        f"least action teaches {layers(1)} what a teacher makes of unrelated inputs",
        "STLP",
        lessons.teacher,
        Learner(dense(8, 1), Cost(SquaredError()), law, hops=10),
        seeds,
        samples,
    )


def layers(depth: int) -> str:
    """Returns "1 hidden layer", or how many."""
    return f"{depth} hidden layer{'s' if depth > 1 else ''}"


def dense(inputs: int, depth: int, speed: float = np.inf) -> Layered:
    """Returns a net of hidden layers of one width, one output, without biases at first."""
    return Layered.dense([inputs, *[WIDTH] * depth, 1], speed=speed, bias_scale=0.0)


def _claim(
    id: str, words: str, source: str, maker: Maker, learner: Learner, seeds: Sequence[int],
    samples: int,
) -> Claim:  # fmt: skip
    given = [maker(seed, samples) for seed in seeds]
    ways = {name: moving for name, moving in free(learner.network).items() if name != FIRST}
    found = errors(learner, ways, given, seeds)
    return compare(id, words, source, given, found, read_out(learner, given, seeds))


def compare(
    id: str,
    words: str,
    source: str,
    given: Sequence[Lessons],
    found: dict[str, np.ndarray],
    best_readout: np.ndarray,
) -> Claim:
    """Holds the law's errors against those who do not learn, or not all."""
    scores = {
        name: np.array([lesson.score(e) for lesson, e in zip(given, error, strict=True)])
        for name, error in found.items()
    }
    note = f"error over variance, last fifth of {len(given[0].z):,} samples"
    baselines = {
        "persistence": np.array([lesson.persistence() for lesson in given]),
        "linear map in hindsight": np.array([lesson.affine(lesson.query) for lesson in given]),
        FROZEN: scores[FROZEN],
        READ_OUT: best_readout,
    }
    return Claim.beats(
        id, words, source, errors=scores[WHOLE], baselines=baselines, factor=FACTOR, note=note
    )


def read_out(learner: Learner, given: Sequence[Lessons], seeds: Sequence[int]) -> np.ndarray:
    """Returns the score of the best weights of the outputs in hindsight, per seed.

    They map affinely what the outputs read, the states that all other weights give as drawn.
    """
    network, law = learner.network, learner.law
    tau = learner.duration / learner.hops

    def states(key: Any, queries: Array) -> Array:
        start = law.init(network, learner.cost, key)

        def asked(query: Array) -> Array:
            relax = lambda _, p: law.relax(network, p, query, tau)  # noqa: E731
            phase = jax.lax.fori_loop(0, learner.settle + 1, relax, start)
            return _read_by_outputs(network, phase.x)

        return jax.vmap(asked)(queries)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    queries = jnp.asarray(np.stack([lesson.query for lesson in given]), float)
    known = np.asarray(jax.jit(jax.vmap(states))(keys, queries), np.float64)
    return np.array([lesson.affine(x) for lesson, x in zip(given, known, strict=True)])


def _read_by_outputs(network: AbstractNetwork, x: Any) -> Array:
    if isinstance(network, Layered):
        x = [x[name] for name in network.wiring[network.output_block].parents]
    return ravel_pytree(x)[0]


def free(network: AbstractNetwork) -> Free:
    """Returns the three ways to learn, as the weights that may move."""
    _, w = network.init(jax.random.key(0))
    if isinstance(network, Layered):
        hidden = [name for name in network.wiring if name != network.output_block]
        some = lambda names: {  # noqa: E731
            name: jax.tree.map(lambda a, on=name in names: jnp.full(a.shape, on), w[name])
            for name in w
        }
        return {WHOLE: some(w), FROZEN: some([network.output_block]), FIRST: some(hidden[:1])}
    assert isinstance(network, Digraph)
    rows = jnp.isin(jnp.arange(w.shape[0]), network.outputs)
    return {WHOLE: jnp.full(w.shape, True), FROZEN: jnp.broadcast_to(rows[:, None], w.shape)}


def errors(
    learner: Learner, ways: Free, given: Sequence[Lessons], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Returns squared errors `(seeds, samples)` of every way to learn; ∞ where it diverged."""
    one = lambda key, lesson, moving: _learn(learner, moving, lesson, key)  # noqa: E731
    every = jax.jit(jax.vmap(jax.vmap(one, (0, 0, None)), (None, None, 0)))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    stacked = [jnp.asarray(np.stack(part), float) for part in zip(*given, strict=True)]
    moving = jax.tree.map(lambda *trees: jnp.stack(trees), *ways.values())
    found = np.asarray(every(keys, Lessons(*stacked), moving), np.float64)
    found = np.where(np.isfinite(found), found, np.inf)
    return dict(zip(ways, found, strict=True))


def _learn(learner: Learner, moving: PyTree, given: Lessons, key: Any) -> Array:
    """Returns the squared error of every answer, given before anything later is learned."""
    network, cost, law = learner.network, learner.cost, learner.law
    tau = learner.duration / learner.hops

    def lesson(phase: Phase, now: Lessons) -> tuple[Phase, Array]:
        for move, hops in ((_settle, learner.settle), (_hop, learner.hops - learner.settle)):
            step = partial(move, law, network, cost, moving, now.u, now.z, tau)
            phase = jax.lax.fori_loop(0, hops, lambda _, p, step=step: step(p), phase)
        relax = lambda _, p: law.relax(network, p, now.query, tau)  # noqa: E731
        asked = jax.lax.fori_loop(0, learner.settle + 1, relax, phase)
        return phase, jnp.sum((law.output(network, asked, now.query) - now.answer) ** 2)

    return jax.lax.scan(lesson, law.init(network, cost, key), given)[1]


def _settle(
    law: AbstractLaw, network: AbstractNetwork, cost: Cost, moving: PyTree, u: Any, z: Any,
    tau: float, phase: Phase,
) -> Phase:  # fmt: skip
    del moving
    return law.settle(network, cost, phase, u, z, tau)


def _hop(
    law: AbstractLaw, network: AbstractNetwork, cost: Cost, moving: PyTree, u: Any, z: Any,
    tau: float, phase: Phase,
) -> Phase:  # fmt: skip
    after = law.hop(network, cost, phase, u, z, tau)
    w = jax.tree.map(lambda m, a, b: jnp.where(m, a, b), moving, after.w, phase.w)
    return eqx.tree_at(lambda p: p.w, after, w)
