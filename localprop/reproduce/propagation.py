"""Propagation against backpropagation: Proposition 1, I1, I2, Corollary 1, Proposition 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import oracle
from ..cost import Cost, SquaredError
from ..law import Hamiltonian
from ..network import AbstractNetwork, Digraph
from . import friction
from .claim import Claim, Part

SPEEDS = 10.0 ** np.arange(2, 8)
COST = Cost(SquaredError())


@dataclass(frozen=True)
class Distances:
    """Relative distance of the error costate to backprop's deltas, `(seeds, speeds)`."""

    speeds: np.ndarray
    distances: np.ndarray
    slopes: np.ndarray


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    curve = _distances(seeds)
    claims = [
        _bounded(seeds),
        *_exact(seeds),
        _settled(seeds),
        *friction.measure(seeds),
        _slope(curve),
        _heavy_ball(seeds),
    ]
    return Part(claims, {"corollary_1": curve})


def _bounded(seeds: Sequence[int]) -> Claim:
    """Relaxes under weights, inputs and hop lengths that change wildly at every hop."""
    hops, neurons = 400, 8
    network = Digraph.complete(neurons, 2, speed=np.ones(neurons))
    law = Hamiltonian()
    phase = law.init(network, COST, jax.random.key(0))

    @jax.jit
    def largest(seed: Array) -> Array:
        keys = jax.random.split(jax.random.key(seed), 5)
        x = 3 * jax.random.normal(keys[0], (neurons,))
        wild = lambda key, shape: 10.0 ** jax.random.uniform(key, shape, minval=-3, maxval=6)  # noqa: E731
        speed = wild(keys[1], (neurons,)).at[0].set(jnp.inf)
        adversarial = eqx.tree_at(lambda n: n.speed, network, speed)

        def hop(now: Array, key: Array) -> tuple[Array, Array]:
            a, b, c, d = jax.random.split(key, 4)
            # Weights that push every neuron away from 0, harder and harder.
            towards = jnp.sign(now)[:, None] * jnp.abs(jax.random.normal(a, phase.w.shape))
            sources = jnp.concatenate([jnp.ones(3), now])
            u = wild(b, (2,)) * jax.random.normal(c, (2,))
            w = wild(d, phase.w.shape) * towards * jnp.sign(sources)
            here = eqx.tree_at(lambda p: (p.x, p.w), phase, (now, w))
            after = law.relax(adversarial, here, u, wild(a, ())).x
            return after, jnp.max(jnp.abs(after) / (jnp.abs(x) + 1))

        return jnp.max(jax.lax.scan(hop, x, jax.random.split(keys[4], hops))[1])

    return Claim.at_most(
        "P1",
        "states are bounded for all inputs and weights: |x(t)| / (|x(0)| + sup|σ|)",
        "NLP Proposition 1 (I10)",
        against="the proposition's own bound",
        measured=max(float(largest(seed)) for seed in seeds),
        bound=1 + 8 * hops * np.finfo(float).eps,
        note=f"{hops} hops of weights, inputs, speeds and lengths over nine decades; the bound "
        "allows rounding",
    )


def _sample(seed: int, inputs: int, outputs: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(inputs)), jnp.asarray(rng.standard_normal(outputs))


def _force(network: AbstractNetwork, phase, u: Array, z: Array) -> Array:
    """Returns $D_w^\\top\\lambda$: with π = 0, θ = 0 and τ = 1 the new momentum is its negative."""
    return -Hamiltonian().hop(network, COST, phase, u, z, 1.0).momentum


def _settle(network: AbstractNetwork, phase, u: Array, z: Array, hops: int):
    law = Hamiltonian()
    move = lambda _, p: law.settle(network, COST, p, u, z, 1.0)  # noqa: E731
    return jax.lax.fori_loop(0, hops, move, phase)


