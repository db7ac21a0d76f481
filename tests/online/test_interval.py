"""Intervals hold as often as they say, also where the noise jumps."""

from __future__ import annotations

import numpy as np
import pytest
from river import datasets

from localprop import ConfigError, Online
from localprop.online.interval import LEVELS, STEP, Intervals


def errors(kind, rng, rows=4000):
    noise = rng.standard_t(2, rows) if kind == "heavy tails" else rng.normal(size=rows)
    if kind == "jumps":
        noise *= np.repeat([1.0, 10.0, 0.3, 4.0], rows // 4)
    if kind == "grows":
        noise *= np.exp(np.linspace(0, 5, rows))
    return np.abs(noise)


@pytest.mark.parametrize("level", [0.5, 0.65, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("kind", ["steady", "heavy tails", "jumps", "grows"])
def test_radii_hold_the_errors_as_often_as_they_say(kind, level):
    found = errors(kind, np.random.default_rng(1))
    radii = Intervals().update(found, level)
    assert abs(np.mean(found[500:] <= radii[500:]) - level) < 0.02


def test_the_radius_moves_as_the_formula_says_and_not_by_the_cut():
    found = errors("steady", np.random.default_rng(0), 120)
    whole, cut = Intervals(), Intervals()
    radii = whole.update(found)
    parts = [cut.update(found[a:b]) for a, b in [(0, 1), (1, 50), (50, 120)]]
    np.testing.assert_array_equal(radii, np.concatenate(parts))
    kept = Intervals(whole.state())
    before, size = whole.radii.copy(), whole.size
    kept.update(np.array([2.0]))
    missed = size * np.exp(before) < 2.0
    np.testing.assert_allclose(kept.radii - before, STEP * (missed - (1 - LEVELS)), atol=1e-6)


@pytest.mark.parametrize("jump", [False, True])
def test_a_regression_stream_is_covered(jump):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    scale = np.where(np.arange(4000) < 2200, 0.2, 2.0) if jump else 0.2
    y = X[:, 0] * X[:, 1] + scale * rng.normal(size=4000)
    model = Online("regression", hidden=(16,))
    model.learn_many(X[:500], y[:500])
    model.task.covered = [0, 0]
    model.learn_many(X[500:], y[500:])
    inside, judged = model.task.covered
    assert judged == 3500
    assert abs(inside / judged - 0.9) < 0.02


def test_trump_approval_is_covered():
    model = Online("regression")
    rows = list(datasets.TrumpApproval())
    model.learn_many([x for x, _ in rows[:500]], [y for _, y in rows[:500]])
    model.task.covered = [0, 0]
    model.learn_many([x for x, _ in rows[500:]], [y for _, y in rows[500:]])
    inside, judged = model.task.covered
    assert abs(inside / judged - 0.9) < 0.02


@pytest.mark.parametrize("horizon", [1, 13])
def test_a_forecast_is_covered_where_the_noise_jumps(horizon):
    rng, t = np.random.default_rng(0), np.arange(3000)
    y = np.sin(t / 20) + np.where(t < 1700, 0.1, 0.8) * rng.normal(size=3000)
    model = Online(horizon=horizon, hidden=(8,))
    model.learn_many({"t": t[:500]}, y[:500])
    model.task.covered = [0, 0]
    model.learn_many({"t": t[500:]}, y[500:])
    inside, judged = model.task.covered
    assert judged == 2500
    assert abs(inside / judged - 0.9) < 0.02


def test_what_has_no_interval_says_so():
    model = Online("regression", hidden=(3,))
    assert model.predict_interval_one({"a": 1.0}) is None
    for k in range(40):
        model.learn_one({"a": float(k % 5)}, float(k % 5))
    low, high = model.predict_interval_one({"a": 2.0}, 0.5)
    wide = model.predict_interval_one({"a": 2.0}, 0.99)
    assert wide[0] <= low <= model.predict_one({"a": 2.0}) <= high <= wide[1]
    with pytest.raises(ConfigError, match="between 0 and 1"):
        model.predict_interval_one({"a": 2.0}, 1.5)
    with pytest.raises(ConfigError, match="ask for an interval"):
        model.predict_proba_one({"a": 2.0})
    with pytest.raises(ConfigError, match="ask for their probabilities"):
        Online("classification").predict_interval_one({"a": 2.0})
