"""I7 and the heavy ball: closed forms, SciPy's algebraic solver, Optax."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

from localprop import ConfigError, oracle


def test_i7_scalar_reversed_riccati_is_the_closed_form_and_converges():
    a, b, q, r = 0.7, 1.3, 2.0, 0.5
    times = np.linspace(0, 12, 40)
    theta = oracle.riccati.reversed_in_time(a, b, q, r, times)[:, 0, 0]
    # With s = b²/r and μ = √(a² + s q): θ = q tanh(μt) / (μ - a tanh(μt)).
    s = b**2 / r
    mu = np.sqrt(a**2 + s * q)
    closed = q * np.tanh(mu * times) / (mu - a * np.tanh(mu * times))
    np.testing.assert_allclose(theta, closed, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(theta[-1], (a + mu) / s, rtol=1e-10)
    np.testing.assert_allclose(oracle.riccati.algebraic(a, b, q, r), [[(a + mu) / s]], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_i7_matrix_reversed_riccati_converges_to_the_algebraic_solution(seed):
    rng = np.random.default_rng(seed)
    n, k = 4, 2
    a, b = rng.standard_normal((n, n)), rng.standard_normal((n, k))
    root = rng.standard_normal((n, n))
    q, r = root @ root.T + np.eye(n), np.diag(rng.uniform(0.5, 2, k))
    limit = scipy.linalg.solve_continuous_are(a, b, q, r)
    # The error decays like exp(2 Re(slowest closed-loop eigenvalue) t).
    slowest = np.linalg.eigvals(a - b @ np.linalg.solve(r, b.T @ limit)).real.max()
    times = np.array([0.0, 14 / -slowest])
    p = oracle.riccati.reversed_in_time(a, b, q, r, times)[-1]
    np.testing.assert_allclose(p, limit, rtol=1e-8, atol=1e-8 * np.abs(limit).max())
    np.testing.assert_allclose(oracle.riccati.algebraic(a, b, q, r), limit)


def test_i7_matrix_riccati_at_finite_time_is_the_hamiltonian_matrix_exponential():
    """P(t) = Y X^-1 with (X, Y) driven by the Hamiltonian matrix, read backward in time."""
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((3, 3)), rng.standard_normal((3, 1))
    q, r, t = np.eye(3), np.array([[0.4]]), 1.3
    matrix = np.block([[a, -b @ np.linalg.solve(r, b.T)], [-q, -a.T]])
    flow = scipy.linalg.expm(-matrix * t)
    expected = flow[3:, :3] @ np.linalg.inv(flow[:3, :3])
    p = oracle.riccati.reversed_in_time(a, b, q, r, np.array([0.0, t]))[-1]
    np.testing.assert_allclose(p, expected, rtol=1e-8, atol=1e-10)


def test_riccati_refuses_shapes_that_do_not_fit_and_problems_without_solution():
    with pytest.raises(ConfigError, match="B has shape"):
        oracle.riccati.algebraic(np.eye(2), np.ones((1, 2)), np.eye(2), np.eye(2))
    with pytest.raises(ConfigError, match="no stabilising"):
        oracle.riccati.algebraic(1.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("theta", [0.0, 0.4, 3.0])
def test_heavy_ball_flow_is_the_closed_form_of_the_damped_oscillator(theta):
    m, k, w0 = 1.7, 0.9, np.array([1.2])
    times = np.linspace(0, 10, 30)
    w, momentum = oracle.heavy_ball.flow(
        lambda w, t: k * w, w0, np.zeros(1), times, mass=m, dissipation=theta
    )
    matrix = np.array([[0, 1 / m], [-k, -theta]])
    closed = np.stack([scipy.linalg.expm(matrix * t) @ [w0[0], 0.0] for t in times])
    np.testing.assert_allclose(np.hstack([w, momentum]), closed, rtol=1e-8, atol=1e-9)


def test_heavy_ball_recursion_is_optax_sgd_with_momentum(x64):
    del x64
    rng = np.random.default_rng(0)
    root = rng.standard_normal((5, 5))
    hessian, w0 = root @ root.T, rng.standard_normal(5)
    tau, m, theta = 0.1, 2.0, 1.5
    w, _ = oracle.heavy_ball.recursion(
        lambda w, t: hessian @ w, w0, np.zeros(5), 50, tau, mass=m, dissipation=theta
    )
    optimiser = optax.sgd(tau**2 / m, momentum=1 - theta * tau)
    other = jnp.asarray(w0)
    state = optimiser.init(other)
    for k in range(50):
        np.testing.assert_allclose(w[k], other, rtol=1e-11, atol=1e-13)
        update, state = optimiser.update(jnp.asarray(hessian) @ other, state)
        other = optax.apply_updates(other, update)
