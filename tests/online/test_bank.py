"""Experts side by side: each gives its own numbers, follows the gradient, and harms no other."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Adaptive, Cost, Hamiltonian, Layered, Learner, Samples, SquaredError
from localprop.online.bank import ALONE, Bank, Expert
from localprop.online.defaults import DECAY, FLOOR, NAMES, RECIPES, SMOOTHING, bank_for
from localprop.online.memory import width
from localprop.online.settings import OnlineSettings

INPUTS, PLAIN, OUTPUTS, STREAMS = 5, 3, 3, 4
LABELLED = [0, 1, 3]  # rows of a sample that have a target


def stream(rows, outputs, task, seed=0):
    """Samples whose third row has no target; of classes the last is not met yet."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(rows, STREAMS, INPUTS))
    z = rng.normal(size=(rows, STREAMS, outputs))
    if task == "classification":
        z = np.eye(outputs)[rng.integers(0, outputs - 1, (rows, STREAMS))]
        z[..., -1] = np.nan
    z[:, 2] = np.nan
    known = rng.normal(size=(rows, width(PLAIN)))
    seen = {"rows": u, "plain": u[:, 0, :PLAIN], "memory": known}
    return Samples(seen, z, np.ones(rows))


@pytest.fixture(scope="module", params=["classification", "regression"])
def learned(request):
    """The bank by default and in float64, a stream, and the phases after it and before its end."""
    task = request.param
    outputs = OUTPUTS if task == "classification" else 1
    with jax.enable_x64(True):
        bank = bank_for(OnlineSettings(hidden=(4,)), task, INPUTS, PLAIN, outputs, STREAMS)
        part = stream(40, outputs, task)
        start = bank.init(jax.random.key(1))
        first = jax.tree.map(lambda a: a[:-1], part)
        before, one, _ = bank.learn(start, first, ("output",), capacity=40)
        last = jax.tree.map(lambda a: a[-1:], part)
        after, two, _ = bank.learn(before, last, ("output",), capacity=40)
    outputs = np.concatenate([one["output"], two["output"]])
    return task, bank, part, start, before, after, outputs


