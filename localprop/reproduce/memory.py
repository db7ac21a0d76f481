"""Beyond the papers: credit for what neurons remember, by traces (laws.md, section 15)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..cost import Cost, SquaredError
from ..law import Hamiltonian, Traces
from ..learner import Learner, Samples
from ..network import Block, Digraph, Layered, ModeBank, Modes, read_modes
from . import recall
from .claim import Claim, Part

INPUTS, NEURONS, OUTPUTS, STEPS = 3, 8, 2, 40
RATE = 0.02  # of the leak, per hop: a sample lasts 5 of them
# Time constants in hops: of a bank that stays as it is, and of one that is learned.
BANKS = ModeBank.harmonics(40.0, 60.0, 3), ModeBank([30.0, 90.0], [0.05, -0.15], learned=True)
STILL = 1e30  # a mass that no force moves
DELAY, TRIALS = 20, 400  # of the recall


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims. In float64."""
    return Part(
        [*_one_layer(seeds), _modes(seeds), _instantly(seeds), *_stack(seeds), _recall(seeds)]
    )


def stream(seed: int) -> Samples:
    """Returns random inputs, with a target at every third step."""
    rng = np.random.default_rng(seed)
    told = (np.arange(STEPS) % 3 == 2) * 1.0
    return Samples(rng.normal(size=(STEPS, INPUTS)), rng.normal(size=(STEPS, OUTPUTS)), weight=told)


def levels(depth: int) -> Layered:
    """Returns so many levels of leaky neurons, one above the other, and a readout of all."""
    names = [f"level{k}" for k in range(1, depth + 1)]
    blocks, parent, width = {}, "input", INPUTS
    for name in names:
        blocks[name] = Block(partial(eqx.nn.Linear, width, NEURONS), [parent], "tanh", RATE)
        parent, width = name, NEURONS
    readout = partial(eqx.nn.Linear, NEURONS * depth, OUTPUTS)
    return Layered({**blocks, "readout": Block(readout, names)}, inputs=(INPUTS,), output="readout")


def forces(
    network: Layered, traces: Traces | None, given: Samples, seed: int, engine: str = "auto"
) -> tuple[Any, Any]:
    """Returns the weights, and the sum of the forces on them over a stream, none of them moving."""
    law = Hamiltonian(mass=STILL, traces=traces)
    # Two hops from a level to the error of its readout, one more to credit it.
    times: Any = {"hops": 5, "settle": 4, "clock": "sample"}
    learner = Learner(network, Cost(SquaredError()), law, **times, engine=engine)
    phase = learner.init(jax.random.key(seed))
    after, _ = learner.run(phase, given)
    return phase.w, jax.tree.map(lambda p: -p, after.momentum)


def through_time(network: Layered, w: Any, given: Samples, *, cut: bool) -> Any:
    """Returns the gradient of the loss of a stream: backpropagation through time, by autodiff.

    **Arguments:** `cut`: whether errors stop where one level reads another.
    """
    names = [name for name in network.wiring if name != "readout"]
    keep = np.exp(-RATE * 5.0)  # over the hops of a sample

    def loss(w: Any) -> Any:
        def step(old: dict[str, Any], sample: Any) -> tuple[dict[str, Any], Any]:
            below, z, weight = sample
            x = {}
            for name in names:
                read = jax.lax.stop_gradient(below) if cut else below
                drive = jnp.tanh(w[name].weight @ read + w[name].bias)
                x[name], below = keep * old[name] + (1 - keep) * drive, old[name]
            seen = jnp.concatenate([x[name] for name in names])
            y = w["readout"].weight @ seen + w["readout"].bias
            return x, weight * jnp.sum((y - z) ** 2) / 2

        still = {name: jnp.zeros(NEURONS) for name in names}
        return jnp.sum(jax.lax.scan(step, still, (given.u, given.z, given.weight))[1])

    return jax.grad(loss)(w)


def _distance(force: Any, gradient: Any) -> float:
    """Returns the largest difference, over the largest component of the gradient."""
    a, b = (np.asarray(ravel_pytree(tree)[0]) for tree in (force, gradient))
    return float(np.abs(a - b).max() / np.abs(b).max())


def _one_layer(seeds: Sequence[int]) -> list[Claim]:
    network, found = levels(1), {}
    for traces in (Traces(), None):
        found[traces is None] = [
            _distance(force["level1"], through_time(network, w, given, cut=False)["level1"])
            for seed in seeds
            for given in [stream(seed)]
            for w, force in [forces(network, traces, given, seed)]
        ]
    return [
        Claim.at_most(
            "TR1",
            "one layer of leaky neurons: with traces the accumulated force on its weights is the "
            "gradient through time (difference over the largest component, worst seed)",
            "laws 15",
            against="autodiff through the unrolled layer",
            measured=max(found[False]),
            bound=1e-12,
            baselines={"without traces": min(found[True])},
        ),
        Claim.at_least(
            "TR1-control",
            "control: without traces it is not, by the same account (best seed)",
            "laws 15",
            against="autodiff through the unrolled layer",
            measured=min(found[True]),
            bound=0.1,
        ),
    ]


