"""I8: the boundary-value problem of Hamilton's equations, against `scipy.integrate.solve_bvp`."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.integrate

from localprop import (
    Cauchy,
    ConfigError,
    Constant,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    ExponentialEuler,
    Hamiltonian,
    Layered,
    SignFlip,
    SquaredError,
    oracle,
)

SPEED, Q, R, R_W = 2.0, 20.0, 0.5, 0.1
X0, W0 = np.array([0.1, -0.2]), np.array([[0.2, 0.4, -0.3], [-0.1, 0.5, 0.2]])


def _tracking(tau, steps, *, speed=SPEED, q=Q, r=R, r_w=R_W, **settings):
    """Two neurons and the constant input; the first tracks a sine; speed 1 where it is infinite."""
    c = float(np.mean(speed)) if np.all(np.isfinite(speed)) else 1.0
    network = Digraph.complete(2, speed=speed)
    ends = np.cumsum(np.broadcast_to(tau, steps))
    z = 0.5 * np.sin(ends - tau)[:, None]
    cost = Cost(SquaredError(q / c), weight_decay=2 * r_w / c)
    return oracle.Problem(
        network, cost, np.zeros((steps, 0)), z, X0, W0, tau, mass=r / c, **settings
    )


def _holds(solution):
    assert solution.end < 1e-6
    assert max(solution.residual.values()) < 1e-4, solution.residual


@pytest.mark.parametrize(
    ("speed", "theta", "end"),
    [(SPEED, 0.0, 5.0), ([1.0, 3.0], 0.6, 3.0)],
    ids=["one speed", "two speeds and friction"],
)
def test_i8_cost_is_that_of_solve_bvp(speed, theta, end):
    """Section 3 of laws.md, right-hand sides written out here, x, w, p_x, p_w: 16 unknowns."""
    c = np.broadcast_to(speed, 2)[:, None]
    phi = lambda t: np.exp(theta * t)  # noqa: E731

    def equations(t, y):
        x, w, p_x, p_w = y[:2], y[2:8].reshape(2, 3, -1), y[8:10], y[10:].reshape(2, 3, -1)
        s = np.concatenate([np.ones((1, x.shape[1])), x])  # sources: the constant, the neurons
        drive = np.tanh(np.einsum("ijt,jt->it", w, s))
        back = c * (1 - drive**2) * p_x  # c_i σ'(a_i) p_x
        loss_x = np.stack([Q * (x[0] - 0.5 * np.sin(t)), np.zeros_like(t)])
        x_dot = c * (drive - x)
        p_x_dot = c * p_x - np.einsum("ijt,it->jt", w[:, 1:], back) - loss_x * phi(t)
        p_w_dot = -back[:, None] * s[None] - 2 * R_W * w * phi(t)
        flat = lambda a: a.reshape(6, -1)  # noqa: E731
        return np.concatenate([x_dot, flat(-p_w / (R * phi(t))), p_x_dot, flat(p_w_dot)])

    def ends(a, b):
        return np.concatenate([a[:2] - X0, a[2:8] - W0.ravel(), b[8:]])

    t = np.linspace(0, end, 200)
    guess = np.zeros((16, len(t)))
    guess[:2], guess[2:8] = X0[:, None], W0.ravel()[:, None]
    found = scipy.integrate.solve_bvp(equations, ends, t, guess, tol=1e-6, max_nodes=20_000)
    assert found.success, found.message
    fine = np.linspace(0, end, 20_001)
    y, w_dot = found.sol(fine), -found.sol(fine)[10:] / (R * phi(fine))
    rate = (
        Q / 2 * (y[0] - 0.5 * np.sin(fine)) ** 2
        + R / 2 * (w_dot**2).sum(0)
        + R_W * (y[2:8] ** 2).sum(0)
    )
    expected = scipy.integrate.simpson(rate * phi(fine), x=fine)

    steps = round(end / 0.005)
    solution = oracle.solve(_tracking(end / steps, steps, speed=speed, dissipation=theta))
    _holds(solution)
    # 1 % is asked for; the rectangle rule of the grid errs by O(τ) = O(0.005).
    np.testing.assert_allclose(solution.cost, expected, rtol=0.01)
    at = np.linspace(0, steps, 11).astype(int)
    y = found.sol(at * end / steps)
    np.testing.assert_allclose(solution.x[at], y[:2].T, atol=0.01)
    np.testing.assert_allclose(solution.w[at].reshape(11, 6), y[2:8].T, atol=0.01)
    scale = np.abs(found.y[8:]).max()
    np.testing.assert_allclose(solution.p_x[at], y[8:10].T, atol=0.02 * scale)
    np.testing.assert_allclose(solution.p_w[at].reshape(11, 6), y[10:].T, atol=0.02 * scale)


def test_i8_residual_of_the_continuous_equations_falls_like_the_step():
    sizes = []
    for steps in (100, 400):
        tau = 5.0 / steps * np.resize([0.6, 1.4], steps)
        solution = oracle.solve(_tracking(tau, steps), random_starts=0)
        _holds(solution)
        sizes.append(max(solution.continuous_residual.values()))
    order = np.log(sizes[0] / sizes[1]) / np.log(4)
    assert 0.8 < order < 1.3, sizes


@pytest.mark.parametrize("settings", [{"dissipation": 0.5}, {"integrator": ExponentialEuler()}])
def test_i8_holds_with_dissipation_and_with_exponential_steps(settings):
    _holds(oracle.solve(_tracking(0.05, 100, **settings), random_starts=0))


def test_i8_holds_at_infinite_speed_for_blocks_and_on_an_uneven_grid():
    rng = np.random.default_rng(0)
    network = Layered.dense([2, 3, 1])
    x, w = network.init(jax.random.key(0))
    steps = 60
    u, z = rng.standard_normal((steps, 2)), rng.standard_normal((steps, 1))
    problem = oracle.Problem(
        network,
        Cost(SquaredError(), weight_decay=0.01),
        u,
        z,
        x,
        w,
        rng.uniform(0.5, 1.5, steps),
        integrator=ExponentialEuler(),
    )
    solution = oracle.solve(problem, random_starts=1)
    _holds(solution)
    assert solution.w["hidden1"].weight.shape == (steps + 1, 3, 2)


def test_costates_are_finite_differences_of_the_action():
    """p_x(0) and p_w(0) are the derivatives of the least action in its initial conditions."""
    problem = _tracking(0.05, 100)
    solution = oracle.solve(problem, random_starts=0)
    step = 1e-4
    for name, costate in (("x0", solution.p_x), ("w0", solution.p_w)):
        start = getattr(problem, name)
        place = (1,) * start.ndim
        costs = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * step
            fields = {"x0": X0, "w0": W0, name: moved}
            other = oracle.Problem(
                problem.network, problem.cost, problem.u, problem.z, tau=0.05,
                mass=problem.mass, **fields,
            )  # fmt: skip
            costs.append(oracle.solve(other, [solution.w], random_starts=0).cost)
        # Envelope theorem; the central difference errs by step² and rounding / step.
        measured = (costs[0] - costs[1]) / (2 * step)
        np.testing.assert_allclose(costate[(0, *place)], measured, rtol=1e-5, atol=1e-7)


def test_fixed_weights_stay():
    network = Digraph.complete(2, speed=SPEED, fixed={("x0", "x1"): 0.25})
    w0 = np.where(np.asarray(network.plastic), W0, 0.25)
    z = 0.5 * np.sin(0.05 * np.arange(100))[:, None]
    problem = oracle.Problem(network, Cost(SquaredError(Q)), np.zeros((100, 0)), z, X0, w0, 0.05)
    solution = oracle.solve(problem)
    _holds(solution)
    held = ~np.asarray(network.plastic)
    assert held.sum() == 1
    assert np.all(solution.w[:, held] == 0.25)
    assert np.ptp(solution.w[:, ~held], axis=0).min() > 0
    # Of the continuous equations, too: a weight that is held has none to break.
    assert all(value < 0.15 for value in solution.continuous_residual.values())  # of order τ


def _policy_weights(problem, policy, integrator, weights):
    """The weights that a policy gives, hop by hop, on the problem's own grid."""
    law = Hamiltonian(policy, Constant(problem.mass), integrator=integrator, weights=weights)
    network, cost = problem.network, problem.cost
    phase = law.init(network, cost, jax.random.key(0))
    phase = type(phase)(X0, phase.costate, W0, phase.momentum, None, phase.time, phase.hop)
    phase = jax.tree.map(jax.numpy.asarray, phase)

    def hop(phase, sample):
        after = law.hop(network, cost, phase, *sample, problem.tau)
        return after, after.w

    _, w = jax.lax.scan(hop, phase, (problem.u, problem.z))
    return np.concatenate([W0[None], np.asarray(w)])