@pytest.mark.parametrize(
    "name",
    ["fast", "memory", *(pytest.param(n, marks=pytest.mark.slow) for n in ("slow", "linear"))],
)
def test_each_expert_gives_the_numbers_that_it_gives_alone(learned, name):
    """Against `Learner.run` on what the expert sees, compiled for itself: to rounding."""
    task, bank, part, start, _, after, outputs = learned
    k = bank.names.index(name)
    learner, alone = bank.experts[k].learner, RECIPES[name].view in ALONE
    u, z = part.u["rows"], part.z.copy()
    if alone:
        u, z = part.u[RECIPES[name].view], z[:, 0]
    if RECIPES[name].view == "new":
        z[:, 1:] = np.nan  # of the rows beside it, it learns nothing
    with jax.enable_x64(True):
        phase, trace = learner.run(bank.of(start, k), (u, z), ("output",))
        own = bank.of(after, k)
    expected = trace["output"] if alone else trace["output"][:, 0]
    # 40 rows of some ten thousand operations in float64; the adaptive mass divides by forces that
    # may nearly cancel.
    np.testing.assert_allclose(outputs[:, k], expected, rtol=1e-8, atol=1e-10)
    for a, b in zip(jax.tree.leaves(phase.w), jax.tree.leaves(own.w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    assert task == "regression" or np.abs(expected).max() > 0.01


def forward(w, u):
    """The network as its docstring has it, from its weights alone."""
    for name in sorted(w):
        a = w[name].weight @ u + w[name].bias
        u = a if name == "output" else a * jax.nn.sigmoid(a)
    return u


def loss_of(task, name, w, u, z):
    """The mean over rows of Huber's loss, or of the smoothed cross-entropy of the known classes."""
    total = 0.0
    for row, target in zip(u, z, strict=True):
        x = forward(w, row)
        if task == "regression":
            e = jnp.abs(x - target)
            total += jnp.sum(jnp.where(e <= 1, e**2 / 2, e - 0.5))
            continue
        s = 0.0 if name == "linear" else SMOOTHING
        known = OUTPUTS - 1
        q = (1 - s) * target[:known] + s / known
        total -= q @ jax.nn.log_softmax(x[:known])
    return total / len(u)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_moves_weights_by_the_exact_gradient_of_the_mean_loss(learned, name):
    """One plastic hop after 2 L settling ones, against autodiff and the adaptive mass in NumPy."""
    task, bank, part, _, before, after, _ = learned
    k, recipe = bank.names.index(name), RECIPES[name]
    rows = LABELLED if recipe.view == "reviewed" else [0]
    u = part.u["rows"][-1, rows]
    if recipe.view in ALONE:
        u = part.u[recipe.view][-1:]
    with jax.enable_x64(True):
        own, new = bank.of(before, k), bank.of(after, k)
        gradient = jax.grad(lambda w: loss_of(task, name, w, u, part.z[-1, rows]))(own.w)
    pairs = zip(
        *(jax.tree.leaves(t) for t in (gradient, own.mass, own.momentum, own.w, new.w)),
        strict=True,
    )
    for g, v, p, w, found in pairs:
        g, v, p, w = (np.asarray(a) for a in (g, v, p, w))
        v = np.exp(-DECAY) * v + (1 - np.exp(-DECAY)) * g**2
        p = recipe.keep * p - g
        expected = w + recipe.rate * p / (np.sqrt(v) + FLOOR)
        # The gradient of a row is exact; v of a force that nearly vanishes is its square.
        np.testing.assert_allclose(np.asarray(found) - w, expected - w, rtol=1e-9, atol=1e-13)
    moved = [np.abs(np.asarray(a)).max() for a in jax.tree.leaves(gradient)]
    assert min(moved) > 1e-6  # every layer feels the target


RATES = {"good": 0.01, "absurd": 1e30, "fine": 0.02}
ROWS = 50


@pytest.fixture(scope="module")
def frail():
    """Three experts, whose rates are arrays: one compiled loop for whatever they are."""
    experts = []
    for name, rate in RATES.items():
        law = Hamiltonian(mass=Adaptive(0.01), dissipation=1.0)
        law = eqx.tree_at(lambda law: law.mass.rate, law, jnp.float32(rate))
        net = Layered.dense([INPUTS, 4, 1], bias_scale=0.5)
        learner = Learner(net, Cost(SquaredError()), law, hops=5, settle=4, streams=STREAMS)
        experts.append(Expert(name, learner, "reviewed" if name == "fine" else "new"))
    bank, part = Bank(tuple(experts)), stream(ROWS, 1, "regression")
    part = jax.tree.map(lambda a: a.astype(np.float32), part)
    return bank, part, bank.init(jax.random.key(0))


def with_rate(bank, rate):
    place = lambda b: b.experts[1].learner.law.mass.rate  # noqa: E731
    return eqx.tree_at(place, bank, jnp.float32(rate))


def learn(bank, phase, part, cuts):
    """Learns in pieces; returns phases, outputs, and what was restarted at which row."""
    outputs, restarted = [], []
    for rows in np.split(np.arange(ROWS), cuts):
        piece = jax.tree.map(lambda a, rows=rows: a[rows], part)
        phase, trace, again = bank.learn(phase, piece, ("output",), capacity=ROWS)
        outputs.append(trace["output"])
        restarted += [(int(rows[0]) + row, name) for row, name in again]
    return phase, np.concatenate(outputs), restarted


def assert_same(a, b):
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("fault", ["rate", "row", "start"])
def test_an_expert_that_goes_wrong_is_started_again_and_the_others_never_know(frail, fault):
    """Whatever the cuts: at the same row, with the same numbers, to the bit."""
    bank, part, start = frail
    sane = with_rate(bank, 0.01)
    undisturbed, expected, none = learn(sane, start, part, [])
    assert none == []
    if fault == "rate":
        sane = bank
    elif fault == "row":  # too large a target for one that has no Huber, in float32
        part = part._replace(z=part.z.copy())
        part.z[20] = 3e38
    else:
        lost = jax.tree.map(lambda a: a.at[1].set(np.nan), start[0].w)
        start = (eqx.tree_at(lambda p: p.w, start[0], lost),)
    whole, outputs, restarted = learn(sane, start, part, [])
    for cuts in ([20], [21], [1, 7, 30]):
        phases, in_pieces, again = learn(sane, start, part, cuts)
        assert again == restarted
        np.testing.assert_array_equal(in_pieces, outputs)
        assert_same(phases, whole)
    assert restarted
    for phase in whole:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(phase))
    if fault == "row":
        assert {name for _, name in restarted} == set(RATES)
        assert {row for row, _ in restarted} == {20}
        return
    # The others: not a bit of difference.
    assert {name for _, name in restarted} == {"absurd"}
    np.testing.assert_array_equal(outputs[:, [0, 2]], expected[:, [0, 2]])
    for k in (0, 2):
        assert_same(bank.of(whole, k), bank.of(undisturbed, k))
    if fault == "start":
        assert restarted == [(0, "absurd")]


def test_a_preview_is_what_would_be_answered_and_learns_nothing(frail):
    bank, part, start = frail
    bank = with_rate(bank, 0.01)
    phase, _, _ = learn(bank, start, part, [])
    previews = bank.preview_many(phase, part, capacity=ROWS)
    for row in (0, 20):
        one = jax.tree.map(lambda a, row=row: a[row : row + 1], part)
        _, trace, _ = bank.learn(phase, one, ("output",), capacity=ROWS)
        np.testing.assert_allclose(previews[row], trace["output"][0], rtol=1e-6, atol=1e-7)
