"""Locality (laws.md, section 10): proved where it holds, refuted by name where it does not."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import localprop
from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    ExplicitEuler,
    Hamiltonian,
    HamiltonianTrack,
    Layered,
    LeastAction,
    SharedWeights,
    SignFlip,
    SquaredError,
)
from localprop.audit.dependence import dependence
from localprop.audit.wiring import wiring
from localprop.law import AbstractLaw
from localprop.network import AbstractNetwork, Block
from localprop.network.layered import dense

EULER = {"integrator": ExplicitEuler(), "weights": "explicit"}
LAWS = {
    "costate reversal": Hamiltonian(dissipation=0.1),
    "adaptive mass": Hamiltonian(mass=Adaptive()),
    "sign flip": Hamiltonian(SignFlip(2), **EULER),
    "least action": LeastAction(),
}


def _skip_and_feedback():
    blocks = {
        "memory": Block(
            lambda key: dense(5, 3, key=key), ["input", "output", "memory"], "tanh", 2.0, shape=(3,)
        ),
        "output": Block(
            lambda key: dense(4, 1, key=key), ["input", "memory"], speed=2.0, shape=(1,)
        ),
    }
    return Layered(blocks, inputs=(1,), output="output")


NETWORKS = {
    "dense": lambda: Digraph.layered([2, 3, 1], speed=2.0),
    "sparse": lambda: Digraph.random(8, 2, density=0.1, seed=3, storage="sparse", speed=2.0),
    "complete": lambda: Digraph.complete(3, 1, speed=2.0, activation="relu"),
    "blocks": _skip_and_feedback,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_proved_local_on_every_network(name, law):
    proof = localprop.audit(NETWORKS[name](), LAWS[law])
    assert proof.local_in_space, str(proof)
    assert proof.constant
    # Dependencies were really followed: each quantity moves with itself at least.
    assert all(proof.dependencies[q] > 0 for q in ("x", "costate", "w", "momentum"))


def test_streams_that_share_weights_are_local_too():
    proof = localprop.audit(SharedWeights(Digraph.layered([2, 3, 1]), 4), Hamiltonian())
    assert proof.local_in_space, str(proof)


@pytest.mark.parametrize("name", ["dense", "sparse", "complete"])
def test_structural_dependence_is_the_sparsity_of_the_jacobian(name):
    """Entry by entry: never less (it is a proof); never more where all is smooth (it is sharp).

    The slope of a ReLU depends on its argument by a jump, which no Jacobian shows.
    """
    network, law = NETWORKS[name](), Hamiltonian(dissipation=0.1)
    cost = Cost(SquaredError(), weight_decay=0.1)
    phase = law.init(network, cost, jax.random.key(0))
    u, z = jnp.ones(network.inputs), jnp.zeros(len(network.outputs))
    flat, unflatten = ravel_pytree((phase.x, phase.costate, phase.w, phase.momentum))

    def hop(numbers):
        x, costate, w, momentum = unflatten(numbers)
        now = type(phase)(x, costate, w, momentum, None, phase.time, phase.hop)
        after = law.hop(network, cost, now, u, z, 0.125)
        return ravel_pytree((after.x, after.costate, after.w, after.momentum))[0]

    labels = np.arange(len(flat))
    (reach,) = dependence(hop, (flat,), (labels,), labels)
    jacobian = jax.jit(jax.jacobian(hop))
    points = np.random.default_rng(0).standard_normal((12, len(flat))).astype(np.float32)
    seen = np.any([np.asarray(jacobian(p)) != 0 for p in points], axis=0)
    assert not np.any(seen & ~reach.T)
    if name != "complete":
        np.testing.assert_array_equal(reach.T, seen)


class Gossip(AbstractNetwork):
    """A digraph whose neuron x2 peeks at x0, to which no arc leads."""

    inner: Digraph
    speed: float
    plastic: None
    depth: int = eqx.field(static=True)
    streams: None = eqx.field(static=True)

    def __init__(self, inner):
        self.inner, self.speed, self.plastic = inner, inner.speed, None
        self.depth, self.streams = inner.depth, None

    def init(self, key):
        return self.inner.init(key)

    def drive(self, x, w, u):
        return self.inner.drive(x, w, u).at[2].add(0.1 * jnp.sin(x[0]))

    def output(self, x):
        return self.inner.output(x)


@wiring.register
def _(network: Gossip):
    return wiring(network.inner)


class Normalised(AbstractLaw):
    """Costate reversal, but every weight is divided by the norm of all."""

    inner: Hamiltonian = Hamiltonian()

    def init(self, network, cost, key):
        return self.inner.init(network, cost, key)

    def relax(self, network, phase, u, tau):
        return self.inner.relax(network, phase, u, tau)

    def hop(self, network, cost, phase, u, z, tau):
        after = self.inner.hop(network, cost, phase, u, z, tau)
        return eqx.tree_at(lambda p: p.w, after, after.w / (1 + jnp.linalg.norm(after.w)))

    def energies(self, network, cost, phase, u, z):
        return self.inner.energies(network, cost, phase, u, z)

    def blind_hops(self, settle):
        return self.inner.blind_hops(settle)

    def error(self, network, phase, u):
        return self.inner.error(network, phase, u)

    def output(self, network, phase, u):
        return self.inner.output(network, phase, u)

    def settle_hops(self, depth, hops):
        return self.inner.settle_hops(depth, hops)

    def settle(self, network, cost, phase, u, z, tau):
        return self.inner.settle(network, cost, phase, u, z, tau)


# A chain u -> a -> b -> c -> y, along which x0 and x2 are two arcs apart.
CHAIN = Digraph.from_edges(
    [("u", "a"), ("a", "b"), ("b", "c"), ("c", "y")], inputs=["u"], outputs=["y"], speed=2.0
)


def _named(proof):
    return {(v.target, v.source) for v in proof.violations if v.witnessed}


def test_a_network_that_peeks_is_refuted_and_the_missing_arc_is_named():
    proof = localprop.audit(Gossip(CHAIN), Hamiltonian())
    assert not proof.local_in_space
    # Forward, c hears a; backward, a hears c's costate.
    assert _named(proof) == {("x of c", "x of a"), ("costate of a", "costate of c")}
    assert proof.forbidden == 2


def test_a_law_with_a_global_norm_is_refuted_and_the_weights_are_named():
    proof = localprop.audit(CHAIN, Normalised())
    assert not proof.local_in_space
    assert ("w of 1 -> a", "x of b") in _named(proof)
    assert all(v.target.startswith("w of") for v in proof.violations)


def test_a_ball_in_all_of_phase_space_is_not_local():
    """The Hamiltonian track's sign hangs on everybody's norm; no derivative shows it."""
    network = Digraph.complete(2, speed=2.0)
    proof = localprop.audit(network, Hamiltonian(HamiltonianTrack(radius=10.0, speed=2.0), **EULER))
    assert not proof.local_in_space
    assert any(v.witnessed for v in proof.violations)


def test_carried_state_is_what_the_phase_holds():
    network, law = Digraph.layered([2, 3, 1]), Hamiltonian(mass=Adaptive())
    proof = localprop.audit(network, law)
    phase = law.init(network, Cost(SquaredError()), jax.random.key(0))
    assert proof.state_bytes == sum(a.nbytes for a in jax.tree.leaves(phase))
    n, weights = proof.neurons, proof.weights
    assert (n, weights, proof.formula) == (4, 4 * 7, "2n + 3N + 2")
    assert sum(proof.state.values()) == 2 * n + 3 * weights + 2


def test_methods_beside_it_break_locality_or_memory():
    proof = localprop.audit(Digraph.complete(4, 1, speed=2.0), Hamiltonian())
    n, weights = 4, 4 * 6
    backprop, bptt, truncated, rtrl = proof.methods
    # In a complete digraph all neurons are neighbours: only weights far from an error can tell.
    assert all(m.forbidden and m.forbidden > 0 for m in proof.methods)
    assert backprop.numbers == 2 * n + weights
    assert bptt.numbers == 1001 * n + 1000 * 2 + weights
    assert truncated.numbers == 11 * n + 10 * 2 + weights
    assert rtrl.numbers == n + n * weights + weights


def test_the_report_reads_and_is_json():
    proof = localprop.audit(CHAIN, Hamiltonian())
    facts = json.loads(json.dumps(proof.as_dict()))
    assert facts["local_in_space"] is True
    assert facts["local_in_time"] is True
    assert [m["method"].split(",")[0] for m in facts["methods"]] == [
        "Hamiltonian (this law)",
        "backprop",
        "BPTT",
        "truncated BPTT",
        "RTRL",
    ]
    assert "space: local" in str(proof)
    assert "x of c depends on x of a" in str(localprop.audit(Gossip(CHAIN), Hamiltonian()))


class Undeclared(AbstractNetwork):
    """Nobody said what its arcs are."""

    speed: float = 1.0
    plastic: None = None
    depth: int = 1
    streams: None = None

    def init(self, key):
        return jnp.zeros(1), jnp.zeros(1)

    def drive(self, x, w, u):
        return w * x

    def output(self, x):
        return x


def test_a_network_without_declared_arcs_is_refused():
    with pytest.raises(ConfigError, match="Undeclared declares no arcs"):
        localprop.audit(Undeclared(), Hamiltonian())
