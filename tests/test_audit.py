"""Locality (laws.md, section 10): proved where it holds, refuted by name where it does not."""

from __future__ import annotations

import json
from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import localprop
from localprop import (
    Adaptive,
    Cauchy,
    ConfigError,
    Cost,
    Digraph,
    ExplicitEuler,
    FastCostates,
    Hamiltonian,
    HamiltonianTrack,
    Layered,
    Learner,
    LeastAction,
    ModeBank,
    Modes,
    Samples,
    SharedWeights,
    SignFlip,
    SquaredError,
    Traces,
    read_modes,
)
from localprop.audit.dependence import dependence
from localprop.audit.wiring import wiring
from localprop.law import AbstractLaw
from localprop.network import AbstractNetwork, Block
from localprop.network.block import dense

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
    proof = localprop.audit(NETWORKS[name](), LAWS[law], compare=False)
    assert proof.local_in_space, str(proof)
    assert proof.constant
    # Dependencies were really followed: each quantity moves with itself at least.
    assert all(proof.dependencies[q] > 0 for q in ("x", "costate", "w", "momentum"))


def _leaky(**settings):
    return Digraph.complete(3, inputs=1, outputs=(2,), speed=[0.5, 0.5, np.inf], **settings)


def _levels():
    """Two levels of modes: the lower feeds the upper by a silent bank, both are read."""
    learned = ModeBank([3.0, 9.0], [0.2, -0.7], learned=True)
    banks = [ModeBank.leaks(1.0, 8.0, 2, silent=True), learned]
    lower = partial(Modes, partial(eqx.nn.Linear, 2, 3), "tanh", banks)
    upper = partial(Modes, partial(eqx.nn.Linear, 12, 3), "tanh", learned)
    heard = lambda m, n: jnp.concatenate([read_modes(2)(m), read_modes()(n)])  # noqa: E731
    return Layered(
        {
            "lower": Block(lower, ["input"]),
            "upper": Block(upper, ["lower"], join=read_modes(0, 2), silent=["lower"]),
            "top": Block(partial(eqx.nn.Linear, 24, 1), ["lower", "upper"], join=heard),
        },
        inputs=(2,),
        output="top",
    )


SLOW = {
    "dense": (Digraph.complete(3, inputs=1, speed=0.5), "2n + 4N + 2"),
    "sparse": (Digraph.complete(3, inputs=1, speed=0.5, storage="sparse"), "2n + 4N + 2"),
    "some": (Digraph.layered([1, 2, 1], speed=[0.5, np.inf, np.inf]), "2n + 4N + 2"),
    "layers": (Layered.dense([2, 3, 2], speed=0.3), "2n + 4N + 2"),
    "oscillating": (_leaky(frequency=0.3), "2n + 5N + 2"),
    "learned": (_leaky(learn_speed=True, storage="sparse"), "2n + 4N + 2"),
    "oscillating, learned": (_leaky(frequency=0.3, learn_speed=True), "2n + 5N + 2"),
    "modes": (_levels(), "2n + 3N + 242"),
    "none": (Digraph.layered([1, 2, 1]), "2n + 3N + 2"),  # who takes no time keeps no trace
}


# Of those that others have all of, and of reversed costates, slow tests ask.
QUICK = {"sparse", "layers", "oscillating, learned", "modes", "none"}


@pytest.mark.parametrize(
    ("name", "costate"),
    [
        pytest.param(
            name,
            costate,
            marks=[] if costate == "instantaneous" and name in QUICK else pytest.mark.slow,
        )
        for name in SLOW
        for costate in ("instantaneous", "reversed")
    ],
)
def test_traces_are_local_and_one_number_per_arc(name, costate):
    network, formula = SLOW[name]
    law = Hamiltonian(mass=Adaptive(), dissipation=0.1, traces=Traces(costate))
    proof = localprop.audit(network, law, compare=False)
    assert proof.local_in_space, str(proof)
    assert proof.constant
    assert f" {formula} " in str(proof)
    once = localprop.audit_sample(
        Learner(network, Cost(SquaredError()), law, hops=5, settle=4, clock="sample")
    )
    assert once.local, str(once)
    assert once.honest
    assert once.constant


