"""What one hop does, written out: masses, relaxations, several streams."""

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
    LeastAction,
    Overdamped,
    SemiImplicitEuler,
    SharedWeights,
    Splitting,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")

DECAY, TAU, SPEED = 0.2, 0.3, 0.8
COST = Cost(SquaredError(), weight_decay=DECAY)
NETWORK = Digraph.complete(3, 2, (0, 2), speed=SPEED)
U, Z = jnp.array([0.4, -0.9]), jnp.array([1.0, -0.5])
NEURONS = {"inertial": Inertial(0.8, 0.7), "overdamped": Overdamped(0.6)}


def _moving(law, network=NETWORK, seed=0):
    """A phase in which every number is different from 0, the memory of the mass above it."""
    rng = np.random.default_rng(seed)
    normal = lambda a: jnp.asarray(rng.normal(size=a.shape))  # noqa: E731
    phase = law.init(network, COST, jax.random.key(seed))
    moving = (normal(phase.x), normal(phase.costate), normal(phase.w), normal(phase.momentum))
    memory = jax.tree.map(lambda a: 1 + normal(a) ** 2, phase.mass)
    time, hop = jnp.asarray(2.5), jnp.asarray(7, jnp.int32)
    return type(phase)(*moving, memory, time, hop)


def _drive(x, w):
    return jnp.tanh(w @ jnp.concatenate([U, jnp.ones(1), x]))


def _potential(x, w, stiffness):
    """U of laws.md, section 9."""
    loss = jnp.sum((x[jnp.array([0, 2])] - Z) ** 2) / 2
    return stiffness / 2 * jnp.sum((x - _drive(x, w)) ** 2) + DECAY / 2 * jnp.sum(w**2) + loss


@pytest.mark.parametrize("motion", [SemiImplicitEuler(), Splitting()], ids=["euler", "splitting"])
def test_weights_drift_with_the_mass_of_before_the_force_and_then_with_that_of_after(motion):
    rate, decay, floor, theta, stiffness = 0.1, 0.5, 1e-2, 0.4, 2.0
    neurons = Inertial(0.8, 0.7)
    law = LeastAction(stiffness, neurons, Adaptive(rate, decay, floor), theta, motion)
    phase = _moving(law)
    after = law.hop(NETWORK, COST, phase, U, Z, TAU)

    x, p, w, momentum, v = (
        np.asarray(a) for a in (phase.x, phase.costate, phase.w, phase.momentum, phase.mass)
    )
    lead = TAU / 2 if isinstance(motion, Splitting) else 0.0
    x_felt, w_felt = x + lead * p / 0.8, w + lead * momentum * rate / (np.sqrt(v) + floor)
    U_x, U_w = jax.grad(_potential, (0, 1))(jnp.asarray(x_felt), jnp.asarray(w_felt), stiffness)

    def kicked(p, force, theta):
        if isinstance(motion, Splitting):
            return np.exp(-theta * TAU) * p - (1 - np.exp(-theta * TAU)) / theta * force
        return (p - TAU * force) / (1 + theta * TAU)

    v = np.exp(-decay * TAU) * v + (1 - np.exp(-decay * TAU)) * np.asarray(U_w) ** 2
    p, momentum = kicked(p, np.asarray(U_x), 0.7), kicked(momentum, np.asarray(U_w), theta)
    rest = TAU - lead
    expected = {
        "x": x_felt + rest * p / 0.8,
        "costate": p,
        "w": w_felt + rest * momentum * rate / (np.sqrt(v) + floor),
        "momentum": momentum,
        "mass": v,
        "time": 2.5 + TAU,
        "hop": 8,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(after, name), value, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "law",
    [LeastAction(mass=Adaptive()), Hamiltonian(mass=Adaptive(), dissipation=0.3)],
    ids=["least action", "hamiltonian"],
)
def test_relaxing_moves_the_state_alone_towards_its_drive(law):
    phase = _moving(law)
    after = law.relax(NETWORK, phase, U, TAU)
    # ẋ = c (D - x) with the drive held, solved exactly.
    drive = _drive(phase.x, phase.w)
    expected = drive + np.exp(-SPEED * TAU) * (phase.x - drive)
    np.testing.assert_allclose(after.x, expected, rtol=1e-13)
    for name in ("w", "momentum", "mass", "time", "hop"):
        np.testing.assert_array_equal(getattr(after, name), getattr(phase, name), err_msg=name)
    # Under least action the costate is m ẋ, and the state is put, not pushed: it ends at rest.
    rest = isinstance(law, LeastAction)
    np.testing.assert_array_equal(after.costate, 0 * phase.costate if rest else phase.costate)


