"""Streams that share weights: what is averaged is averaged over those that have a label."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Cost,
    Digraph,
    Hamiltonian,
    Inertial,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")

COST = Cost(SquaredError(), weight_decay=1e-3)
HAMILTONIAN = Hamiltonian(mass=Adaptive(1e-3), dissipation=0.5)
ACTION = LeastAction(neurons=Inertial(0.6, 1.0), mass=50.0, dissipation=0.5)


def samples(streams, rows=40):
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, streams, 2)), rng.standard_normal((rows, streams, 1))


@pytest.mark.parametrize(
    ("law", "hops"), [(HAMILTONIAN, 1), (HAMILTONIAN, 7), (ACTION, 7), (ACTION, 2)]
)
def test_a_stream_without_a_label_changes_nothing_in_the_others(law, hops):
    """Two streams, and the same two beside a third that has no label, ever."""
    network = Digraph.layered([2, 4, 1])
    u, z = samples(3)
    z[::3, 0] = np.nan  # labels come and go, and their errors are still on the way
    if law is HAMILTONIAN:
        z[5:8, :2] = np.nan  # also in both at once
    z[:, 2] = np.nan
    record = ("output", "loss", "lagrangian", "hamiltonian", "w_norm", "momentum_norm")
    traces = []
    for streams in (2, 3):
        learner = Learner(network, COST, law, hops=hops, streams=streams)
        stream = u[:, :streams], z[:, :streams]
        traces.append(learner.run(learner.init(jax.random.key(0)), stream, record)[1])
    two, three = traces
    np.testing.assert_array_equal(three["output"][:, :2].shape, two["output"].shape)
    for name in record:
        value = three[name][:, :2] if name == "output" else three[name]
        # Sums of zeros in another order: rounding alone.
        np.testing.assert_allclose(value, two[name], rtol=1e-11, atol=1e-13, err_msg=name)


def test_the_force_is_the_gradient_of_the_mean_loss_of_the_labelled_streams():
    """Settled at infinite speed, against reverse-mode differentiation of the feed-forward map."""
    law = Hamiltonian(mass=1e30)
    learner = Learner(Layered.dense([2, 4, 3, 1]), Cost(SquaredError()), law, streams=4)
    u, z = (a[0] for a in samples(4))
    u = jnp.asarray(u)
    z[1] = np.nan
    z = jnp.asarray(z)
    start = learner.init(jax.random.key(1))
    for _ in range(2 * learner.network.depth):
        start = law.settle(learner.network, learner.cost, start, u, z, 1.0)
    force = law.hop(learner.network, learner.cost, start, u, z, 1.0).momentum

    def loss(w):
        layers = [w["hidden1"], w["hidden2"], w["output"]]
        x = u
        for k, layer in enumerate(layers):
            x = x @ layer.weight.T + layer.bias
            x = jnp.tanh(x) if k < 2 else x
        return jnp.mean((x - z)[np.array([0, 2, 3])] ** 2) / 2

    gradient = jax.grad(loss)(start.w)
    for ours, theirs in zip(jax.tree.leaves(force), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(-ours, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("law", [HAMILTONIAN, ACTION])
def test_energies_are_means_over_the_labelled_streams(law):
    """Against every labelled stream on its own, its costate that of its own loss."""
    network = Digraph.layered([2, 4, 1])
    learner = Learner(network, COST, law, streams=3)
    alone = Learner(network, COST, law)
    u, z = (a[0] for a in samples(3))
    u = jnp.asarray(u)
    z[1] = np.nan
    z = jnp.asarray(z)
    rng = np.random.default_rng(2)
    start = learner.init(jax.random.key(0))
    x, costate = rng.standard_normal((2, *start.x.shape))
    # A Hamiltonian costate is that of the mean: a half of each of two, and nothing of the other.
    held = costate * np.array([[0.5], [0.0], [0.5]]) if law is HAMILTONIAN else costate
    found = law.energies(learner.network, COST, _at(start, x, held), u, z)
    each = [
        law.energies(
            network, COST, _at(alone.init(jax.random.key(0)), x[s], costate[s]), u[s], z[s]
        )
        for s in (0, 2)
    ]
    mean = jax.tree.map(lambda *parts: sum(parts) / 2, *each)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(mean), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def _at(phase, x, costate):
    return eqx.tree_at(lambda p: (p.x, p.costate), phase, (jnp.asarray(x), jnp.asarray(costate)))
