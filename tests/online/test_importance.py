"""Importance from the costates: the columns that matter stand above those that do not."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from localprop import Cost, Layered, Learner, Online, Samples, SquaredError
from localprop.online.importance import MEMORY, Importance

SEEDS = [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 10))]


@pytest.mark.parametrize("seed", SEEDS)
def test_friedmans_five_columns_stand_above_the_others(seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(10_000, 10))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    y += 10 * X[:, 3] + 5 * X[:, 4] + rng.normal(size=len(X))
    model = Online("regression", seed=seed)
    model.learn_many(X, y)
    assert set(list(model.importance())[:5]) == {f"x{i}" for i in range(5)}
    assert sum(model.importance().values()) == pytest.approx(1)


def test_the_order_follows_a_change_within_2000_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 3))
    y = np.where(np.arange(8000) < 6000, X[:, 0], X[:, 2]) > 0
    model = Online()
    model.learn_many(X[:6000], y[:6000])
    assert next(iter(model.importance())) == "x0"
    model.learn_many(X[6000:], y[6000:])
    assert next(iter(model.importance())) == "x2"


def test_the_costate_at_the_inputs_is_the_slope_of_the_loss(x64):
    network, cost = Layered.dense([3, 5, 4, 2]), Cost(SquaredError())
    learner = Learner(network, cost, settle=6, hops=7)
    phase = learner.init(jax.random.key(0))
    u, z = jax.numpy.array([0.3, -0.5, 1.0]), jax.numpy.array([0.2, -1.0])

    def loss(u):
        x = phase.x
        for _ in range(3):
            x = network.drive(x, phase.w, u)
        return cost.loss(network.output(x), z)

    # At the end of the settle hops nothing has moved the weights yet.
    *_, settled = (p for _, p in zip(range(6), learner._hops(phase, Samples(u, z)), strict=False))
    found = learner._input_slope(settled, u)
    np.testing.assert_allclose(found, jax.grad(loss)(u), rtol=1e-12)


def test_the_running_mean_is_a_plain_one_and_does_not_depend_on_the_pieces():
    rng = np.random.default_rng(0)
    u, slope = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    whole, cut = Importance(), Importance()
    whole.update(u, slope)
    for start in range(0, 300, 37):
        cut.update(u[start : start + 37], slope[start : start + 37])
    mean = np.zeros(4)
    for a, b in zip(u, slope, strict=True):
        mean += (np.abs(a * b) - mean) / MEMORY
    np.testing.assert_allclose(whole.means, mean, rtol=1e-12)
    np.testing.assert_array_equal(whole.means, cut.means)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_an_expert_that_derails_does_not_stay_in_the_mean(slope):
    importance = Importance()
    slopes = np.array([[1.0, 2.0], [slope, 2.0], [1.0, 2.0]], np.float32)
    importance.update(np.ones((3, 2), np.float32), slopes)
    keep = 1 - 1 / MEMORY
    expected = (1 - keep) * np.array([1 + keep, 2 * (1 + keep + keep**2)])
    np.testing.assert_allclose(importance.means, expected, rtol=1e-12)
