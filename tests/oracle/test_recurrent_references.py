"""BPTT, truncated BPTT and RTRL against reverse-mode autodiff through the unrolled network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import ConfigError, Cost, Digraph, Layered, SquaredError, oracle
from localprop.network import Block
from localprop.network.block import dense

pytestmark = pytest.mark.usefixtures("x64")

COST, LENGTH = Cost(SquaredError()), 7


def _recurrent_blocks():
    return Layered(
        {
            "memory": Block(
                lambda key: dense(2 + 3, 3, key=key), ["input", "memory"], "tanh", shape=(3,)
            ),
            "output": Block(lambda key: dense(3, 1, key=key), ["memory"]),
        },
        inputs=(2,),
        output="output",
    )


NETWORKS = {"digraph": lambda: Digraph.complete(4, 2), "blocks": _recurrent_blocks}
ALPHAS = (1.0, 0.3)
every = pytest.mark.parametrize("alpha", ALPHAS)
networks = pytest.mark.parametrize("name", NETWORKS)


def _case(name):
    network = NETWORKS[name]()
    x, w = network.init(jax.random.key(0))
    rng = np.random.default_rng(1)
    x = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), x)
    u, z = rng.standard_normal((LENGTH, 2)), rng.standard_normal((LENGTH, 1))
    return network, x, w, jnp.asarray(u), jnp.asarray(z)


def _unrolled_losses(network, x, w, u, z, alpha):
    """The loss after each hop, by a plain loop."""
    losses = []
    for k in range(len(u)):
        drive = network.drive(x, w, u[k])
        x = jax.tree.map(lambda a, d: (1 - alpha) * a + alpha * d, x, drive)
        losses.append(jnp.sum((network.output(x) - z[k]) ** 2) / 2)
    return jnp.stack(losses)


def _agree(tree, other):
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


@networks
@every
def test_bptt_is_autodiff_of_the_unrolled_loss(name, alpha):
    network, x, w, u, z = _case(name)
    tape = oracle.bptt.record(network, w, u, z, x, alpha)
    loss, gradient = oracle.bptt.gradient(network, COST, w, tape, alpha)
    total = lambda w: jnp.sum(_unrolled_losses(network, x, w, u, z, alpha))  # noqa: E731
    expected, expected_gradient = jax.jit(jax.value_and_grad(total))(w)
    np.testing.assert_allclose(loss, expected, rtol=1e-13)
    _agree(gradient, expected_gradient)


@networks
@every
def test_rtrl_gives_at_every_hop_the_gradient_of_that_hops_loss(name, alpha):
    network, x, w, u, z = _case(name)
    expected = jax.jit(jax.jacrev(lambda w: _unrolled_losses(network, x, w, u, z, alpha)))(w)
    carry = oracle.rtrl.start(x, w)
    step = jax.jit(lambda c, u, z: oracle.rtrl.step(network, COST, w, c, u, z, alpha))
    for k in range(LENGTH):
        carry, _, gradient = step(carry, u[k], z[k])
        _agree(gradient, jax.tree.map(lambda a, k=k: a[k], expected))


@networks
@pytest.mark.parametrize("horizon", [1, 3, LENGTH, LENGTH + 2])
def test_truncated_bptt_is_autodiff_that_stops_at_the_horizon(name, horizon):
    network, x0, w, u, z = _case(name)
    tape = oracle.bptt.window(network, u[0], z[0], x0, horizon)
    states = [x0]
    for k in range(LENGTH):
        tape = oracle.bptt.push(network, w, tape, u[k], z[k])
        _, gradient = oracle.bptt.truncated_gradient(network, COST, w, tape, k + 1)
        first = max(0, k + 1 - horizon)

        def last(w, f=first, k=k):
            return _unrolled_losses(network, states[f], w, u[f : k + 1], z[f : k + 1], 1.0)[-1]

        _agree(gradient, jax.grad(last)(w))
        states.append(oracle.bptt.hop(network, states[-1], w, u[k]))


def test_carried_states_grow_as_they_are_said_to():
    network, x, w, u, z = _case("digraph")
    assert oracle.bptt.record(network, w, u, z, x).states.shape == (LENGTH + 1, 4)
    assert oracle.bptt.window(network, u[0], z[0], x, 3).states.shape == (4, 4)
    assert oracle.rtrl.start(x, w).influence.shape == (4, 4 * 7)


def test_a_horizon_of_nothing_is_refused():
    network, x, _, u, z = _case("digraph")
    with pytest.raises(ConfigError, match="horizon 0"):
        oracle.bptt.window(network, u[0], z[0], x, 0)