def _exact(seeds: Sequence[int]) -> list[Claim]:
    sizes = [3, 4, 5, 2]
    network = Digraph.layered(sizes)

    @jax.jit
    def force(phase, u: Array, z: Array) -> Array:
        return _force(network, _settle(network, phase, u, z, 2 * network.depth), u, z)

    same_order = jax.jit(jax.grad(lambda w, u, z: _feed_forward_loss(sizes, w, u, z)))
    own_order = jax.jit(jax.grad(lambda w, u, z: _layer_by_layer_loss(sizes, w, u, z)))
    to_the_bit, to_rounding = 0.0, 0.0
    for seed in seeds:
        u, z = _sample(seed, 3, 2)
        phase = Hamiltonian().init(network, COST, jax.random.key(seed))
        found = force(phase, u, z)
        gap = jnp.max(jnp.abs(found - same_order(phase.w, u, z)))
        to_the_bit = max(to_the_bit, float(gap))
        gradient = own_order(phase.w, u, z)
        gap = jnp.max(jnp.abs(found - gradient)) / jnp.max(jnp.abs(gradient))
        to_rounding = max(to_rounding, float(gap))
    statement = "infinite speed, sample held: in hop 2L + 1 the force on the weights is backprop's "
    note = "L = 3 layers, float64"
    return [
        Claim.at_most(
            "I1",
            f"{statement}gradient, to the rounding of sums in another order (largest difference "
            "over largest component)",
            "NLP Corollary 1, laws I1",
            against="reverse-mode autodiff of the layers' own matrices, multiplied one by one",
            measured=to_rounding,
            bound=2 * network.depth * max(sizes) * np.finfo(float).eps / 2,
            note=f"{note}; the bound is 1.1e-16 for each of at most {max(sizes)} terms of the sums "
            "of every layer, forward and backward",
        ),
        Claim.at_most(
            "I1-bits",
            f"{statement}gradient, to the bit of the same sums in the same order (largest "
            "difference)",
            "NLP Corollary 1, laws I1",
            against="reverse-mode autodiff of the feed-forward map, its sums laid out as here",
            measured=to_the_bit,
            bound=0.0,
            note=note,
        ),
    ]


def _layer_by_layer_loss(sizes: list[int], w: Array, u: Array, z: Array) -> Array:
    """Half the squared error of the feed-forward map, from each layer's own matrix and bias."""
    bounds, inputs, x = np.cumsum([0, *sizes[1:]]), sizes[0], u
    first = 0  # the column of the layer's first parent
    for a, b in pairwise(bounds):
        activation = w[a:b, first : first + len(x)] @ x + w[a:b, inputs]
        x = activation if b == bounds[-1] else jnp.tanh(activation)
        first = inputs + 1 + int(a)
    return jnp.sum((x - z) ** 2) / 2


def _feed_forward_loss(sizes: list[int], w: Array, u: Array, z: Array) -> Array:
    """Half the squared error of the feed-forward map, layer by layer.

    Row $i$ of `w` belongs to neuron $i$, its columns to the inputs, the constant input and the
    neurons. Multiplying by whole rows keeps the order of summation, and with it every bit.
    """
    bounds = np.cumsum([0, *sizes[1:]])
    inputs, neurons = sizes[0], int(bounds[-1])
    parents = [range(inputs), *(range(inputs + 1 + a, inputs + 1 + b) for a, b in pairwise(bounds))]
    is_arc = np.zeros((neurons, inputs + 1 + neurons), bool)
    x = jnp.zeros(neurons)
    for k, (a, b) in enumerate(pairwise(bounds)):
        is_arc[a:b, [*parents[k], inputs]] = True
    for a, b in pairwise(bounds):
        activation = jnp.where(is_arc, w, 0) @ jnp.concatenate([u, jnp.ones(1), x])
        x = x.at[a:b].set((activation if b == neurons else jnp.tanh(activation))[a:b])
    return jnp.sum((x[bounds[-2] :] - z) ** 2) / 2


def _settled(seeds: Sequence[int]) -> Claim:
    network = Digraph.random(9, 2, outputs=(0, 3), density=0.4, seed=4)

    @jax.jit
    def force(phase, u: Array, z: Array) -> Array:
        return _force(network, _settle(network, phase, u, z, 600), u, z)

    worst = 0.0
    for seed in seeds:
        u, z = _sample(seed, 2, 2)
        phase = Hamiltonian().init(network, COST, jax.random.key(seed))
        phase = eqx.tree_at(lambda p: p.w, phase, 0.7 * phase.w)  # so that it settles
        gradient = oracle.backprop.settled(network, COST, phase.w, u, z).gradient
        worst = max(worst, _relative(force(phase, u, z), gradient))
    return Claim.at_most(
        "I2",
        "a digraph with cycles that settles, θ = 0: the force is the gradient of the loss at the "
        "fixed point (relative distance)",
        "laws I2",
        against="implicit differentiation",
        measured=worst,
        bound=1e-12,
        note="9 neurons at random",
    )


def _signal(t: Any) -> tuple[Array, Array]:
    return jnp.stack([jnp.sin(t), jnp.cos(1.3 * t)]), jnp.sin(0.7 * t + 1)[None]