def _modes(seeds: Sequence[int]) -> Claim:
    """One level of oscillating modes, some of them learned, against complex numbers."""
    make = eqx.Partial(Modes, eqx.Partial(eqx.nn.Linear, INPUTS, NEURONS), "gelu", BANKS)
    count = sum(bank.count for bank in BANKS)
    top = partial(eqx.nn.Linear, 2 * count * NEURONS, OUTPUTS)
    network = Layered(
        {
            "modes": Block(make, ["input"]),
            "readout": Block(top, ["modes"], join=read_modes()),
        },
        inputs=(INPUTS,),
        output="readout",
    )
    lasts, worst = 5.0, 0.0

    def loss(w: Any, given: Samples) -> Any:
        own = w["modes"]
        nu = [1 / np.array(bank.time_constants)[:, None] for bank in BANKS]
        omega = [np.array(bank.frequencies)[:, None] for bank in BANKS]
        a = [np.exp(-n + 1j * o) for n, o in zip(nu, omega, strict=True)]
        gain = [np.sqrt(1 - abs(k) ** 2) / (1 - k) for k in a]
        nu[1], omega[1] = nu[1] * jnp.exp(own.leak[1]), omega[1] + own.frequency[1]
        keep = [jnp.exp(lasts * (-n + 1j * o)) for n, o in zip(nu, omega, strict=True)]

        def step(states: list[Any], sample: Any) -> tuple[list[Any], Any]:
            u, z, weight = sample
            y = jax.nn.gelu(own.module.weight @ u + own.module.bias)
            states = [k * h + (1 - k) * g * y for k, h, g in zip(keep, states, gain, strict=True)]
            seen = jnp.concatenate(states)
            row = jnp.concatenate([seen.real.ravel(), seen.imag.ravel()])
            said = w["readout"].weight @ row + w["readout"].bias
            return states, weight * jnp.sum((said - z) ** 2) / 2

        still = [jnp.zeros((bank.count, NEURONS), complex) for bank in BANKS]
        samples = tuple(map(jnp.asarray, (given.u, given.z, given.weight)))
        return jnp.sum(jax.lax.scan(step, still, samples)[1])

    for seed, engine in product(seeds, ("native", "xla")):
        w, force = forces(network, Traces(), stream(seed), seed, engine)
        worst = max(worst, _distance(force, jax.grad(loss)(w, stream(seed))))
    return Claim.at_most(
        "TR1-modes",
        "one layer of features that feed oscillating modes, leaks and frequencies learned: the "
        "accumulated force on all weights is the gradient through time, by either engine (worst "
        "seed)",
        "laws 15",
        against="autodiff through the unrolled layer, in complex numbers",
        measured=worst,
        bound=1e-12,
    )


def _instantly(seeds: Sequence[int]) -> Claim:
    worst = 0.0
    for seed in seeds:
        given, network = stream(seed), Digraph.layered([INPUTS, NEURONS, OUTPUTS])
        ends = []
        for traces in (None, Traces(), Traces("reversed")):
            law = Hamiltonian(mass=30.0, dissipation=0.5, traces=traces)
            learner = Learner(network, Cost(SquaredError()), law)
            ends.append(learner.run(learner.init(jax.random.key(seed)), given)[0].w)
        worst = max(worst, *(float(np.abs(w - ends[0]).max()) for w in ends[1:]))
    return Claim.at_most(
        "TR2",
        "at infinite speed traces change nothing, to the last bit (weights after a stream, largest "
        "difference)",
        "laws 15",
        against="the law without traces",
        measured=worst,
        bound=0,
    )


def _stack(seeds: Sequence[int]) -> list[Claim]:
    network, distances, cosines = levels(2), [], []
    for seed in seeds:
        given = stream(seed)
        w, force = forces(network, Traces(), given, seed)
        distances.append(_distance(force, through_time(network, w, given, cut=True)))
        whole = through_time(network, w, given, cut=False)
        a, b = (np.asarray(ravel_pytree(tree["level1"])[0]) for tree in (force, whole))
        cosines.append(float(a @ b / max(np.sqrt((a @ a) * (b @ b)), np.finfo(float).tiny)))
    return [
        Claim.at_most(
            "TR3",
            "two levels, both read: the force is the gradient of what the readout says of each "
            "level by itself; no error crosses from level to level (worst seed)",
            "laws 15",
            against="autodiff of the unrolled stack, cut between levels",
            measured=max(distances),
            bound=1e-12,
        ),
        Claim.at_least(
            "TR3-cosine",
            "and its cosine to the whole gradient, for the lower level (worst seed)",
            "laws 15",
            against="autodiff of the unrolled stack; 0 for a force that knows nothing",
            measured=min(cosines),
            bound=0.5,
            baselines={"no force": 0.0},
            note=f"mean {np.mean(cosines):.3f}",
        ),
    ]


def _recall(seeds: Sequence[int]) -> Claim:
    """A sign, 20 signs that mean nothing, and the first one asked for."""
    scores = {
        name: [_recalled(seed, traces, held) for seed in seeds]
        for name, traces, held in (
            ("law", Traces(), False),
            ("reversal, no traces", None, False),
            ("memory frozen", None, True),
        )
    }
    worst = min(scores.pop("law"))
    return Claim.at_least(
        "TR-recall",
        f"a sign is recalled over {DELAY} steps of distractors (share of the last trials, worst "
        "start)",
        "benchmarks/recall.md",
        against="chance, 0.5; the same neurons without traces, or frozen",
        measured=worst,
        bound=0.99,
        baselines={name: float(np.mean(values)) for name, values in scores.items()},
    )


def _recalled(seed: int, traces: Traces | None, held: bool) -> float:
    learner = recall.learner(recall.network(DELAY, held), SquaredError(), traces)
    phase = recall.drawn(learner.init(jax.random.key(seed)))
    u, sign = recall.trials(np.random.default_rng(seed), DELAY, TRIALS)
    _, trace = learner.run(phase, recall.stream(u, sign), record=("output",))
    return float(recall.right(trace["output"], sign)[-TRIALS // 4 :].mean())
