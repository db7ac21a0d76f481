"""Feedback weights of their own: errors read them only, and they align as Kolen and Pollack say."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import localprop
from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    FeedbackWeights,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    Samples,
    SharedWeights,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")
SIZES = [2, 4, 3, 1]
NETWORKS = {"neurons": Digraph.layered, "blocks": Layered.dense}
MASS, THETA, DECAY = 50.0, 0.3, 0.2


def _stream(samples=40):
    rng = np.random.default_rng(0)
    u = rng.standard_normal((samples, 2))
    return u, np.sin(u[:, :1]) * u[:, 1:]


def _numbers(tree):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        ("neurons", Hamiltonian(mass=Adaptive(0.01), dissipation=0.5)),
        ("blocks", LeastAction()),
        pytest.param("blocks", Hamiltonian(mass=Adaptive(0.01)), marks=pytest.mark.slow),
        pytest.param("neurons", LeastAction(), marks=pytest.mark.slow),
    ],
)
def test_feedback_that_equals_the_forward_weights_is_the_ordinary_law(kind, law):
    network, cost, stream = NETWORKS[kind](SIZES), Cost(SquaredError(), weight_decay=0.1), _stream()
    plain = Learner(network, cost, law, engine="xla")  # as the other one
    there, _ = plain.run(plain.init(jax.random.key(0)), stream)
    learner = Learner(FeedbackWeights(network), cost, law)
    start = learner.init(jax.random.key(0))
    start = eqx.tree_at(lambda p: p.w["feedback"], start, start.w["forward"])
    phase, _ = learner.run(start, stream)
    for name in ("forward", "feedback"):
        # 40 samples of 9 hops, each rounded to 1e-16.
        np.testing.assert_allclose(_numbers(phase.w[name]), _numbers(there.w), rtol=1e-12)
    np.testing.assert_allclose(_numbers(phase.costate), _numbers(there.costate), atol=1e-13)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_difference_dies_out_as_in_closed_form_whatever_the_stream(kind):
    """d = w - b obeys m(d'' + θ d') = -k d, hop by hop; so the alignment is known ahead from w."""
    network = FeedbackWeights(NETWORKS[kind](SIZES))
    law = Hamiltonian(mass=MASS, dissipation=THETA)
    learner = Learner(network, Cost(SquaredError(), weight_decay=DECAY), law, settle=2)
    start = learner.init(jax.random.key(1))
    # d is moved by the new momentum: a heavy ball in a quadratic well.
    hop = np.array([[1 - DECAY / MASS, (1 - THETA) / MASS], [-DECAY, 1 - THETA]])
    first = _numbers(start.w["forward"]) - _numbers(start.w["feedback"])
    seen, phase = [float(network.alignment(start.w))], start
    for samples in (20, 40, 80):
        phase, _ = learner.run(phase, _stream(samples), chunk=20)  # one program for all
        done = sum((20, 40, 80)[: len(seen)]) * (learner.hops - 2)
        d = np.linalg.matrix_power(hop, done)[0, 0] * first
        w, b = (_numbers(phase.w[name]) for name in ("forward", "feedback"))
        np.testing.assert_allclose(w - b, d, atol=1e-12)
        expected = w @ (w - d) / np.sqrt((w @ w) * ((w - d) @ (w - d)))
        seen.append(float(network.alignment(phase.w)))
        np.testing.assert_allclose(seen[-1], expected, rtol=1e-9)
    assert seen == sorted(seen)
    assert seen[0] < 0.5
    assert seen[-1] > 0.99


def test_errors_come_back_by_feedback_weights_and_forces_are_equal():
    """Against a NumPy transcription of the equations of Kolen and Pollack's network."""
    network, rng = FeedbackWeights(Digraph.layered(SIZES)), np.random.default_rng(2)
    law, cost = Hamiltonian(mass=1.0), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(3))
    draw = lambda a: jnp.asarray(rng.standard_normal(a.shape))  # noqa: E731
    phase = eqx.tree_at(lambda p: (p.x, p.costate), phase, (draw(phase.x), draw(phase.costate)))
    u, z = rng.standard_normal(2), rng.standard_normal(1)
    after = law.hop(network, cost, phase, jnp.asarray(u), jnp.asarray(z), 1.0)

    x, p = np.asarray(phase.x), np.asarray(phase.costate)
    w, b = (np.asarray(phase.w[name]) for name in ("forward", "feedback"))
    s = np.concatenate([u, [1.0], x])
    slope = np.append(1 - np.tanh(w @ s)[:-1] ** 2, 1.0)
    loss = np.append(np.zeros(len(x) - 1), x[-1] - z[0])
    np.testing.assert_allclose(after.costate, b[:, 3:].T @ (slope * p) + loss, rtol=1e-12)
    arcs = np.asarray(network.network.arcs.mask)
    force = np.where(arcs, np.outer(slope * p, s), 0)
    for name in ("forward", "feedback"):
        np.testing.assert_allclose(after.momentum[name], -force, rtol=1e-12)


