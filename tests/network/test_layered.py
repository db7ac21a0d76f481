"""Blocks: skips, feedback, several inputs, joins, speeds, depth."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Block, Cost, Hamiltonian, Layered, Learner, SquaredError
from localprop.network import add, concatenate

linear = partial(partial, eqx.nn.Linear)


@pytest.mark.usefixtures("x64")
def test_skips_joins_and_several_inputs_compute_what_they_say():
    blocks = {
        "left": Block(linear(3, 4), ["a"], "tanh"),
        "right": Block(linear(2, 4), ["b"], "relu"),
        "sum": Block(linear(4, 4), ["left", "right"], "logistic", join=add),
        "head": Block(linear(4 + 2, 2), ["sum", "b"], join=concatenate),
    }
    network = Layered(blocks, inputs={"a": (3,), "b": (2,)}, output="head")
    assert network.depth == 3
    x, w = network.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    u = {"a": jnp.asarray(rng.standard_normal(3)), "b": jnp.asarray(rng.standard_normal(2))}
    for _ in range(network.depth):
        x = network.drive(x, w, u)
    affine = lambda name, v: w[name].weight @ v + w[name].bias  # noqa: E731
    left, right = np.tanh(affine("left", u["a"])), np.maximum(affine("right", u["b"]), 0)
    middle = 1 / (1 + np.exp(-affine("sum", left + right)))
    np.testing.assert_allclose(
        network.output(x), affine("head", np.concatenate([middle, u["b"]])), rtol=1e-13
    )


@pytest.mark.usefixtures("x64")
def test_blocks_relax_with_their_own_speed():
    blocks = {
        "slow": Block(linear(2, 2), ["input"], "tanh", speed=0.5),
        "fast": Block(linear(2, 1), ["slow"]),
    }
    network = Layered(blocks, inputs=(2,), output="fast")
    law, cost = Hamiltonian(), Cost(SquaredError())
    phase = law.init(network, cost, jax.random.key(0))
    u = jnp.array([1.0, -1.0])
    drive = network.drive(phase.x, phase.w, u)
    after = law.relax(network, phase, u, 0.8).x
    np.testing.assert_allclose(after["slow"], (1 - np.exp(-0.4)) * drive["slow"], rtol=1e-14)
    np.testing.assert_array_equal(after["fast"], drive["fast"])


def test_ready_modules_and_makers_are_both_taken():
    ready = eqx.nn.Linear(3, 2, key=jax.random.key(7))
    made = Layered({"y": Block(linear(3, 2), ["input"])}, inputs=(3,), output="y")
    given = Layered({"y": Block(ready, ["input"])}, inputs=(3,), output="y")
    keys = jax.random.split(jax.random.key(1), 2)
    np.testing.assert_array_equal(given.init(keys[0])[1]["y"].weight, ready.weight)
    a, b = (made.init(key)[1]["y"].weight for key in keys)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, made.init(keys[0])[1]["y"].weight)


def test_dense_starts_with_variance_one_over_fan_in():
    network = Layered.dense([400, 300, 50], output_scale=0.1, bias_scale=0.0)
    _, w = network.init(jax.random.key(0))
    # Standard error of a standard deviation from n samples: 1/√(2n) of it; four of these.
    for name, scale in (("hidden1", 1 / np.sqrt(400)), ("output", 0.1 / np.sqrt(300))):
        spread = np.std(w[name].weight)
        assert abs(spread / scale - 1) < 4 / np.sqrt(2 * w[name].weight.size)
        np.testing.assert_array_equal(w[name].bias, 0)


def test_biases_of_hidden_layers_start_with_the_spread_asked_for_those_of_outputs_at_0():
    network = Layered.dense([3, 400, 300, 5], bias_scale=0.7)
    _, w = network.init(jax.random.key(0))
    for name in ("hidden1", "hidden2"):
        bias = np.asarray(w[name].bias)
        assert abs(bias.std() / 0.7 - 1) < 4 / np.sqrt(2 * bias.size)
        assert abs(bias.mean()) < 4 * 0.7 / np.sqrt(bias.size)
        # Drawn apart from the weights, of which the spread stays what it was.
        first = np.ravel(w[name].weight)[: bias.size]
        assert abs(np.corrcoef(bias, first)[0, 1]) < 4 / np.sqrt(bias.size)
        scale = np.sqrt(w[name].weight.shape[1])
        spread = np.asarray(w[name].weight).std() * scale
        assert abs(spread - 1) < 4 / np.sqrt(2 * w[name].weight.size)
    np.testing.assert_array_equal(w["output"].bias, 0)


def test_any_network_learns_in_the_compiled_loop_with_feedback():
    blocks = {
        "conv": Block(partial(eqx.nn.Conv1d, 2, 3, 3, padding=1), ["input", "back"], "tanh"),
        "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
        "head": Block(linear(15, 1), ["flat"]),
        "back": Block(eqx.nn.Lambda(lambda y: jnp.tile(y, (1, 5))), ["head"], "tanh", shape=(1, 5)),
    }
    network = Layered(blocks, inputs=(1, 5), output="head")
    assert network.depth == 3
    law = Hamiltonian(mass=300.0, dissipation=0.5)
    # Unrelated samples in a digraph with a cycle: many hops, so that the cycle settles.
    learner = Learner(network, Cost(SquaredError()), law, hops=24, settle=20)
    rng = np.random.default_rng(0)
    u = rng.standard_normal((2000, 1, 5)).astype(np.float32)
    z = u[:, :, 2] - 0.5 * u[:, :, 0]
    _, trace = learner.run(learner.init(jax.random.key(0)), (u, z))
    outputs_of_zero = (z**2).mean() / 2
    assert trace["loss"][-100:].mean() < 0.02 * outputs_of_zero
