"""`oracle.backprop` against closed forms, finite differences and unrolled autodiff; I3."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Block, ConfigError, Cost, Digraph, Hamiltonian, Layered, SquaredError, oracle

pytestmark = pytest.mark.usefixtures("x64")

FORWARD = {
    "digraph": lambda: Digraph.layered([3, 4, 2]),
    "layered": lambda: Layered.dense([3, 5, 4, 2]),
}


def _sample(seed, inputs, outputs):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(inputs)), jnp.asarray(rng.standard_normal(outputs))


def _settling(neurons=6, inputs=2):
    """A complete digraph with weights small enough to contract."""
    network = Digraph.complete(neurons, inputs, outputs=(0, 3))
    w = np.random.default_rng(5).normal(size=(neurons, neurons + inputs + 1)) / neurons
    return network, jnp.asarray(w)


@pytest.mark.parametrize("name", FORWARD)
def test_feed_forward_gradient_is_the_finite_difference_of_the_loss(name):
    network, cost = FORWARD[name](), Cost(SquaredError(1.5), weight_decay=0.1)
    _, w = network.init(jax.random.key(1))
    u, z = _sample(2, 3, 2)
    instant = oracle.backprop.feed_forward(network, cost, w, u, z)

    def loss(w):
        x = jax.tree.map(jnp.zeros_like, instant.x)
        for _ in range(network.depth):
            x = network.drive(x, w, u)
        return 0.75 * jnp.sum((network.output(x) - z) ** 2) + cost.penalty(w)

    keys = jax.random.split(jax.random.key(3), len(jax.tree.leaves(w)))
    leaves, structure = jax.tree.flatten(w)
    away = structure.unflatten(
        [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    )
    step = 1e-5
    moved = [jax.tree.map(lambda a, b, s=s: a + s * b, w, away) for s in (step, -step)]
    measured = (loss(moved[0]) - loss(moved[1])) / (2 * step)
    pairs = zip(jax.tree.leaves(instant.gradient), jax.tree.leaves(away), strict=True)
    # A central difference of step h errs by h² ~ 1e-10 and by rounding / h ~ 1e-11.
    np.testing.assert_allclose(sum(jnp.vdot(a, b) for a, b in pairs), measured, rtol=1e-7)


def test_settled_equals_feed_forward_where_there_is_no_cycle():
    network, cost = Digraph.layered([3, 4, 2]), Cost(SquaredError())
    _, w = network.init(jax.random.key(1))
    u, z = _sample(2, 3, 2)
    one = oracle.backprop.feed_forward(network, cost, w, u, z)
    other = oracle.backprop.settled(network, cost, w, u, z)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_i2_settled_gradient_is_autodiff_through_the_unrolled_relaxation():
    network, w = _settling()
    u, z = _sample(4, 2, 2)
    instant = oracle.backprop.settled(network, Cost(SquaredError()), w, u, z)

    def loss(w, push):
        x = jax.lax.fori_loop(0, 400, lambda _, x: network.drive(x, w, u) + push, jnp.zeros(6))
        return jnp.sum((x[jnp.array([0, 3])] - z) ** 2) / 2

    gradient, deltas = jax.jit(jax.grad(loss, argnums=(0, 1)))(w, jnp.zeros(6))
    np.testing.assert_allclose(instant.gradient, gradient, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(instant.deltas, deltas, rtol=1e-12, atol=1e-14)


def test_a_cycle_and_an_unsettled_network_are_refused():
    network, w = _settling()
    u, z = _sample(4, 2, 2)
    with pytest.raises(ConfigError, match="cycle"):
        oracle.backprop.feed_forward(network, Cost(SquaredError()), w, u, z)
    # A cycle, and a block beside it that has settled.
    blocks = {
        "back": Block(eqx.nn.Lambda(lambda y: y + 1.0), ["back"], shape=(1,)),
        "still": Block(eqx.nn.Lambda(lambda u: u), ["input"]),
        "y": Block(eqx.nn.Lambda(lambda a: a[:1] + a[1:]), ["still", "back"]),
    }
    beside = Layered(blocks, inputs=(1,), output="y")
    with pytest.raises(ConfigError, match="cycle"):
        oracle.backprop.feed_forward(
            beside, Cost(SquaredError()), beside.init(jax.random.key(0))[1], u[:1], z[:1]
        )
    # x = x² + 1 has no real solution.
    lonely = Digraph.complete(1, bias=False, activation=lambda a: a**2 + 1.0)
    with pytest.raises(ConfigError, match="settle"):
        oracle.backprop.settled(
            lonely, Cost(SquaredError()), jnp.ones((1, 1)), jnp.zeros(0), jnp.zeros(1)
        )


def test_i3_distance_of_costate_to_deltas_falls_like_one_over_c():
    """Corollary 1: five decades of c, smooth u(t), weights held, slope -1 by regression."""
    sizes, cost = [2, 4, 1], Cost(SquaredError())
    speeds = 10.0 ** np.arange(2, 8)
    end, hops = 2.0, 4000
    _, w = Digraph.layered(sizes).init(jax.random.key(0))

    def signal(t):
        return jnp.stack([jnp.sin(t), jnp.cos(1.3 * t)]), jnp.sin(jnp.array([0.7 * t]) + 1)

    def distance(c):
        # 40 relaxation times: the start is forgotten to e^-40, and a hop is a hundredth of one.
        # The sample of a hop is that of its middle, so that the hop itself adds no lag.
        network, law = Digraph.layered(sizes, speed=float(c)), Hamiltonian()
        start = end - 40 / c
        tau = (end - start) / hops
        times = start + tau * (jnp.arange(hops) + 0.5)
        u, z = signal(start)
        at_rest = oracle.backprop.feed_forward(network, cost, w, u, z)
        phase = law.init(network, cost, jax.random.key(0))

        def hop(carry, t):
            x, costate = carry
            u, z = signal(t)
            now = type(phase)(x, costate, w, phase.momentum, None, phase.time, phase.hop)
            after = law.settle(network, cost, now, u, z, tau)
            return (after.x, after.costate), None

        (_, costate), _ = jax.lax.scan(hop, (at_rest.x, at_rest.deltas), times)
        deltas = oracle.backprop.feed_forward(network, cost, w, *signal(end)).deltas
        return float(jnp.linalg.norm(costate - deltas) / jnp.linalg.norm(deltas))

    distances = [distance(c) for c in speeds]
    slope = np.polyfit(np.log10(speeds), np.log10(distances), 1)[0]
    assert abs(slope + 1) < 0.05, (slope, distances)
