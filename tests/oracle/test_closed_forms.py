"""The boundary-value problem against closed forms: friction, mixed speeds, several minima."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
import scipy.linalg

from localprop import ConfigError, Cost, Digraph, ExponentialEuler, SquaredError, oracle
from localprop.oracle import boundary_value
from localprop.oracle.transcription import Grid

MASS, DECAY, SCALE, HELD, GOAL = 0.8, 0.3, 2.0, 0.7, 0.6
SPEED_A, SPEED_B = 1.0, 3.0
MEAN = (SPEED_A + SPEED_B) / 2
X0, W0 = np.array([0.2, -0.4]), np.array([[0.5, 0.0, 0.0], [-0.3, HELD, 0.0]])


def _linear(tau, theta, speed_a=SPEED_A, **settings):
    """Two linear neurons, u -> a -> b <- u with u = 1; the arc a -> b is held, b is to be at z."""
    network = Digraph.from_edges(
        [("u", "a"), ("u", "b"), ("a", "b")], inputs=["u"], outputs=["b"], bias=False,
        activation="identity", speed={"a": speed_a, "b": SPEED_B}, fixed={("a", "b"): HELD},
        storage="dense",
    )  # fmt: skip
    cost, u, z = (
        Cost(SquaredError(SCALE), weight_decay=DECAY),
        np.ones((len(tau), 1)),
        np.full((len(tau), 1), GOAL),
    )
    return oracle.Problem(
        network, cost, u, z, X0, W0, tau, mass=MASS, dissipation=theta, **settings
    )


def _by_matrix_exponential(theta, end, times):
    """Solves Hamilton's equations, linear here, for (x, w, p_x/φ, p_w/φ), weights from u only.

    ẋ_i = c_i (D_i - x_i), ẇ = -P_w/(mc), Ṗ = -θP - (derivatives of H)/φ, P(T) = 0.
    """
    x_a, x_b, w_a, w_b, p_a, p_b, q_a, q_b, one = np.eye(9)
    rate = np.zeros((9, 9))
    rate[0] = SPEED_A * (w_a - x_a)
    rate[1] = SPEED_B * (w_b + HELD * x_a - x_b)
    rate[2], rate[3] = -q_a / (MASS * MEAN), -q_b / (MASS * MEAN)
    rate[4] = (SPEED_A - theta) * p_a - SPEED_B * HELD * p_b
    rate[5] = (SPEED_B - theta) * p_b - MEAN * SCALE * (x_b - GOAL * one)
    rate[6] = -theta * q_a - SPEED_A * p_a - MEAN * DECAY * w_a
    rate[7] = -theta * q_b - SPEED_B * p_b - MEAN * DECAY * w_b
    known = np.concatenate([X0, W0[:, 0]])
    over = scipy.linalg.expm(end * rate)
    # P(T) = 0 tells the four costates at the start.
    costates = np.linalg.solve(over[4:8, 4:8], -over[4:8, :4] @ known - over[4:8, 8])
    start = np.concatenate([known, costates, [1.0]])
    return np.stack([scipy.linalg.expm(t * rate) @ start for t in times])[:, :8]


def test_i8_two_speeds_under_friction_follow_the_matrix_exponential():
    theta, end, steps = 0.9, 3.0, 240
    solution = oracle.solve(_linear(np.full(steps, end / steps), theta), random_starts=0)
    assert max(solution.end, *solution.residual.values()) < 1e-9
    at = np.linspace(0, end, 7)
    rows, phi = np.arange(7) * steps // 6, np.exp(theta * at)[:, None]
    p_x, p_w = solution.p_x[rows] / phi, solution.p_w[rows, :, 0] / phi
    found = np.concatenate([solution.x[rows], solution.w[rows, :, 0], p_x, p_w], axis=1)
    exact = _by_matrix_exponential(theta, end, at)
    # Order 1: half a step of 0.0125 times rates of order 1, and halved with the step (measured).
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.0125)


def test_the_action_is_the_sum_written_out_with_friction_at_the_beginning_of_each_step():
    rng, theta, steps = np.random.default_rng(0), 0.9, 30
    tau = rng.uniform(0.05, 0.2, steps)
    w = np.where([[1, 0, 0], [1, 0, 0]], rng.standard_normal((steps + 1, 2, 3)), W0)
    w[0] = W0
    x, t, expected, path = X0, 0.0, 0.0, [X0]
    for k in range(steps):
        v = (w[k + 1] - w[k]) / tau[k]
        rate = MASS / 2 * (v**2).sum() + DECAY / 2 * (w[k] ** 2).sum()
        rate += SCALE / 2 * (x[1] - GOAL) ** 2
        expected += tau[k] * np.exp(theta * t) * MEAN * rate
        drive = np.array([w[k, 0, 0], w[k, 1, 0] + HELD * x[0]])
        x, t = x + tau[k] * np.array([SPEED_A, SPEED_B]) * (drive - x), t + tau[k]
        path.append(x)
    state, action = _linear(tau, theta).replay(w)
    np.testing.assert_allclose(state, path, rtol=1e-12)
    np.testing.assert_allclose(action, expected, rtol=1e-12)


def test_the_end_tells_how_far_a_trajectory_is_from_a_stationary_one():
    """Of weights that still move at the end; the costates of the state vanish there in any case."""
    theta, tau = 0.9, np.array([0.1, 0.3, 0.2])
    problem = _linear(tau, theta)
    w = np.tile(W0, (4, 1, 1))
    w[:, :, 0] += [[0, 0], [0.1, 0.2], [0.4, -0.1], [0.3, 0.6]]
    with jax.enable_x64(True):
        grid = Grid(problem)
        solution = boundary_value._solution(grid, grid.flatten(w), ())
    # p_w = -m c φ ẇ, φ of the beginning of the step.
    phi = np.exp(theta * np.array([0.0, 0.1, 0.4]))[:, None]
    expected = -MASS * MEAN * phi * np.diff(w[:, :, 0], axis=0) / tau[:, None]
    np.testing.assert_allclose(solution.p_w[1:, :, 0], expected, rtol=1e-12)
    np.testing.assert_array_equal(solution.p_x[-1], 0)
    np.testing.assert_allclose(solution.end, np.abs(expected[-1]).max(), rtol=1e-12)
    assert np.abs(expected[-1]).argmax() == 1  # not the first, nor all of one sign
    assert expected[-1].max() > 0 > expected[-1].min()


def _saddle(steps, z):
    """y = w_2 tanh(w_1 u) with both weights 0, a stationary point for every target."""
    network = Digraph.layered([1, 1, 1], bias=False, speed=1.0)
    return oracle.Problem(
        network, Cost(SquaredError(20.0), weight_decay=0.01), np.ones((steps, 1)), z,
        np.zeros(2), np.zeros((2, 3)), 0.25, mass=0.5,
    )  # fmt: skip


def _learned(steps):
    """Both weights glide to 1: the output becomes positive."""
    w = np.zeros((steps + 1, 2, 3))
    w[:, 0, 0] = w[:, 1, 1] = np.minimum(1.0, np.arange(steps + 1) / 8)
    return w


def test_a_cold_start_that_ends_in_a_worse_stationary_point_is_told():
    problem = _saddle(40, np.full((40, 1), 0.5))
    with pytest.warns(UserWarning, match="several stationary trajectories"):
        solution = oracle.solve(problem, [_learned(40)], random_starts=0)
    held = 40 * 0.25 * 10 * 0.5**2  # weights at 0: q/2 z² per unit of time
    np.testing.assert_allclose(solution.starts[0], held, rtol=1e-12)
    assert solution.cost < 0.5 * held
    # A start of its own that leaves the saddle is as good: nothing to tell.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = oracle.solve(problem, [solution.w], random_starts=2)
    np.testing.assert_allclose(again.cost, solution.cost, rtol=1e-6)


def test_where_every_other_step_misleads_the_best_start_is_descended_from(monkeypatch):
    monkeypatch.setattr(boundary_value, "LONG", 20)
    # Every second target is 0, and these are the ones that a grid of two steps in one sees.
    z = np.where(np.arange(40) % 2, 0.8, 0.0)[:, None]
    problem, warm = _saddle(40, z), _learned(40)
    with pytest.warns(UserWarning, match="several stationary trajectories"):
        solution = oracle.solve(problem, [warm], random_starts=0)
    (rest, _), (given, _) = solution.starts
    assert given < rest
    np.testing.assert_allclose(given, problem.replay(warm)[1], rtol=1e-12)
    assert solution.cost < given
    assert max(solution.residual.values()) < 1e-4


def test_a_network_too_large_for_curvature_is_solved_by_first_derivatives(monkeypatch):
    def never(*arguments):
        raise AssertionError("no second derivatives")

    problem = _linear(np.full(20, 0.1), 0.5)
    expected = oracle.solve(problem, random_starts=0)
    monkeypatch.setattr(boundary_value.newton, "minimise", never)
    # The curvature of 20 steps in 2 neurons and 6 weights.
    monkeypatch.setattr(boundary_value, "MOST_CURVATURE", 20 * (2 + 6) ** 2 - 1)
    found = oracle.solve(problem, random_starts=0)
    # L-BFGS stops where the action no longer falls in float64: errors of its root.
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-9)
    np.testing.assert_allclose(found.w, expected.w, atol=1e-4)


def test_where_nothing_moves_no_residual_is_left():
    network = Digraph.complete(1, bias=False, speed=1.0)
    u, z, zero = np.zeros((5, 0)), np.zeros((5, 1)), np.zeros((1, 1))
    problem = oracle.Problem(network, Cost(SquaredError()), u, z, np.zeros(1), zero, 0.1)
    solution = oracle.solve(problem, random_starts=0)
    parts = (*solution.residual.values(), *solution.continuous_residual.values())
    assert set(parts) == {0.0}
    assert (solution.cost, solution.end) == (0.0, 0.0)


def test_speeds_of_which_some_are_infinite_take_exponential_steps():
    tau = np.full(20, 0.1)
    with pytest.raises(ConfigError, match="explicit Euler"):
        _linear(tau, 0.0, speed_a=np.inf)
    problem = _linear(tau, 0.5, speed_a=np.inf, integrator=ExponentialEuler())
    w = np.tile(W0, (21, 1, 1))
    w[1:, :, 0] = np.random.default_rng(0).standard_normal((20, 2))
    with jax.enable_x64(True):
        grid = Grid(problem)
        solution = boundary_value._solution(grid, grid.flatten(w), ())
    assert np.isnan(list(solution.continuous_residual.values())).all()
    x = np.asarray(solution.x)
    np.testing.assert_allclose(x[1:, 0], w[:-1, 0, 0], rtol=1e-12)  # a is its drive at once
    slow, drive = np.exp(-SPEED_B * 0.1), w[:-1, 1, 0] + HELD * x[:-1, 0]
    np.testing.assert_allclose(x[1:, 1], slow * x[:-1, 1] + (1 - slow) * drive, rtol=1e-12)