def test_streams_that_share_weights_are_local_too():
    proof = localprop.audit(
        SharedWeights(Digraph.layered([2, 3, 1]), 4), Hamiltonian(), compare=False
    )
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
    proof = localprop.audit(Gossip(CHAIN), Hamiltonian(), compare=False)
    assert not proof.local_in_space
    # Forward, c hears a; backward, a hears c's costate.
    assert _named(proof) == {("x of c", "x of a"), ("costate of a", "costate of c")}
    assert proof.forbidden == 2


def test_a_law_with_a_global_norm_is_refuted_and_the_weights_are_named():
    proof = localprop.audit(CHAIN, Normalised(), compare=False)
    assert not proof.local_in_space
    assert ("w of 1 -> a", "x of b") in _named(proof)
    assert all(v.target.startswith("w of") for v in proof.violations)


def test_a_ball_in_all_of_phase_space_is_not_local():
    """The Hamiltonian track's sign hangs on everybody's norm; no derivative shows it."""
    network = Digraph.complete(2, speed=2.0)
    proof = localprop.audit(
        network, Hamiltonian(HamiltonianTrack(radius=10.0, speed=2.0), **EULER), compare=False
    )
    assert not proof.local_in_space
    assert any(v.witnessed for v in proof.violations)


def test_carried_state_is_what_the_phase_holds():
    network, law = Digraph.layered([2, 3, 1]), Hamiltonian(mass=Adaptive())
    proof = localprop.audit(network, law, compare=False)
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
        localprop.audit(Undeclared(), Hamiltonian(), compare=False)


POLICIES = {
    "sign flip": SignFlip(2),
    "track": HamiltonianTrack(radius=100.0, speed=2.0),
    "cauchy": Cauchy(),
}
EVERY_LAW = {
    "costate reversal": (Hamiltonian(), 4),
    "adaptive mass": (Hamiltonian(mass=Adaptive()), 4),
    "least action": (LeastAction(), 2),
    "fast costates": (Hamiltonian(FastCostates()), 4),
    **{name: (Hamiltonian(policy, **EULER), 4) for name, policy in POLICIES.items()},
}


@pytest.fixture(scope="module", params=EVERY_LAW)
def sample(request):
    """A learner of seven hops, its audit, and how many hops hold its weights."""
    law, held = EVERY_LAW[request.param]
    learner = Learner(Digraph.layered([2, 3, 1], speed=2.0), Cost(SquaredError()), law)
    return learner, localprop.audit_sample(learner), held


def test_a_whole_sample_holds_the_weights_in_its_settle_hops_and_nothing_else(sample):
    learner, proof, held = sample
    assert (proof.hops, proof.settle) == (7, held)
    masses = bool(jax.tree.leaves(jax.eval_shape(learner.init, jax.random.key(0)).mass))
    assert proof.held == dict.fromkeys(("x", "costate"), 0) | dict.fromkeys(
        ("w", "momentum", "mass") if masses else ("w", "momentum"), held
    )
    # Seen in numbers, too: of a phase in motion, hop by hop.
    phase = jax.tree.map(
        lambda a: a + 0.1 if a.dtype == jnp.float32 else a, learner.init(jax.random.key(1))
    )
    phases = [phase, *learner._hops(phase, Samples(jnp.ones(2), jnp.ones(1)))]
    for name in ("x", "w"):
        still = [np.array_equal(getattr(a, name), getattr(b, name)) for a, b in pairwise(phases)]
        assert sum(still) == proof.held[name]


def test_a_whole_sample_is_what_its_hops_make_and_its_prediction_knows_no_target(sample):
    learner, proof, _ = sample
    assert proof.beyond == 0
    assert proof.honest
    assert proof.constant
    assert proof.reach[0] < proof.reach[1] < 1
    track = isinstance(getattr(learner.law, "policy", None), HamiltonianTrack)
    assert proof.local is not track


def test_every_law_transports_the_weights_of_the_arcs_to_the_output(sample):
    _, proof, _ = sample
    assert proof.transport == 3
    assert "weight transport: λ_i reads the number w_ki" in str(proof)