def test_a_settle_hop_of_least_action_is_one_relaxation_and_one_hop_in_time():
    law = LeastAction(mass=Adaptive())
    phase = _moving(law)
    after, relaxed = law.settle(NETWORK, COST, phase, U, Z, TAU), law.relax(NETWORK, phase, U, TAU)
    for name in ("x", "costate", "w", "momentum", "mass"):
        np.testing.assert_array_equal(getattr(after, name), getattr(relaxed, name), err_msg=name)
    np.testing.assert_allclose(after.time, 2.5 + TAU, rtol=1e-15)
    assert after.hop == 8
    assert (law.settle_hops(3, 6), law.settle_hops(3, 5), law.settle_hops(1, 9)) == (3, 0, 1)


@pytest.mark.parametrize("tau", [0.3, 4.0])
@pytest.mark.parametrize("stiffness", [0.5, 3.0])
def test_an_overdamped_neuron_without_target_or_child_solves_its_own_pull_exactly(stiffness, tau):
    """ẋ = -cκ(x - D) of constant D: x - D falls by e^{-cκτ}, however long the hop."""
    network = Digraph.layered([2, 3])
    law = LeastAction(stiffness, Overdamped(0.6), np.inf)
    phase = _moving(law, network)
    after = law.hop(network, COST, phase, U, jnp.full(3, jnp.nan), tau)
    drive = phase.w[:, :3] @ jnp.array([*U, 1.0])
    expected = drive + np.exp(-0.6 * stiffness * tau) * (phase.x - drive)
    np.testing.assert_allclose(after.x, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(after.costate, 0)


@pytest.mark.parametrize("name", ["hamiltonian", *NEURONS])
def test_energies_of_several_streams_are_the_means_of_their_own(name):
    """Loss, potential, kinetic energies, friction and exchange: per stream, as the force is."""
    law = LeastAction(2.0, NEURONS[name], 1.5, 0.4) if name in NEURONS else Hamiltonian(mass=1.5)
    shared, rng = SharedWeights(NETWORK, 3), np.random.default_rng(1)
    phase = _moving(law, shared)
    u, u_rate = jnp.asarray(rng.normal(size=(2, 3, 2)))
    z, z_rate = jnp.asarray(rng.normal(size=(2, 3, 2)))
    rates = lambda *rates: rates if name in NEURONS else ()  # noqa: E731
    together = law.energies(shared, COST, phase, u, z, *rates(u_rate, z_rate))
    alone = []
    for k in range(3):
        # Error costates are those of the mean loss; momenta of neurons are their own.
        costate = phase.costate[k] * (1 if name in NEURONS else 3)
        own = eqx.tree_at(lambda p: (p.x, p.costate), phase, (phase.x[k], costate))
        rate = rates(u_rate[k], z_rate[k])
        alone.append(law.energies(NETWORK, COST, own, u[k], z[k], *rate))
    for field in vars(together):
        mean = np.mean([getattr(e, field) for e in alone])
        np.testing.assert_allclose(getattr(together, field), mean, rtol=1e-12, err_msg=field)
        if (name, field) != ("overdamped", "neuron_kinetic"):
            assert mean != 0
