"""One-step methods against the matrix exponential and against NLP's Algorithm 1 written out."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines import hop, hopper, on_both_engines
from scipy.linalg import expm

from localprop import (
    Cauchy,
    ConfigError,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    ExponentialEuler,
    Hamiltonian,
    SquaredError,
)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("theta", [0.0, 0.7])
def test_exponential_euler_is_the_matrix_exponential_under_a_held_drive(sign, theta):
    speeds = np.array([1e-12, 0.01, 0.7, 1.0, 3.0, 20.0])
    for tau in (1e-6, 0.1, 2.0):
        keep, pull = ExponentialEuler().gains(speeds, sign, theta, tau)
        for c, k, p in zip(speeds, keep, pull, strict=True):
            # (y, 1)' = [[-(sc + θ), sc f], [0, 0]] (y, 1) with f = 1.
            exact = expm(tau * np.array([[-(sign * c + theta), sign * c], [0.0, 0.0]]))
            np.testing.assert_allclose([k, p], exact[0], rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_where_friction_balances_growth_a_costate_is_pushed_at_a_constant_rate():
    """ẏ = s c (f - y) - θ y with s = -1 and θ = c: y falls by c f per unit of time."""
    c, tau = 2.5, 0.3
    keep, pull = ExponentialEuler().gains(c, -1.0, c, tau)
    np.testing.assert_allclose([keep, pull], [1.0, -c * tau], rtol=1e-6)


@pytest.mark.usefixtures("x64")
def test_large_speeds_tend_to_infinite_speed_whatever_the_dissipation():
    speeds = np.array([1e3, 1e6, 1e9, 1e300, np.inf])
    keep, pull = ExponentialEuler().gains(speeds, 1.0, 2.0, 1.0)
    np.testing.assert_array_equal(keep, 0)
    # The rest point of y' = c (f - y) - θ y is f c/(c + θ).
    np.testing.assert_allclose(pull, [1000 / 1002, 1 - 2e-6, 1, 1, 1], rtol=1e-8)
    assert pull[-1] == 1
    assert ExponentialEuler().gains(np.inf, 1.0, 2.0, 1.0) == (0.0, 1.0)


def test_no_finite_speed_or_hop_length_overflows():
    keep, pull = ExponentialEuler().gains(np.float32([1e30, 1e-30, 1e30]), 1.0, 0.0, 1e10)
    np.testing.assert_allclose(keep, [0, 1, 0])
    np.testing.assert_allclose(pull, [1, 1e-20, 1], rtol=1e-6)


@pytest.mark.usefixtures("x64")
@on_both_engines
def test_infinite_speed_neurons_become_their_drive_beside_slow_ones(engine):
    speed = [np.inf, 0.3, np.inf, 1.0]
    network = Digraph.complete(4, 1, speed=speed)
    law, cost = Hamiltonian(dissipation=0.2), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(0))
    x, u = jnp.array([0.3, -0.2, 0.9, 0.4]), jnp.array([0.7])
    phase = eqx.tree_at(lambda p: p.x, phase, x)
    drive = network.drive(x, phase.w, u)
    after = np.asarray(hop(hopper(engine, network, cost, law, 0.6), phase, u, np.zeros(1)).x)
    np.testing.assert_allclose(after[::2], drive[::2], rtol=1e-15)
    at_once = law.hop(network, cost, phase, u, jnp.zeros(1), 0.6).x[::2]
    np.testing.assert_array_equal(at_once, drive[::2])  # by one compiler to the last bit
    alpha = 1 - np.exp(-0.6 * np.array([0.3, 1.0]))
    np.testing.assert_allclose(after[1::2], x[1::2] + alpha * (drive - x)[1::2], rtol=1e-14)


@pytest.mark.usefixtures("x64")
@on_both_engines
@pytest.mark.parametrize(
    ("policy", "s_p"), [(CostateReversal(), -1.0), (Cauchy(), 1.0)], ids=["reversal", "cauchy"]
)
def test_explicit_euler_is_algorithm_1(policy, s_p, engine):
    """Every neuron and every synapse in a loop of its own, all from the old values."""
    tau, theta, mass, decay, n, d = 0.05, 0.4, 1.7, 0.3, 4, 2
    c = np.array([0.5, 1.0, 2.0, 3.0])
    network = Digraph.complete(n, d, outputs=(1,), bias=False, speed=c)
    law = Hamiltonian(policy, mass, theta, ExplicitEuler(), weights="explicit")
    cost = Cost(SquaredError(), weight_decay=decay)
    rng = np.random.default_rng(0)
    x, costate = rng.standard_normal((2, n))
    w, momentum = rng.standard_normal((2, n, d + n))
    phase = law.init(network, cost, jax.random.key(0))
    phase = eqx.tree_at(
        lambda p: (p.x, p.costate, p.w, p.momentum), phase,
        tuple(jnp.asarray(a) for a in (x, costate, w, momentum)),
    )  # fmt: skip
    learner = hopper(engine, network, cost, law, tau)
    for _ in range(20):
        u, z = rng.standard_normal(d), rng.standard_normal(1)
        phase = hop(learner, phase, u, z)
        source = np.concatenate([u, x])
        a = [sum(w[i, j] * source[j] for j in range(d + n)) for i in range(n)]
        slope = [1 - np.tanh(a[i]) ** 2 for i in range(n)]
        new_x, new_costate, new_w, new_momentum = (v.copy() for v in (x, costate, w, momentum))
        for i in range(n):
            new_x[i] += tau * c[i] * (np.tanh(a[i]) - x[i])
            back = sum(w[k, d + i] * slope[k] * costate[k] for k in range(n))
            loss = x[i] - z[0] if i == 1 else 0.0
            leak = s_p * c[i] * (costate[i] - back - loss)
            new_costate[i] += tau * (leak - theta * costate[i])
            for j in range(d + n):
                new_w[i, j] += tau * momentum[i, j] / mass
                force = slope[i] * costate[i] * source[j] + decay * w[i, j]
                new_momentum[i, j] += tau * (s_p * force - theta * momentum[i, j])
        x, costate, w, momentum = new_x, new_costate, new_w, new_momentum
    for ours, theirs in zip(
        (phase.x, phase.costate, phase.w, phase.momentum), (x, costate, w, momentum), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_explicit_euler_refuses_infinite_speed_and_exponential_euler_a_reversed_one():
    with pytest.raises(ConfigError, match="finite speed"):
        ExplicitEuler().gains(np.inf, 1.0, 0.0, 0.1)
    with pytest.raises(ConfigError, match="forward"):
        ExponentialEuler().gains(np.inf, -1.0, 0.0, 0.1)
