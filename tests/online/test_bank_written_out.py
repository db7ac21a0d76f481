"""The bank, row by row as docs/laws.md writes it, by autodiff and plain NumPy."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from localprop import Samples
from localprop.online.bank import ALONE, Bank
from localprop.online.defaults import RECIPES, bank_for
from localprop.online.encode import Encoder
from localprop.online.memory import width
from localprop.online.mixture import Mixture
from localprop.online.settings import OnlineSettings
from localprop.online.window import Window
from localprop.table.table import Column, ColumnKind

ROWS, STREAMS, INPUTS, PLAIN, OUTPUTS = 12, 8, 5, 2, 3


def _stream(rng, task):
    """Returns samples of which the first have nothing beside them yet."""
    u = rng.normal(size=(ROWS, STREAMS, INPUTS))
    z = np.eye(OUTPUTS)[rng.integers(OUTPUTS, size=(ROWS, STREAMS))]
    if task == "regression":
        z = 2 * rng.normal(size=(ROWS, STREAMS, 1))
    z[0, 1:] = np.nan
    known = rng.normal(size=(ROWS, width(PLAIN)))
    return Samples({"rows": u, "plain": u[:, 0, :PLAIN], "memory": known}, z)


def _weights(bank, phases, expert):
    """Returns the weights of one expert of a bank."""
    (group,) = (k for k, group in enumerate(bank.groups) if expert in group)
    place = bank.groups[group].index(expert)
    return jax.tree.map(lambda a: a[place], phases[group].w)


def _one(bank, phases, expert):
    """Returns its weights with an axis of one expert."""
    return jax.tree.map(lambda a: a[None], _weights(bank, phases, expert))


def _loss(network, task, smoothing):
    """Returns the mean loss of rows that have a target, as a function of the weights."""

    def loss(w, u, z):
        def one(u, z):
            x, _ = network.init(jax.random.key(0))
            for _ in range(network.depth):  # the feed-forward map
                x = network.drive(x, w, u)
            output = network.output(x)
            if task == "regression":
                error = jnp.abs(output - z)
                return jnp.sum(jnp.where(error < 1, error**2 / 2, error - 0.5)), output
            q = (1 - smoothing) * z + smoothing / OUTPUTS
            return -jnp.sum(q * jax.nn.log_softmax(output)), output

        known = ~jnp.isnan(z).any(axis=1)
        losses, outputs = jax.vmap(one)(u, jnp.where(known[:, None], z, 0.0))
        return jnp.sum(jnp.where(known, losses, 0)) / known.sum(), outputs[0]

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_b1_each_expert_follows_the_gradient_of_the_mean_loss(x64, task):
    part = _stream(np.random.default_rng(0), task)
    outputs = part.z.shape[2]
    bank = bank_for(OnlineSettings(hidden=(4,)), task, INPUTS, PLAIN, outputs, STREAMS)
    begun = bank.init(jax.random.key(1))
    after, trace, _ = bank.learn(begun, part, ("output",))
    for k, (expert, recipe) in enumerate(zip(bank.experts, RECIPES.values(), strict=True)):
        network = expert.learner.network
        network = network if expert.view in ALONE else network.network  # of one of the streams
        seen = {view: part.u[view][:, None] for view in ALONE} | {"new": part.u["rows"][:, :1]}
        u = seen.get(expert.view, part.u["rows"])
        slope = _loss(network, task, 0.0 if expert.view == "plain" else 0.05)
        w = _weights(bank, begun, k)
        v, p = (jax.tree.map(np.zeros_like, w) for _ in range(2))
        for row in range(ROWS):
            (_, output), f = slope(w, u[row], part.z[row, : u.shape[1]])
            np.testing.assert_allclose(trace["output"][row, k], output, rtol=1e-9, atol=1e-12)
            d = np.exp(-1e-3)
            v = jax.tree.map(lambda v, f, d=d: d * v + (1 - d) * f**2, v, f)
            p = jax.tree.map(lambda p, f, mu=recipe.keep: mu * p - f, p, f)
            w = jax.tree.map(
                lambda w, p, v, rate=recipe.rate: w + rate * p / (np.sqrt(v) + 3e-4), w, p, v
            )
        learned = _weights(bank, after, k)
        for found, expected in zip(jax.tree.leaves(learned), jax.tree.leaves(w), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def test_b2_experts_know_nothing_of_each_other(x64):
    part = _stream(np.random.default_rng(2), "regression")
    bank = bank_for(OnlineSettings(hidden=(4,)), "regression", INPUTS, PLAIN, 1, STREAMS)
    begun = bank.init(jax.random.key(1))
    _, together, _ = bank.learn(begun, part, ("output",))
    for k in (0, 2):
        alone = Bank(bank.experts[k : k + 1])
        own = eqx.tree_at(lambda p: p[0].w, alone.init(jax.random.key(1)), _one(bank, begun, k))
        _, trace, _ = alone.learn(own, part, ("output",))
        np.testing.assert_allclose(trace["output"][:, 0], together["output"][:, k], rtol=1e-12)


@pytest.mark.parametrize("relative", [False, True])
def test_b3_weights_are_a_softmax_of_discounted_losses(relative):
    rng = np.random.default_rng(3)
    losses = rng.exponential(size=(300, 4))
    names = ["a", "b", "c", "d"]
    found = Mixture(names, relative=relative, first={"b": 5.0} if relative else {}).update(losses)
    prior = np.log([1, 5, 1, 1]) if relative else np.zeros(4)
    sums, squares, keep = np.zeros(4), np.zeros((4, 4)), 1 - 1 / 200
    count = 0.0
    for t, row in enumerate(losses):
        error = np.sqrt(squares[sums.argmin()])
        rate = np.where(error > 0, 2 / np.maximum(error, 1e-9), 0.0)
        rate = np.maximum(rate, 0.2 * count / max(sums.min(), 1e-9)) if relative else 0.2
        np.testing.assert_allclose(found[t], softmax(prior - rate * (sums - sums.min())), rtol=1e-9)
        count = keep * count + 1
        sums, squares = keep * sums + row, keep * squares + np.subtract.outer(row, row) ** 2


def test_b4_inputs_are_the_z_score_and_six_shares_of_quantile_bins():
    values = np.random.default_rng(4).exponential(size=900)
    values[100] = 1e9
    encoder, window = Encoder(), Window()
    u = encoder.now(encoder.encode({"a": Column(ColumnKind.NUMBER, values)}, len(values)))
    _, scales = window.update(values)
    last = np.flatnonzero(np.any(np.diff(scales.edges, axis=0) != 0, axis=1))[-1] + 1
    so_far = np.sort(values[:last])
    low, high = so_far[last // 20], so_far[-1 - last // 20]  # 5 % lie beyond, on either side
    held = np.clip(so_far, 2 * low - high, 2 * high - low)
    edges = np.quantile(held, np.arange(7) / 6, method="lower")
    np.testing.assert_array_equal(scales.edges[-1], edges)
    x = values[-1]
    shares = np.clip((x - edges[:-1]) / np.diff(edges), 0, 1) - (5.5 - np.arange(6)) / 6
    now = np.clip(values, 2 * low - high, 2 * high - low)
    np.testing.assert_allclose(u[-1, 1:], shares, atol=1e-6)
    np.testing.assert_allclose(u[-1, 0], (x - now.mean()) / now.std(), rtol=0.05)
