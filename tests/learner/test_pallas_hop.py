"""The Pallas kernel, interpreted on the processor, against hops by XLA."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
    audit_sample,
)
from localprop.learner import pallas_hop
from localprop.network.activation import ACTIVATIONS

LAW = Hamiltonian(mass=40.0, dissipation=0.3)


def learn(engine, network, law=LAW, decay=0.0, samples=3, **settings):
    """The last phase and the record of a short stream."""
    learner = Learner(network, Cost(SquaredError(), decay), law, engine=engine, **settings)
    rng, outputs = np.random.default_rng(0), len(network.outputs)
    u, z = rng.standard_normal((samples, network.inputs)), rng.standard_normal((samples, outputs))
    return learner.run(learner.init(jax.random.key(0)), (u, z))


def assert_same(ours, theirs, tolerance):
    """Asserts that arrays differ by a share of the largest number."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = np.abs(b).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


# Tiles are 8 rows of 256 weights: less than one, some with a rest, more than one of columns.
CASES = {
    "neurons": st.integers(1, 30) | st.sampled_from([64, 255, 300]),
    "inputs": st.integers(1, 4),
    "density": st.sampled_from([0.3, 0.8, 1.0]),
    "names": st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=1, max_size=3),
    "speed": st.sampled_from([np.inf, 0.7]),
    "decay": st.sampled_from([0.0, 0.01]),
    "bias": st.booleans(),
    "settle": st.integers(0, 2),
}


# One sample, so that no network, however it reinforces itself, gets far beyond its rounding.
def assert_a_hop_of_the_law(neurons, inputs, density, names, speed, decay, bias, settle):
    network = Digraph.random(
        neurons,
        inputs,
        density=density,
        activation=[names[i % len(names)] for i in range(neurons)],
        speed=speed,
        bias=bias,
        storage="dense",
    )
    ours, theirs = (
        learn(engine, network, decay=decay, samples=1, hops=6, settle=settle)
        for engine in ("pallas", "xla")
    )
    assert_same(ours, theirs, 1e-9)


@pytest.mark.usefixtures("x64")
@given(**CASES)
@settings(deadline=None, max_examples=8)
def test_a_kernel_hop_is_a_hop_of_the_law(**case):
    assert_a_hop_of_the_law(**case)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@given(**CASES)
@settings(deadline=None, max_examples=100)
def test_a_kernel_hop_is_a_hop_of_the_law_wherever_it_goes(**case):
    assert_a_hop_of_the_law(**case)


@pytest.mark.usefixtures("x64")
def test_in_double_precision_it_is_the_same_to_rounding():
    network = Digraph.random(70, 3, outputs=(0, 5), density=0.5, seed=1)
    ours, theirs = (
        learn(engine, network, samples=9, hops=7, settle=2, duration=1.4)
        for engine in ("pallas", "xla")
    )
    assert_same(ours, theirs, 1e-11)


def test_weights_without_an_arc_stay_zero():
    network = Digraph.random(40, 2, density=0.4)
    after, _ = learn("pallas", network, hops=5, settle=0)
    assert (np.asarray(after.w)[~network.arcs.mask] == 0).all()


def test_the_same_bits_again():
    network = Digraph.complete(33, 2)
    first, again = (learn("pallas", network, hops=5, settle=0)[0] for _ in range(2))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_kernel_is_one_that_triton_takes(monkeypatch):
    """No GPU is needed to see that every operation has a counterpart there."""
    network = Digraph.random(70, 3, density=0.5)
    phase = LAW.init(network, Cost(SquaredError()), jax.random.key(0))
    monkeypatch.setattr(pallas_hop.jax, "default_backend", lambda: "gpu")
    hops = jax.jit(
        lambda p: pallas_hop.one_pass_hops(
            network, Cost(SquaredError()), LAW, p, jnp.ones(3), jnp.ones(1), 1.0, 4
        )
    )
    program = hops.trace(phase).lower(lowering_platforms=("cuda",)).as_text()
    assert "triton" in program


@pytest.mark.parametrize(
    ("network", "law", "settings"),
    [
        (Layered.dense([2, 4, 1]), LAW, {}),
        (Digraph.complete(3, 1, storage="sparse"), LAW, {}),
        (Digraph.complete(3, 1, fixed={("x0", "x1"): 1.0}), LAW, {}),
        (Digraph.complete(3, 1), LeastAction(), {}),
        (Digraph.complete(3, 1), Hamiltonian(mass=Adaptive()), {}),
        (Digraph.complete(3, 1), LAW, {"streams": 2}),
        (Digraph.complete(3, 1), LAW, {"review": 5}),
        (Digraph.complete(3, 1), LAW, {"clock": "sample"}),
    ],
)
def test_what_it_does_not_know_is_refused(network, law, settings):
    with pytest.raises(ConfigError, match="engine 'pallas' does not know"):
        Learner(network, Cost(SquaredError()), law, hops=5, settle=0, engine="pallas", **settings)


def test_a_sample_is_audited_by_its_hops():
    network = Digraph.layered([2, 3, 1])
    kinds = ("pallas", "xla")
    learners = (Learner(network, Cost(SquaredError()), LAW, engine=kind) for kind in kinds)
    ours, theirs = map(audit_sample, learners)
    assert str(ours) == str(theirs)
