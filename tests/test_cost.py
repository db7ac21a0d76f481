"""Losses and regularisers against Optax, autodiff and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import huber, log_softmax, softmax

from localprop import ConfigError, Cost, Huber, SoftmaxCrossEntropy, SquaredError, StreamError

# XLA counts subnormal numbers as 0.
numbers = st.floats(-50, 50, allow_subnormal=False)
cross_entropy = jax.jit(jax.value_and_grad(SoftmaxCrossEntropy()))


@jax.jit
def squared_error(output, z, scale):
    return jax.value_and_grad(lambda o: scale * Cost(SquaredError()).target_loss(o, z))(output)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    logits=hnp.arrays(float, 5, elements=numbers),
    exists=hnp.arrays(bool, 5),
    label=st.integers(0, 4),
)
def test_cross_entropy_leaves_absent_classes_out_of_the_softmax(logits, exists, label):
    exists[label] = True
    z = np.where(exists, np.eye(5)[label], np.nan)
    with jax.enable_x64(True):
        value, gradient = cross_entropy(jnp.asarray(logits), jnp.asarray(z))
    few, target = logits[exists], z[exists]
    np.testing.assert_allclose(value, -(target @ log_softmax(few)), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient[exists], softmax(few) - target, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(gradient[~exists], 0)


def test_cross_entropy_of_existing_classes_is_optax_s():
    logits, z = jnp.array([0.3, -1.2, 2.0]), jnp.array([0.5, 0.1, 0.4])
    ours = jax.value_and_grad(SoftmaxCrossEntropy())(logits, z)
    theirs = jax.value_and_grad(optax.softmax_cross_entropy)(logits, z)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_cross_entropy_of_a_sample_without_any_class_is_zero_with_zero_gradient():
    for cost in (SoftmaxCrossEntropy(), Cost(SoftmaxCrossEntropy()).target_loss):
        value, gradient = jax.value_and_grad(cost)(jnp.array([3.0, -1.0]), jnp.full(2, jnp.nan))
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)


def test_cross_entropy_takes_probabilities_and_extreme_logits():
    z = jnp.array([0.2, 0.8, jnp.nan])
    gradient = jax.grad(SoftmaxCrossEntropy())(jnp.array([1e30, -1e30, 1e38]), z)
    np.testing.assert_allclose(gradient, [0.8, -0.8, 0.0], rtol=1e-6)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    output=hnp.arrays(float, 4, elements=numbers),
    z=hnp.arrays(float, 4, elements=st.one_of(numbers, st.just(np.nan))),
    scale=st.floats(0.1, 10),
)
def test_squared_error_skips_components_without_target(output, z, scale):
    with jax.enable_x64(True):
        value, gradient = squared_error(jnp.asarray(output), jnp.asarray(z), scale)
    error = (output - z)[~np.isnan(z)]
    np.testing.assert_allclose(value, scale * error @ error / 2, rtol=1e-12)
    np.testing.assert_allclose(gradient[~np.isnan(z)], scale * error, rtol=1e-12)
    np.testing.assert_array_equal(gradient[np.isnan(z)], 0)


def test_scale_of_the_squared_error():
    assert SquaredError(3.0)(jnp.array([2.0]), jnp.array([0.0])) == 6.0


def test_any_callable_is_a_loss_and_missing_targets_never_reach_it():
    cost = Cost(lambda output, z: jnp.sum(jnp.log1p((output - z) ** 2)))
    output = jnp.array([0.5, -2.0])
    gradient = jax.grad(cost.target_loss)(output, jnp.zeros(2))
    np.testing.assert_allclose(gradient, 2 * output / (1 + output**2), rtol=1e-6)
    for far in (1.0, 3e38, jnp.inf):
        gradient = jax.grad(cost.target_loss)(far * output, jnp.full(2, jnp.nan))
        np.testing.assert_array_equal(gradient, 0)


def test_a_target_of_another_shape_is_not_broadcast():
    for z in (jnp.ones(()), jnp.ones(1), jnp.ones(4)):
        with pytest.raises(StreamError, match="shape"):
            SquaredError()(jnp.ones(3), z)


def test_penalty_is_half_the_squared_norm_and_its_gradient_is_its_derivative():
    w = {"a": jnp.array([1.0, -2.0]), "b": (jnp.array([[3.0]]), None)}
    cost = Cost(SquaredError(), weight_decay=0.4)
    np.testing.assert_allclose(cost.penalty(w), 0.2 * 14, rtol=1e-6)
    for c in (cost, Cost(SquaredError(), 0.4, lambda w: jnp.sum(jnp.abs(w["a"]) ** 3))):
        expected = jax.grad(c.penalty)(w)
        for a, b in zip(*map(jax.tree.leaves, (c.penalty_gradient(w), expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert Cost(SquaredError()).penalty_gradient(w) is None


def test_settings_that_make_no_sense_are_refused():
    for decay in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match="weight_decay"):
            Cost(SquaredError(), weight_decay=decay)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_squared_error_needs_a_scale_above_0(scale):
    with pytest.raises(ConfigError, match="scale of the squared error"):
        SquaredError(scale)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    output=hnp.arrays(float, 4, elements=numbers),
    z=hnp.arrays(float, 4, elements=st.one_of(numbers, st.just(np.nan))),
    delta=st.sampled_from([0.3, 1.0, 20.0]),
)
def test_hubers_loss_is_scipy_s_and_optax_s(output, z, delta):
    known = ~np.isnan(z)
    with jax.enable_x64(True):
        value, gradient = hubers[delta](jnp.asarray(output), jnp.asarray(z))
        theirs = optax.losses.huber_loss(output[known], z[known], delta=delta).sum()
    error = (output - z)[known]
    np.testing.assert_allclose(value, huber(delta, error).sum(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(value, theirs, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient[known], np.clip(error, -delta, delta), rtol=1e-12)
    np.testing.assert_array_equal(gradient[~known], 0)


hubers = {delta: jax.jit(jax.value_and_grad(Huber(delta))) for delta in (0.3, 1.0, 20.0)}
smoothed = jax.jit(jax.value_and_grad(SoftmaxCrossEntropy(0.2)))


@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    logits=hnp.arrays(float, 5, elements=numbers),
    exists=hnp.arrays(bool, 5),
    label=st.integers(0, 4),
)
def test_smoothing_is_optax_s_among_the_classes_that_exist(logits, exists, label):
    exists[label] = True
    z = np.where(exists, np.eye(5)[label], np.nan)
    with jax.enable_x64(True):
        value, gradient = smoothed(jnp.asarray(logits), jnp.asarray(z))
        few = jnp.asarray(logits[exists])
        q = optax.smooth_labels(jnp.asarray(z[exists]), 0.2)
        theirs = optax.softmax_cross_entropy(few, q)
    np.testing.assert_allclose(value, theirs, rtol=1e-12, atol=1e-14)
    expected = softmax(logits[exists]) - np.asarray(q)
    np.testing.assert_allclose(gradient[exists], expected, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(gradient[~exists], 0)
    if exists.sum() > 1:  # the least loss is at finite logits
        best = np.log(np.asarray(q))
        at_best = jax.grad(SoftmaxCrossEntropy(0.2))(jnp.asarray(best), jnp.asarray(z[exists]))
        np.testing.assert_allclose(at_best, 0, atol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.0, np.nan])
def test_a_smoothing_or_a_delta_that_makes_no_sense_is_refused(value):
    with pytest.raises(ConfigError, match="smoothing is"):
        SoftmaxCrossEntropy(value)
    with pytest.raises(ConfigError, match="delta of Huber's loss is"):
        Huber(-value if value > 0 else value)
    with pytest.raises(ConfigError, match="delta of Huber's loss is inf"):
        Huber(np.inf)