@pytest.mark.parametrize("law", [Hamiltonian(), LeastAction()], ids=["hamiltonian", "action"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_audit_proves_that_no_error_reads_a_weight_of_another_neuron(kind, law):
    network, cost = NETWORKS[kind]([2, 3, 1]), Cost(SquaredError())
    plain = localprop.audit_sample(Learner(network, cost, law))
    own = localprop.audit_sample(Learner(FeedbackWeights(network), cost, law))
    # Three neurons read the weights of the arcs to the output; as blocks, one reads one block.
    assert plain.transport == {"neurons": 3, "blocks": 1}[kind]
    assert own.transport == 0
    assert own.local
    assert own.honest
    assert "weight transport: none" in str(own)


def test_with_linear_neurons_the_costate_depends_on_no_forward_weight_at_all():
    """Then σ' is 1, and the derivative itself, by autodiff, tells transport from its absence."""
    inner = Digraph.complete(3, 1, activation="identity")
    law, cost = Hamiltonian(), Cost(SquaredError())

    def slopes(network):
        phase = law.init(network, cost, jax.random.key(0))
        phase = eqx.tree_at(lambda p: p.costate, phase, jnp.array([0.3, -0.7, 1.1]))
        move = lambda w: law.hop(  # noqa: E731
            network, cost, eqx.tree_at(lambda p: p.w, phase, w), jnp.ones(1), jnp.ones(1), 1.0
        )
        return jax.jacobian(lambda w: move(w).costate)(phase.w)

    assert np.any(slopes(inner))
    own = slopes(FeedbackWeights(inner))
    assert not np.any(own["forward"])
    assert np.any(own["feedback"])


def test_a_held_arc_and_several_streams_keep_their_meaning():
    inner = Digraph.from_edges(
        [("u", "a"), ("a", "y")], inputs=["u"], outputs=["y"], fixed={("u", "a"): 2.0}
    )
    network = FeedbackWeights(inner)
    learner = Learner(network, Cost(SquaredError()), streams=2)
    start = learner.init(jax.random.key(0))
    u, z = np.ones((30, 2, 1)), 0.5 * np.ones((30, 2, 1))
    phase, _ = learner.run(start, (u, z))
    moved = np.asarray(phase.w["forward"] != start.w["forward"])
    free = np.asarray(inner.plastic) & (inner.arcs.mask if inner.arcs.mask is not None else True)
    np.testing.assert_array_equal(moved, free)
    assert isinstance(learner.network, SharedWeights)


def test_prediction_and_energies_are_there_too():
    learner = Learner(
        FeedbackWeights(Layered.dense([2, 3, 1])), Cost(SquaredError()), LeastAction()
    )
    phase = learner.init(jax.random.key(0))
    sample = Samples(jnp.ones(2), jnp.ones(1))
    energies = learner.law.energies(learner.network, learner.cost, phase, *sample[:2])
    assert np.isfinite(energies.hamiltonian)
    plain = Learner(learner.network.network, learner.cost, learner.law, engine="xla")
    forward = eqx.tree_at(lambda p: (p.w, p.momentum), phase, (phase.w["forward"],) * 2)
    np.testing.assert_array_equal(
        learner.predict(phase, np.ones(2)), plain.predict(forward, np.ones(2))
    )


def test_a_network_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="not SharedWeights"):
        FeedbackWeights(SharedWeights(Digraph.layered([1, 1]), 2))