def test_the_hamiltonian_tracks_ball_is_named_and_is_all_that_is_global(sample):
    learner, proof, _ = sample
    phase = jax.eval_shape(learner.init, jax.random.key(0))
    numbers = sum(
        a.size for a in jax.tree.leaves((phase.x, phase.costate, phase.w, phase.momentum))
    )
    if isinstance(getattr(learner.law, "policy", None), HamiltonianTrack):
        assert proof.heard == numbers
        assert proof.forbidden > 0 == proof.given_sign
        assert f"one sign, made of {numbers} numbers" in str(proof)
    else:
        assert proof.heard == 0
        assert "global" not in str(proof)


def test_transport_is_what_autodiff_sees_where_slopes_are_constant():
    """With linear neurons the costate's derivative by weights is transport and nothing else."""
    network = Digraph.from_edges(
        [("u", "a"), ("a", "b"), ("a", "y"), ("b", "y"), ("b", "a")],
        inputs=["u"], outputs=["y"], activation="identity", storage="sparse",
    )  # fmt: skip
    law, cost = Hamiltonian(), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(0))
    phase = eqx.tree_at(lambda p: p.costate, phase, jnp.array([0.3, -0.7, 1.1]))

    def costate(w):
        moved = eqx.tree_at(lambda p: p.w, phase, w)
        return law.hop(network, cost, moved, jnp.ones(1), jnp.ones(1), 1.0).costate

    rows, columns = np.nonzero(np.asarray(jax.jacobian(costate)(phase.w)))
    edges, neurons = network.edges(), network.vertices[1:]
    seen = {(neurons[i], edges[s]) for i, s in zip(rows, columns, strict=True)}
    assert seen == {(tail, (tail, head)) for tail, head in edges if tail in neurons}
    named = localprop.audit(network, law, compare=False).transport
    assert set(named) == {(f"costate of {i}", f"w of {tail} -> {head}") for i, (tail, head) in seen}


def _audit_chain(monkeypatch, present):
    """Audits a learner whose samples do something beside their hops."""
    learner = Learner(CHAIN, Cost(SquaredError()), Hamiltonian(), hops=4, settle=0)
    honest = Learner.present

    def presented(self, phase, sample, repeat):
        return present(partial(honest, repeat=repeat), self, phase, sample)

    monkeypatch.setattr(Learner, "present", presented)
    return localprop.audit_sample(learner)


def test_a_learner_that_shows_the_target_to_its_prediction_is_refuted(monkeypatch):
    def late(honest, learner, phase, sample):
        phase, _ = honest(learner, phase, sample)
        return phase, learner.network.output(phase.x)

    proof = _audit_chain(monkeypatch, late)
    assert proof.beyond == 0
    assert not proof.honest
    assert "KNOWS its target" in str(proof)


def test_a_learner_that_rescales_all_weights_between_samples_is_refuted(monkeypatch):
    def rescale(honest, learner, phase, sample):
        phase, output = honest(learner, phase, sample)
        return eqx.tree_at(lambda p: p.w, phase, phase.w / jnp.linalg.norm(phase.w)), output

    proof = _audit_chain(monkeypatch, rescale)
    assert proof.forbidden == 0 < proof.beyond
    assert not proof.local
    assert "beside the hops" in str(proof)


def test_a_track_whose_prediction_is_read_as_costate_reversals_is_refuted(monkeypatch):
    """In the second hop the sign, made of costates, has told every state of the target."""
    law = Hamiltonian(HamiltonianTrack(radius=100.0, speed=2.0), **EULER)
    learner = Learner(
        Digraph.layered([1, 1], speed=2.0), Cost(SquaredError()), law, hops=3, settle=0
    )
    assert localprop.audit_sample(learner).honest
    monkeypatch.setattr(Hamiltonian, "blind_hops", lambda self, settle: max(settle + 1, 2))
    assert not localprop.audit_sample(learner).honest


def test_samples_of_more_hops_than_can_be_looked_into_are_refused():
    learner = Learner(CHAIN, Cost(SquaredError()), Hamiltonian(), hops=17)
    with pytest.raises(ConfigError, match="at most 16"):
        localprop.audit_sample(learner)
