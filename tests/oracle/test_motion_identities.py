"""I5, I6, I9: forms of the equations agree, Cauchy diverges as told, the Hamiltonian is conserved.

Right-hand sides are written out here, from NLP's equations; SciPy integrates them.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines import hopper, on_both_engines
from scipy.integrate import solve_ivp

from localprop import (
    Cauchy,
    Constant,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    ExponentialEuler,
    Hamiltonian,
    SquaredError,
)

pytestmark = pytest.mark.usefixtures("x64")

C, M, K = np.array([1.0, 1.6, 0.7]), 1.3, 0.2
MEAN = C.mean()
TIGHT = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}


def _input(t):
    return np.array([np.sin(0.9 * t), np.cos(0.4 * t)])


def _target(t):
    return 0.5 * np.sin(0.6 * t + 0.3)


def _input_rate(t):
    return np.array([0.9 * np.cos(0.9 * t), -0.4 * np.sin(0.4 * t)])


def _start(seed=0):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(3, 5)) / 2  # three tanh neurons, sources (two inputs, three neurons)
    return rng.normal(size=3) / 2, 0.1 * rng.normal(size=3), w, 0.1 * rng.normal(size=(3, 5))


def _loss_x(x, t):
    return np.array([x[0] - _target(t), 0.0, 0.0])


def _canonical_rates(theta):
    """NLP's eqs. 11-14 in raw costates."""

    def rates(t, y):
        x, p_x, w, p_w = y[:3], y[3:6], y[6:21].reshape(3, 5), y[21:].reshape(3, 5)
        phi = np.exp(theta * t)
        s = np.concatenate([_input(t), x])
        drive = np.tanh(w @ s)
        back = C * (1 - drive**2) * p_x
        p_x_dot = C * p_x - w[:, 2:].T @ back - MEAN * _loss_x(x, t) * phi
        p_w_dot = -np.outer(back, s) - MEAN * K * w * phi
        return np.concatenate(
            [C * (drive - x), p_x_dot, (-p_w / (M * MEAN * phi)).ravel(), p_w_dot.ravel()]
        )

    return rates


def _second_order_rates(theta):
    """Proposition 2: m (ẅ + θ ẇ) = D_w'λ + kV_w, with λ_x = σ'(a) p_x / φ in the place of p_x."""

    def rates(t, y):
        x, lam, w, w_dot = y[:3], y[3:6], y[6:21].reshape(3, 5), y[21:].reshape(3, 5)
        s, s_dot_u = np.concatenate([_input(t), x]), _input_rate(t)
        a = w @ s
        drive = np.tanh(a)
        slope, bend = 1 - drive**2, -2 * drive * (1 - drive**2)
        x_dot = C * (drive - x)
        a_dot = w_dot @ s + w @ np.concatenate([s_dot_u, x_dot])
        # d/dt (σ' p_x / φ), with p_x / φ = λ_x / σ'.
        p = lam / slope
        p_dot = C * p - w[:, 2:].T @ (C * lam) - MEAN * _loss_x(x, t) - theta * p
        lam_dot = bend * a_dot * p + slope * p_dot
        w_dot_dot = (np.outer(C * lam, s) / MEAN + K * w) / M - theta * w_dot
        return np.concatenate([x_dot, lam_dot, w_dot.ravel(), w_dot_dot.ravel()])

    return rates


def _network():
    return Digraph.complete(3, 2, bias=False, speed=C)


def _law(theta, policy, integrator=None):
    integrator = ExplicitEuler() if integrator is None else integrator
    return Hamiltonian(policy, Constant(M), theta, integrator, "explicit")


def _hops(engine, law, end, steps, start):
    """The hop of localprop from (x, λ, w, π), samples read at the beginning of each hop."""
    network, cost = _network(), Cost(SquaredError(), weight_decay=K)
    x, costate, w, momentum = (jnp.asarray(a) for a in start)
    phase = law.init(network, cost, jax.random.key(0))
    phase = type(phase)(x, costate, w, momentum, None, phase.time, phase.hop)
    times = np.arange(steps) * end / steps
    stream = _input(times).T, _target(times)[:, None]
    return hopper(engine, network, cost, law, end / steps).run(phase, stream, record=())[0]


