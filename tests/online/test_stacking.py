"""Experts put together by learned weights: against scikit-learn's ridge and JAX's gradients."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from localprop.online.stacking import StackedClasses, StackedNumbers


def test_numbers_are_put_together_by_a_ridge_that_forgets():
    rng = np.random.default_rng(0)
    said, guess = rng.normal(size=(150, 4)), rng.normal(size=150)
    truth = said @ [0.9, -0.4, 0.3, 0.0] + 0.2 * rng.standard_t(2, 150)
    truth[::7] = np.nan
    found = StackedNumbers(4).learn(said, guess, truth)
    x, y = np.clip(said - guess[:, None], -3, 3), truth - guess
    weights = np.zeros(0)
    for t in range(150):
        known = np.isfinite(y[:t])
        expected = 0.0
        if known.any():
            age = np.cumsum(known[::-1])[::-1][known] - 1  # rows learned from since
            ridge = Ridge(alpha=3.0, fit_intercept=False, solver="cholesky")
            ridge.fit(x[:t][known], y[:t][known], sample_weight=weights * 0.998**age)
            expected = ridge.predict(x[t : t + 1])[0]
        np.testing.assert_allclose(found[t] - guess[t], np.clip(expected, -3, 3), atol=1e-9)
        if np.isfinite(y[t]):
            weights = np.append(weights, min(1.0, 0.3 / abs(y[t] - expected)))


def test_classes_are_put_together_along_the_gradient_of_their_log_loss():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(5), size=(60, 3))
    known = np.repeat([0, 1, 4, 5], 15)
    shares *= np.arange(5) < known[:, None, None]  # classes that were not met yet
    truth = rng.integers(-1, 5, 60)
    found = StackedClasses(3).learn(shares, known, truth)

    with jax.enable_x64(True):

        def log_pool(weights, row, classes):
            logs = jnp.log(jnp.maximum(row[:, :classes], 1e-3))
            return jax.nn.log_softmax(weights @ logs)

        weights, square = jnp.full(3, 1 / 3), 0.0
        for t, (row, classes, y) in enumerate(zip(shares, known.tolist(), truth, strict=True)):
            if not classes:
                assert not found[t].any()
                continue
            expected = np.exp(log_pool(weights, row, classes))
            np.testing.assert_allclose(found[t, :classes], expected, atol=1e-12)
            assert not found[t, classes:].any()
            if 0 <= y < classes:
                slope = jax.grad(lambda w, r=row, c=classes, y=y: -log_pool(w, r, c)[y])(weights)
                square = 0.995 * square + float(slope @ slope) / 3
                weights = weights - 0.05 * slope / np.sqrt(square + 10.0)


rows = st.lists(
    st.tuples(*[st.floats(-1e300, 1e300) | st.sampled_from([np.nan, np.inf, -np.inf])] * 4),
    min_size=2,
    max_size=40,
)


@settings(max_examples=50)
@given(rows, st.lists(st.integers(1, 39), max_size=4))
def test_whatever_is_said_the_answer_is_finite_and_no_cut_changes_a_bit(table, cuts):
    table = np.array(table)
    whole = StackedNumbers(2).learn(table[:, :2], table[:, 2], table[:, 3])
    assert np.isfinite(whole).all()
    parts, found = StackedNumbers(2), []
    for a, b in pairwise(sorted({0, len(table), *(c for c in cuts if c < len(table))})):
        here = table[a:b]
        found.append(parts.learn(here[:, :2], here[:, 2], here[:, 3]))
        parts = StackedNumbers(2, parts.state())
    np.testing.assert_array_equal(np.concatenate(found), whole)


def test_experts_that_say_the_same_wrong_thing_are_corrected():
    """What no mean of them could do."""
    truth = np.sin(np.arange(2000) / 3)
    said = np.stack([0.6 * truth, 0.7 * truth], axis=1)
    found = StackedNumbers(2).learn(said, np.zeros(2000), truth)
    assert np.abs(found - truth)[1000:].mean() < 0.02
