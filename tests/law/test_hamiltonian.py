"""The law on weights, held arcs, several streams; its cost; its energies."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Block,
    ConfigError,
    Cost,
    Digraph,
    ExplicitEuler,
    Hamiltonian,
    Layered,
    Learner,
    Samples,
    SharedWeights,
    SignFlip,
    SquaredError,
)
from localprop.network import AbstractNetwork

pytestmark = pytest.mark.usefixtures("x64")


def test_explicit_weights_move_with_the_old_momentum_semi_implicit_with_the_new():
    network, cost = Digraph.complete(3, 1), Cost(SquaredError())
    u, z, tau, mass, theta = jnp.array([0.3]), jnp.array([1.0]), 0.2, 3.0, 0.6
    phases = {}
    for weights in ("explicit", "semi-implicit"):
        law = Hamiltonian(mass=mass, dissipation=theta, weights=weights)
        phase = law.init(network, cost, jax.random.key(1))
        momentum = jnp.arange(15.0).reshape(3, 5) - 7
        costate = jnp.array([0.5, -1.0, 2.0])
        phase = eqx.tree_at(lambda p: (p.momentum, p.costate), phase, (momentum, costate))
        phases[weights] = phase, law.hop(network, cost, phase, u, z, tau)
    for weights, (before, after) in phases.items():
        moving = before.momentum if weights == "explicit" else after.momentum
        np.testing.assert_allclose(after.w, before.w + tau * moving / mass, rtol=1e-14)
    a, b = (after for _, after in phases.values())
    np.testing.assert_array_equal(a.momentum, b.momentum)
    assert not np.allclose(a.w, b.w)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("mass", [0.5, Adaptive(0.01)], ids=["constant", "adaptive"])
def test_fixed_arcs_never_move_not_even_by_decay_or_momentum(storage, mass):
    fixed = {("u0", "x1"): 0.7, ("1", "x2"): -0.4, ("x1", "x0"): None, ("x2", "x2"): 0.0}
    network = Digraph.complete(3, 2, fixed=fixed, storage=storage)
    law = Hamiltonian(mass=mass, dissipation=0.5)
    learner = Learner(network, Cost(SquaredError(), weight_decay=0.2), law, hops=3, settle=0)
    start = learner.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    after, _ = learner.run(start, (rng.standard_normal((50, 2)), rng.standard_normal((50, 1))))
    held = np.array([edge in fixed for edge in network.edges()])
    tails, heads = network.arcs.tails_and_heads()
    per_arc = lambda w: np.asarray(w if storage == "sparse" else w[heads, tails])  # noqa: E731
    weights = dict(zip(network.edges(), per_arc(start.w), strict=True))
    assert [weights[arc] for arc in fixed] == [0.7, -0.4, weights["x1", "x0"], 0.0]
    assert weights["x1", "x0"] != 0
    np.testing.assert_array_equal(per_arc(after.w)[held], per_arc(start.w)[held])
    np.testing.assert_array_equal(per_arc(after.momentum)[held], 0)
    assert np.all(per_arc(after.w)[~held] != per_arc(start.w)[~held])


def test_fixed_blocks_never_move_and_errors_still_pass_through_them():
    blocks = {
        "conv": Block(partial(eqx.nn.Conv2d, 1, 2, 3), ["input"], "tanh"),
        "held": Block(partial(eqx.nn.Conv2d, 2, 2, 2), ["conv"], "tanh", fixed=True),
        "flat": Block(eqx.nn.Lambda(jnp.ravel), ["held"]),
        "head": Block(partial(eqx.nn.Linear, 2, 1), ["flat"]),
    }
    network = Layered(blocks, inputs=(1, 4, 4), output="head")
    cost = Cost(SquaredError(), weight_decay=0.1)
    learner = Learner(network, cost, Hamiltonian(mass=50.0, dissipation=0.3))
    start = learner.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    stream = rng.standard_normal((20, 1, 4, 4)), rng.standard_normal((20, 1))
    after, _ = learner.run(start, stream)
    every = zip(*(jax.tree.leaves(p.w["held"]) for p in (start, after)), strict=True)
    assert all(np.array_equal(a, b) for a, b in every)
    assert np.all(after.w["conv"].weight != start.w["conv"].weight)


class Counted(AbstractNetwork):
    """One linear layer that counts how often it is evaluated and pulled back."""

    calls: list = eqx.field(static=True, default_factory=list)
    speed: float = np.inf
    plastic: None = None
    depth: int = eqx.field(static=True, default=1)
    streams: None = eqx.field(static=True, default=None)

    def init(self, key):
        del key
        return jnp.zeros(2), jnp.ones((2, 3))

    def drive(self, x, w, u):
        @jax.custom_vjp
        def product(w, s):
            return w @ s

        def forward(w, s):
            self.calls.append("drive")
            return w @ s, (w, s)

        def backward(kept, cotangent):
            self.calls.append("pull")
            w, s = kept
            return jnp.outer(cotangent, s), w.T @ cotangent

        product.defvjp(forward, backward)
        return product(w, jnp.concatenate([u, x]))

    def output(self, x):
        return x


def test_a_hop_takes_one_evaluation_and_one_vector_jacobian_product_of_the_drive():
    network, law, cost = Counted(), Hamiltonian(), Cost(SquaredError(), weight_decay=0.1)
    phase = law.init(network, cost, jax.random.key(0))
    law.hop(network, cost, phase, jnp.ones(1), jnp.ones(2), 1.0)
    assert network.calls == ["drive", "pull"]
    learner = Learner(network, cost, law, hops=5)
    network.calls.clear()
    sample = Samples(jnp.ones(1), jnp.ones(2))
    with jax.disable_jit():  # or it is traced once for all hops
        learner.present(phase, sample)
    assert network.calls == ["drive", "pull"] * 5


@pytest.mark.parametrize("kind", ["dense", "sparse", "convolution"])
def test_force_of_several_streams_is_the_mean_over_those_with_a_target(kind):
    if kind == "convolution":
        blocks = {
            "conv": Block(partial(eqx.nn.Conv2d, 1, 2, 3), ["input"], "tanh"),
            "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
            "head": Block(partial(eqx.nn.Linear, 2, 2), ["flat"], speed=0.5),
        }
        network, shape = Layered(blocks, inputs=(1, 3, 3), output="head"), (1, 3, 3)
    else:
        network, shape = Digraph.random(6, 2, (0, 1), density=0.5, storage=kind, speed=0.7), (2,)
    rng = np.random.default_rng(0)
    u, z = jnp.asarray(rng.standard_normal((3, *shape))), jnp.asarray(rng.standard_normal((3, 2)))
    z = z.at[1].set(jnp.nan)  # one of the streams has no target
    law, cost = Hamiltonian(mass=40.0), Cost(SquaredError(), weight_decay=0.05)
    shared = SharedWeights(network, 3)

    @eqx.filter_jit
    def one_plastic_hop(network, phase, u, z):
        for _ in range(4):  # errors are all over the network then
            phase = law.settle(network, cost, phase, u, z, 0.5)
        return law.hop(network, cost, phase, u, z, 0.5)

    after = one_plastic_hop(shared, law.init(shared, cost, jax.random.key(0)), u, z)
    start = law.init(network, cost, jax.random.key(0))
    alone = [one_plastic_hop(network, start, u[k], z[k]) for k in range(3)]
    mean = jax.tree.map(lambda *m: sum(m) / 2, alone[0].momentum, alone[2].momentum)
    for a, b in zip(jax.tree.leaves(after.momentum), jax.tree.leaves(mean), strict=True):
        assert np.any(b != 0)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    for k in range(3):
        # The costate is that of the mean loss, a half of each of the two.
        for field, share in (("x", 1), ("costate", 0.5)):
            ours, theirs = (jax.tree.leaves(getattr(p, field)) for p in (after, alone[k]))
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a[k], share * b, rtol=1e-12, atol=1e-15)


def test_energies_are_their_formulas():
    network, mass, k = Digraph.complete(3, 1, outputs=(0, 2)), 2.5, 0.3
    law, cost = Hamiltonian(mass=mass, dissipation=0.2), Cost(SquaredError(2.0), weight_decay=k)
    rng = np.random.default_rng(0)
    x, costate = rng.standard_normal((2, 3))
    w, momentum = rng.standard_normal((2, 3, 5))
    phase = law.init(network, cost, jax.random.key(0))
    phase = eqx.tree_at(
        lambda p: (p.x, p.costate, p.w, p.momentum), phase,
        tuple(jnp.asarray(a) for a in (x, costate, w, momentum)),
    )  # fmt: skip
    u, z = np.array([0.4]), np.array([1.0, -1.0])
    energies = law.energies(network, cost, phase, jnp.asarray(u), jnp.asarray(z))
    loss = (x[0] - z[0]) ** 2 + (x[2] - z[1]) ** 2
    rate = loss + k * (w**2).sum() / 2
    kinetic = (momentum**2).sum() / (2 * mass)
    drive = np.tanh(w @ np.array([*u, 1.0, *x]))
    np.testing.assert_allclose(energies.loss, loss, rtol=1e-14)
    np.testing.assert_allclose(energies.lagrangian, kinetic + rate, rtol=1e-14)
    np.testing.assert_allclose(energies.hamiltonian, rate + costate @ (drive - x) - kinetic)


def test_settle_moves_neurons_and_nothing_else():
    network, cost = Digraph.complete(3, 1), Cost(SquaredError())
    law = Hamiltonian(mass=Adaptive())
    u, z = jnp.array([0.5]), jnp.array([1.0])
    phase = law.init(network, cost, jax.random.key(0))
    for _ in range(3):
        phase = law.hop(network, cost, phase, u, z, 1.0)
    settled, hopped = (move(network, cost, phase, u, z, 1.0) for move in (law.settle, law.hop))
    for field in ("x", "costate", "time", "hop"):
        np.testing.assert_array_equal(getattr(settled, field), getattr(hopped, field))
    for field in ("w", "momentum", "mass"):
        np.testing.assert_array_equal(getattr(settled, field), getattr(phase, field))


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"dissipation": -1.0}, {"mass": 0.0}):
        with pytest.raises(ConfigError):
            Hamiltonian(**settings)


@pytest.mark.parametrize("friction", [0.3, 0.99, 1.0, 1.4, 2.8, 40.0])
def test_friction_slows_a_momentum_but_never_reverses_it(friction):
    network, cost, tau = Digraph.complete(3, 1), Cost(SquaredError()), 2.0
    law = Hamiltonian(dissipation=friction / tau)
    phase = law.init(network, cost, jax.random.key(1))
    momentum = jnp.arange(15.0).reshape(3, 5) - 7
    phase = eqx.tree_at(lambda p: p.momentum, phase, momentum)  # no costate, hence no force
    after = law.hop(network, cost, phase, jnp.array([0.3]), jnp.array([1.0]), tau)
    kept = 1 - friction if friction < 1 else 0.0  # laws.md section 5, where it is one
    np.testing.assert_allclose(after.momentum, kept * np.asarray(momentum), rtol=1e-14, atol=0)


def test_relaxing_runs_forward_under_a_policy_that_has_turned_back():
    network, cost, tau = Digraph.complete(3, 1, speed=2.0), Cost(SquaredError()), 0.3
    law = Hamiltonian(SignFlip(1), integrator=ExplicitEuler())
    phase = law.init(network, cost, jax.random.key(1))
    phase = eqx.tree_at(lambda p: p.x, phase, jnp.array([0.5, -0.2, 0.1]))
    back = eqx.tree_at(lambda p: p.hop, phase, jnp.ones((), jnp.int32))
    assert float(law.policy.signs(back)[0]) == -1
    u = jnp.array([0.3])
    drive = jnp.tanh(phase.w @ jnp.concatenate([u, jnp.ones(1), phase.x]))
    expected = phase.x + 2.0 * tau * (drive - phase.x)
    np.testing.assert_allclose(law.relax(network, back, u, tau).x, expected, rtol=1e-14)
    learner = Learner(network, cost, law, hops=1, duration=tau)
    np.testing.assert_array_equal(learner.predict(back, u), learner.predict(phase, u))