@pytest.mark.parametrize("theta", [0.0, 0.8])
def test_i5_first_and_second_order_forms_give_one_trajectory(theta):
    x, p, w, w_dot = _start()
    end, times = 3.0, np.linspace(0, 3, 13)
    slope = 1 - np.tanh(w @ np.concatenate([_input(0), x])) ** 2
    first = np.concatenate([x, p, w.ravel(), (-M * MEAN * w_dot).ravel()])
    second = np.concatenate([x, slope * p, w.ravel(), w_dot.ravel()])
    one = solve_ivp(_canonical_rates(theta), (0, end), first, t_eval=times, **TIGHT)
    other = solve_ivp(_second_order_rates(theta), (0, end), second, t_eval=times, **TIGHT)
    assert one.success
    assert other.success
    np.testing.assert_allclose(one.y[:3], other.y[:3], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(one.y[6:21], other.y[6:21], rtol=1e-8, atol=1e-9)
    # Corollary 2: p_x = φ λ_x / σ' along the way.
    for k, t in enumerate(times):
        a = one.y[6:21, k].reshape(3, 5) @ np.concatenate([_input(t), one.y[:3, k]])
        lam = (1 - np.tanh(a) ** 2) * one.y[3:6, k] * np.exp(-theta * t)
        np.testing.assert_allclose(lam, other.y[3:6, k], rtol=1e-7, atol=1e-8)


@on_both_engines
@pytest.mark.parametrize("theta", [0.0, 0.8])
def test_i5_hops_converge_to_the_trajectory_of_the_raw_equations(theta, engine):
    """λ = c_i p_x / (c φ) and π = -p_w / (c φ): the boxed variables are the raw ones."""
    x, p, w, w_dot = _start()
    end = 1.0
    first = np.concatenate([x, p, w.ravel(), (-M * MEAN * w_dot).ravel()])
    y = solve_ivp(_canonical_rates(theta), (0, end), first, **TIGHT).y[:, -1]
    scale = MEAN * np.exp(theta * end)
    expected = (y[:3], C * y[3:6] / scale, y[6:21].reshape(3, 5), -y[21:].reshape(3, 5) / scale)
    errors = []
    for steps in (500, 1000):
        phase = _hops(engine, _law(theta, Cauchy()), end, steps, (x, C * p / MEAN, w, M * w_dot))
        found = (phase.x, phase.costate, phase.w, phase.momentum)
        errors.append(
            [np.abs(np.asarray(a) - b).max() for a, b in zip(found, expected, strict=True)]
        )
    order = np.log2(np.array(errors[0]) / errors[1])
    # Explicit Euler: order 1, up to the next term of relative size τ.
    np.testing.assert_allclose(order, 1, atol=0.05)


@on_both_engines
@pytest.mark.parametrize("theta", [0.0, 0.5, 2.0])
def test_i6_cauchy_diverges_at_the_rate_of_example_1(theta, engine):
    """V = |w|²/2, L = 0, m = k = 1: ẅ + θẇ - w = 0."""
    network, cost = Digraph.complete(1, bias=False, speed=1.0), Cost(SquaredError(), 1.0)
    law = Hamiltonian(Cauchy(), Constant(1.0), theta, ExponentialEuler(), "explicit")
    phase = law.init(network, cost, jax.random.key(0))
    phase = eqx.tree_at(lambda p: p.w, phase, jnp.array([[1.0]]))
    tau, u, z = 1e-3, jnp.zeros(0), jnp.full(1, jnp.nan)
    learner, stream = (
        hopper(engine, network, cost, law, tau),
        (np.zeros((20_000, 0)), np.full((20_000, 1), np.nan)),
    )
    w = learner.run(phase, stream, record=("w_norm",))[1]["w_norm"]
    measured = np.log(w[-1] / w[-5001]) / (5000 * tau)
    rate = (-theta + np.sqrt(theta**2 + 4)) / 2
    # Explicit Euler grows by log(1 + rate τ)/τ = rate - rate² τ/2, and the other branch is gone.
    np.testing.assert_allclose(measured, np.log1p(rate * tau) / tau, rtol=1e-9)
    np.testing.assert_allclose(measured, rate, rtol=rate * tau)
    tame = eqx.tree_at(lambda law: law.policy, law, CostateReversal())
    assert abs(float(tame.hop(network, cost, phase, u, z, tau).momentum[0, 0])) <= tau * 1.0000001


def _energy(y, u, z):
    """H = ℓ + λ·(D - x) - |π|²/2m, written out, from (x, λ, w, π)."""
    x, lam, w, momentum = y
    drive = np.tanh(w @ np.concatenate([u, x]))
    rate = K / 2 * np.sum(w**2) + (x[0] - z) ** 2 / 2
    return rate + lam @ (drive - x) - np.sum(momentum**2) / (2 * M)


def _frozen():
    return _input(0.4), float(_target(0.4))


def test_i9_the_exact_flow_conserves_the_hamiltonian_and_order_five_errs_by_tau_to_the_five():
    """Continuous right-hand sides in (x, λ, w, π) at a frozen sample; a fixed-step RK45."""
    (u, z), (x, lam, w, momentum) = _frozen(), _start(1)

    def rates(t, y):
        x, lam, w, momentum = y[:3], y[3:6], y[6:21].reshape(3, 5), y[21:].reshape(3, 5)
        s = np.concatenate([u, x])
        drive = np.tanh(w @ s)
        back = (1 - drive**2) * lam
        lam_dot = C * (lam - w[:, 2:].T @ back - np.array([x[0] - z, 0, 0]))
        force = np.outer(back, s) + K * w
        return np.concatenate([C * (drive - x), lam_dot, (momentum / M).ravel(), force.ravel()])

    def energy(y):
        return _energy((y[:3], y[3:6], y[6:21].reshape(3, 5), y[21:].reshape(3, 5)), u, z)

    start = np.concatenate([x, lam, w.ravel(), momentum.ravel()])
    exact = solve_ivp(rates, (0, 2), start, **TIGHT)
    np.testing.assert_allclose([energy(y) for y in exact.y.T], energy(start), rtol=0, atol=1e-10)
    drifts = []
    for steps in (20, 40):
        # Tolerances so wide that max_step alone sets the step.
        path = solve_ivp(
            rates,
            (0, 2),
            start,
            "RK45",
            max_step=2 / steps,
            first_step=2 / steps,
            rtol=1e3,
            atol=1e3,
        )
        assert len(path.t) in (steps + 1, steps + 2)
        drifts.append(abs(energy(path.y[:, -1]) - energy(start)))
    assert 4.3 < np.log2(drifts[0] / drifts[1]) < 6.5, drifts


@on_both_engines
def test_i9_the_hop_errs_by_tau_explicit_euler_is_of_order_one(engine):
    network, cost = _network(), Cost(SquaredError(), weight_decay=K)
    (u, z), law = _frozen(), _law(0.0, Cauchy())
    # One speed: with several, λ_i = c_i p_x^i / c weighs the energy of each neuron.
    network = Digraph.complete(3, 2, bias=False, speed=1.0)
    start = _start(1)
    before = _energy(start, u, z)
    drifts = []
    for steps in (400, 800, 1600):
        phase = law.init(network, cost, jax.random.key(0))
        parts = [jnp.asarray(a) for a in start]
        phase = type(phase)(*parts, None, phase.time, phase.hop)
        stream = np.tile(u, (steps, 1)), np.full((steps, 1), z)
        phase = hopper(engine, network, cost, law, 1.0 / steps).run(phase, stream, record=())[0]
        after = tuple(np.asarray(a) for a in (phase.x, phase.costate, phase.w, phase.momentum))
        drifts.append(abs(_energy(after, u, z) - before))
        energies = law.energies(network, cost, phase, jnp.asarray(u), jnp.array([z]))
        np.testing.assert_allclose(energies.hamiltonian, _energy(after, u, z), rtol=1e-12)
    np.testing.assert_allclose(np.log2(np.array(drifts[:-1]) / drifts[1:]), 1, atol=0.05)