def test_i8_cost_is_below_every_policys(x64):
    del x64
    # Slow against the step, so that the sign flip tracks at all.
    problem = _tracking(0.1, 200, q=100.0, r=0.1, r_w=1.0)
    policies = {
        "costate reversal": (CostateReversal(), ExponentialEuler(), "semi-implicit"),
        "sign flip": (SignFlip(1), ExplicitEuler(), "explicit"),
        "cauchy": (Cauchy(), ExplicitEuler(), "explicit"),
    }
    trajectories = {name: _policy_weights(problem, *p) for name, p in policies.items()}
    finite = [w for w in trajectories.values() if np.all(np.abs(w) < 1e6)]
    assert len(finite) >= 2
    solution = oracle.solve(problem, finite)
    _holds(solution)
    for name, w in trajectories.items():
        replayed = problem.replay(w)[1]
        assert not replayed <= solution.cost, name  # NaN is no smaller cost either
    np.testing.assert_allclose(problem.replay(solution.w)[1], solution.cost, rtol=1e-12)


def _patched(rng, omega, tau, steps):
    """Cosines and constants in patches of 0.3 to 1.2 base periods, amplitude 0.6."""
    t, z, k = tau * np.arange(steps), np.zeros(steps), 0
    while k < steps:
        length = int(rng.uniform(0.3, 1.2) * 2 * np.pi / omega / tau)
        place = slice(k, k + length)
        if rng.uniform() < 0.5:
            z[place] = 0.6 * np.cos(omega * rng.uniform(0.5, 2) * t[place] + rng.uniform(0, 6))
        else:
            z[place] = rng.uniform(-0.6, 0.6)
        k += length
    return z[:, None]