def _distances(seeds: Sequence[int]) -> Distances:
    """Follows a smooth stream for 40 relaxation times and compares at its end.

    The start is forgotten to $e^{-40}$ then. A hop is a hundredth of a relaxation time, and reads
    the sample of its middle, so that the hop itself adds no lag.
    """
    network, law = Digraph.layered([2, 4, 1], speed=np.ones(5)), Hamiltonian()
    end, hops = 2.0, 4000

    def distance(c: Array, key: Array) -> Array:
        fast = eqx.tree_at(lambda n: n.speed, network, jnp.full(5, c))
        phase = law.init(network, COST, key)
        start = end - 40 / c
        tau = 40 / c / hops
        rest = oracle.backprop.feed_forward(network, COST, phase.w, *_signal(start))
        phase = eqx.tree_at(lambda p: (p.x, p.costate), phase, (rest.x, rest.deltas))

        def hop(k: Array, phase):
            return law.settle(fast, COST, phase, *_signal(start + tau * (k + 0.5)), tau)

        costate = jax.lax.fori_loop(0, hops, hop, phase).costate
        deltas = oracle.backprop.feed_forward(network, COST, phase.w, *_signal(jnp.array(end)))
        gap = jnp.linalg.norm(costate - deltas.deltas)
        return gap / jnp.linalg.norm(deltas.deltas)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    every = jax.jit(jax.vmap(jax.vmap(distance, (0, None)), (None, 0)))
    distances = np.asarray(every(jnp.asarray(SPEEDS), keys))
    slopes = np.polyfit(np.log10(SPEEDS), np.log10(distances).T, 1)[0]
    return Distances(SPEEDS, distances, slopes)


def _slope(curve: Distances) -> Claim:
    worst = curve.slopes[np.argmax(np.abs(curve.slopes + 1))]
    return Claim.within(
        "C1",
        "the costate's relative distance to backprop falls like 1/c: slope of log distance on "
        "log c over five decades",
        "NLP Corollary 1 (I3)",
        against="reverse-mode autodiff; the exponent of the corollary",
        measured=worst,
        low=-1.05,
        high=-0.95,
        note=f"{len(curve.slopes)} seeds, the slope farthest from -1; mean "
        f"{curve.slopes.mean():.5f}; distance {curve.distances[:, 0].mean():.1e} at c = 100, "
        f"{curve.distances[:, -1].mean():.1e} at c = 10⁷",
    )


def _heavy_ball(seeds: Sequence[int]) -> Claim:
    tau, mass, theta, steps = 0.25, 60.0, 0.8, 200
    network, law = Digraph.layered([3, 5, 2]), Hamiltonian(mass=mass, dissipation=theta)
    size = 2 * network.depth

    @jax.jit
    def learn(phase, u: Array, z: Array) -> Array:
        def sample(phase, now):
            u, z = now
            for _ in range(size):
                phase = law.settle(network, COST, phase, u, z, tau)
            return law.hop(network, COST, phase, u, z, tau), None

        return jax.lax.scan(sample, phase, (u, z))[0].w

    backprop = jax.jit(
        lambda w, u, z: oracle.backprop.feed_forward(network, COST, w, u, z).gradient
    )
    worst = 0.0
    for seed in seeds[:4]:
        rng = np.random.default_rng(seed)
        u, z = rng.standard_normal((steps, 3)), rng.standard_normal((steps, 2))
        phase = law.init(network, COST, jax.random.key(seed))
        start, shape = np.asarray(phase.w).ravel(), phase.w.shape

        def gradient(w: np.ndarray, t: float, u=u, z=z, shape=shape) -> np.ndarray:
            k = round(t / tau)
            return np.asarray(backprop(w.reshape(shape), u[k], z[k])).ravel()

        w, _ = oracle.heavy_ball.recursion(
            gradient, start, np.zeros_like(start), steps, tau, mass=mass, dissipation=theta
        )
        worst = max(worst, _relative(learn(phase, jnp.asarray(u), jnp.asarray(z)).ravel(), w[-1]))
    return Claim.at_most(
        "P4",
        "settled hops are the heavy ball: SGD of momentum 1 - θτ and rate τ²/m (relative distance "
        f"of the weights after {steps} steps)",
        "NLP Proposition 4 (I4)",
        against="an independent recursion on autodiff's gradients",
        measured=worst,
        bound=1e-12,
    )


def _relative(a: Array, b: Array | np.ndarray) -> float:
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