@pytest.mark.slow
def test_the_scale_of_a_paper_run_five_neurons_three_periods():
    rng, omega, tau, c = np.random.default_rng(0), 0.02, 0.5, 2.0
    steps = int(3 * 2 * np.pi / omega / tau)
    z = _patched(rng, omega, tau, steps)
    problem = oracle.Problem(
        Digraph.complete(5, bias=False, speed=c),
        Cost(SquaredError(100 / c), weight_decay=2 / c),
        np.zeros((steps, 0)),
        z,
        rng.uniform(0, 1, 5),
        rng.uniform(0, 1, (5, 5)),
        tau,
        mass=0.1 / c,
    )
    solution = oracle.solve(problem)
    _holds(solution)
    untracked = tau * 50 * np.sum(z**2)
    error = (solution.x[:-1, :1] - z)[steps // 3 :]
    # laws.md, section 8, on another draw of the same signal: 1268 against 3534, NRMSE 0.079.
    assert solution.cost < 0.5 * untracked
    assert np.sqrt(np.mean(error**2) / np.mean(z[steps // 3 :] ** 2)) < 0.1


def test_problems_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="mass"):
        _tracking(0.1, 10, dissipation=-1.0)
    with pytest.raises(ConfigError, match="tau"):
        _tracking(-0.1, 10)
    problem = _tracking(0.1, 10)
    with pytest.raises(ConfigError, match="11 instants"):
        oracle.solve(problem, [np.zeros((10, 2, 3))])
    with pytest.raises(ConfigError, match="u has 9 rows"):
        oracle.Problem(problem.network, problem.cost, np.zeros((9, 0)), problem.z, X0, W0, 0.1)
