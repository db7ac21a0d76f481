"""Fused loops of chains of dense layers, held against XLA's programs of the same learner."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Block,
    ConfigError,
    Constant,
    Cost,
    DivergenceError,
    FastCostates,
    Growing,
    Hamiltonian,
    Huber,
    Inertial,
    Layered,
    Learner,
    LeastAction,
    Overdamped,
    Samples,
    SoftmaxCrossEntropy,
    Splitting,
    SquaredError,
)
from localprop.native.chain import ChainState, chain_of
from localprop.native.chain_neurons import exponential
from localprop.native.jit import kernel
from localprop.native.plan import Unknown

T = 12


def made(sizes, streams, loss, mass, activation, seed=0, neurons=None):
    """A learner, a phase, and samples: some streams without a target, some without a class.

    Under least action where it is said how neurons move.
    """
    depth = len(sizes) - 1
    if neurons is None:
        law, settle = Hamiltonian(mass=mass, dissipation=0.4), 2 * depth
    else:
        law, settle = LeastAction(0.4, neurons, mass, 0.4), depth
    hops = settle + 1 + seed % 3 + (0 if neurons is None else depth)
    network = Layered.dense(sizes, activation=activation)
    cost = Cost(loss, weight_decay=0.01 * (seed % 2))
    times = {"hops": hops, "settle": settle, "duration": float(hops)}
    learner = Learner(network, cost, law, streams=streams, **times)
    rng = np.random.default_rng(seed)
    wide = (T, streams or 1)
    u = rng.normal(size=(*wide, sizes[0]))
    z = rng.normal(size=(*wide, sizes[-1]))
    if isinstance(loss, SoftmaxCrossEntropy):
        z = np.eye(sizes[-1])[rng.integers(0, 2, wide)]
        z[: T // 2, :, -1] = np.nan
    z[rng.random(wide) < 0.3] = np.nan
    z[3] = np.nan  # a sample that nobody has a target for
    duration = hops * rng.uniform(0.5, 1.5, T)
    return learner, learner.init(jax.random.key(seed)), u, z, duration


def learned(learner, phase, u, z, duration, cuts=(0, T)):
    """What the loops predict, the slopes at the inputs, and the phase after."""
    state = ChainState(chain_of(learner), phase)
    dtype, (inputs, outputs) = state.dtype, (u.shape[2], z.shape[2])
    given = [np.asarray(a, dtype) for a in (u, z, duration)]
    out, slope = np.zeros(z.shape, dtype), np.zeros((T, inputs), dtype)
    answers = np.zeros((T, outputs), dtype)
    query = np.ascontiguousarray(given[0][:, 0])
    for start, stop in pairwise(cuts):
        part = [a[start:stop] for a in (*given, out, slope, query, answers)]
        assert state.learn(*part) == -1
    return state, out, slope, answers


CASES = {
    "classes": ([5, 8, 6, 3], 8, SoftmaxCrossEntropy(0.05), Adaptive(2e-3), "silu"),
    "many streams": ([4, 7, 3], 11, SoftmaxCrossEntropy(), Adaptive(2e-3), "tanh"),
    "numbers": ([5, 9, 2], 3, Huber(0.5), Growing(0.01), "gelu"),
    "one layer": ([9, 3], None, SquaredError(2.0), Constant(20.0), "identity"),
    "alone": ([3, 4, 5, 2], None, SquaredError(), Adaptive(2e-3), "softplus"),
    "wide": ([21, 40, 72, 4], 19, SquaredError(), Adaptive(2e-3), "tanh"),
    "logistic": ([3, 17, 2], 2, Huber(), Adaptive(2e-3), "logistic"),
}
ACTION = {
    "classes": (*CASES["classes"], Inertial(0.6, 1.0)),
    "numbers": (*CASES["numbers"], Overdamped(0.5)),
    "one layer": (*CASES["one layer"], Inertial(0.8, 0.3)),
    "alone": (*CASES["alone"], Inertial(0.6, 1.0)),
    "wide": (*CASES["wide"], Inertial(0.6, 1.0)),
    "logistic": (*CASES["logistic"], Overdamped(1.0)),
}


def made_under_action(case, seed=0):
    *given, neurons = ACTION[case]
    return made(*given, seed=seed, neurons=neurons)


@pytest.mark.parametrize(
    ("case", "law"), [*((c, "hamiltonian") for c in CASES), *((c, "action") for c in ACTION)]
)
def test_it_learns_what_xla_learns(case, law):
    with jax.enable_x64(True):
        seed = list(CASES).index(case)
        if law == "action":
            learner, phase, u, z, duration = made_under_action(case, seed)
        else:
            learner, phase, u, z, duration = made(*CASES[case], seed=seed)
        several = learner.network.streams is not None
        stream = (u, z, duration, u) if several else (u[:, 0], z[:, 0], duration, u[:, 0])
        record = ("output", "answer")
        xla = dataclasses.replace(learner, engine="xla")
        expected, trace = xla.run(phase, stream, record=record)
        state, out, _, answers = learned(learner, phase, u, z, duration)
        mine = state.phase()
    first = trace["answer"][:, 0] if several else trace["answer"]
    np.testing.assert_allclose(out.reshape(trace["output"].shape), trace["output"], atol=1e-12)
    np.testing.assert_allclose(answers, first, atol=1e-12)
    # Neurons begin each sample anew, and under the Hamiltonian law those without a target are left.
    moved = ("w", "momentum", "mass", *(("x", "costate") if law == "action" else ()))
    for name in moved:
        pairs = zip(
            *map(jax.tree.leaves, (getattr(mine, name), getattr(expected, name))), strict=True
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, atol=1e-12, err_msg=name)
    assert int(mine.hop) == int(expected.hop)
    np.testing.assert_allclose(mine.time, expected.time)


@pytest.mark.parametrize("case", ["classes", "alone"])
def test_the_slope_at_the_inputs_is_that_of_the_loss(case):
    # By autodiff of the first stream's loss, where weights do not move (a mass beyond measure).
    sizes, streams, loss, _, activation = CASES[case]
    with jax.enable_x64(True):
        learner, phase, u, z, duration = made(sizes, streams, loss, 1e300, activation, seed=6)
        _, _, slope, _ = learned(learner, phase, u, z, duration)
        network = Layered.dense(sizes, activation=activation)

        def lost(row, target):
            x = phase.x if streams is None else jax.tree.map(lambda a: a[0], phase.x)
            for _ in sizes[1:]:
                x = network.drive(x, phase.w, row)
            return learner.cost.target_loss(network.output(x), target)

        expected = jax.vmap(jax.grad(lost))(u[:, 0], z[:, 0])
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(slope, expected, atol=1e-12)


@pytest.mark.parametrize("law", ["hamiltonian", "action"])
def test_a_stream_may_be_cut_anywhere_to_the_bit(law):
    given = made_under_action("classes") if law == "action" else made(*CASES["classes"])
    learner, phase, *stream = given
    whole, *found = learned(learner, phase, *stream)
    parts, *again = learned(learner, phase, *stream, cuts=(0, 1, 5, 6, T))
    for a, b in zip(found, again, strict=True):
        assert (a == b).all()
    same = jax.tree.map(lambda a, b: bool((a == b).all()), whole.phase(), parts.phase())
    assert all(jax.tree.leaves(same))
    # And taken up again from a phase.
    taken = ChainState(chain_of(learner), whole.phase())
    same = jax.tree.map(lambda a, b: bool((a == b).all()), whole.phase(), taken.phase())
    assert all(jax.tree.leaves(same))


@pytest.mark.parametrize("case", ["wide", "alone"])
def test_inputs_that_never_were_other_than_zero_change_nothing(case):
    sizes, *rest = CASES[case]
    learner, phase, u, *others = made([sizes[0] + 19, *sizes[1:]], *rest)
    silent = np.arange(u.shape[2]) >= sizes[0]
    u[..., silent] = 0
    u[7:, :, sizes[0] + 3] = u[7:, :, 0]  # one of them speaks late
    whole, *found = learned(learner, phase, u, *others)
    before = whole.phase().w[chain_of(learner).names[0]].weight
    first = phase.w[chain_of(learner).names[0]].weight
    still = silent & (np.arange(u.shape[2]) != sizes[0] + 3)
    assert (before[:, still] == first[:, still]).all()
    assert (before[:, ~silent] != first[:, ~silent]).any()
    # Taken up from a phase amid the stream, which does not know what was asleep.
    state, *_ = learned(learner, phase, *(a[:9] for a in (u, *others)), cuts=(0, 9))
    again = ChainState(chain_of(learner), state.phase())
    given = [np.asarray(a[9:], again.dtype) for a in (u, *others)]
    out, slope, answers = (np.zeros_like(a[9:]) for a in found)
    query = np.ascontiguousarray(given[0][:, 0])
    assert again.learn(*given, out, slope, query, answers) == -1
    for a, b in zip((out, slope, answers), found, strict=True):
        assert (a == b[9:]).all()
    with jax.enable_x64(True):
        learner, phase, u, z, duration = made([sizes[0] + 19, *sizes[1:]], *rest)
        u[..., silent] = 0
        stream = (u, z, duration) if rest[0] is not None else (u[:, 0], z[:, 0], duration)
        xla = dataclasses.replace(learner, engine="xla")
        expected, _ = xla.run(phase, stream)
        mine = learned(learner, phase, u, z, duration)[0].phase()
    pairs = zip(*map(jax.tree.leaves, (mine.w, expected.w)), strict=True)
    assert all(np.allclose(a, b, atol=1e-12) for a, b in pairs)


@pytest.mark.parametrize("case", ["wide", "numbers", "alone"])
def test_what_is_answered_is_what_is_predicted_to_the_bit(case):
    learner, phase, *stream = made(*CASES[case])
    state = ChainState(chain_of(learner), phase)
    rows = np.ascontiguousarray(np.asarray(stream[0][0], state.dtype))
    out = np.zeros((len(rows), stream[1].shape[2]), state.dtype)
    state.answer(rows, out)
    for k in range(len(rows)):
        one = out[k : k + 1].copy()
        state.answer(rows[k : k + 1], one)
        assert (one == out[k]).all()
    assert (learned(learner, phase, *stream)[1][0] == out).all()


@pytest.mark.parametrize("neurons", [None, Inertial(0.6, 1.0)])
def test_it_says_at_which_sample_numbers_turn_infinite(neurons):
    given = [2, 3, 1], None, SquaredError(), Constant(1e-3), "relu"
    learner, phase, u, z, duration = made(*given, neurons=neurons)
    state = ChainState(chain_of(learner), phase)
    z[:] = 1e30
    none = np.zeros((0, 2), np.float32)
    given = [np.asarray(a, np.float32) for a in (u, z, duration)]
    out = np.zeros(given[1].shape, np.float32)
    fault = state.learn(*given, out, none, none, none[:, :1])
    expected = next(k for k in range(T) if not _sound(learner, phase, u, z, duration, k + 1))
    assert fault == expected


def _sound(learner, phase, u, z, duration, count):
    for k in range(count):
        sample = (jnp.asarray(a, jnp.float32) for a in (u[k, 0], z[k, 0], duration[k]))
        phase, _ = learner.present(phase, Samples(*sample))
    return all(np.isfinite(a).all() for a in jax.tree.leaves(phase))


def test_exponentials_are_those_of_numpy():
    @kernel
    def filled(a, out):
        for k in range(a.size):
            out[k] = exponential(a[k])

    a = np.concatenate([np.linspace(-87, 88, 100_001), [np.nan, -200.0, 0.0]])
    a = a.astype(np.float32)
    out = np.empty_like(a)
    filled(a, out)
    exact = np.exp(a[:-3].astype(float))
    assert np.abs(out[:-3] / exact - 1).max() < 3 * np.finfo(np.float32).eps
    assert np.isnan(out[-3])
    assert out[-2] < 1e-37
    assert out[-1] == 1


UNKNOWN = {
    "Splitting": {"law": LeastAction(motion=Splitting()), "settle": 4},
    "FastCostates": {"law": Hamiltonian(FastCostates())},
    "settle hops": {"settle": 1},
    "the activation": {"network": Layered.dense([2, 3, 1], activation=lambda a: a * a)},
    "the loss": {"cost": Cost(lambda x, z: ((x - z) ** 4).sum())},
    "clock": {"clock": "sample"},
    "infinite speed": {"network": Layered.dense([2, 3, 1], speed=2.0)},
    "Conv1d": {
        "network": Layered(
            {"c": Block(eqx.Partial(eqx.nn.Conv1d, 1, 1, 3), ["input"])}, inputs=(1, 8), output="c"
        )
    },
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_it_does_not_know_it_names(what):
    given = {"network": Layered.dense([2, 3, 1]), "cost": Cost(SquaredError())} | UNKNOWN[what]
    law = given.pop("law", Hamiltonian(mass=Adaptive(), dissipation=0.7))
    with pytest.raises(Unknown, match=what):
        chain_of(Learner(given.pop("network"), given.pop("cost"), law, hops=7, **given))


def test_every_chain_has_a_description_of_its_own():
    learner, *_ = made(*CASES["classes"])
    chain = chain_of(learner)
    assert chain.weights == 5 * 8 + 8 + 8 * 6 + 6 + 6 * 3 + 3
    assert chain.neurons == 17
    assert dataclasses.replace(chain) == chain


def test_a_learner_asks_for_it_by_name():
    given = [5, 7, 2], 3, Huber(), Adaptive(2e-3), "tanh"
    with jax.enable_x64(True):
        learner, phase, u, z, duration = made(*given)
        learner, native = (dataclasses.replace(learner, engine=e) for e in ("xla", "native"))
        record = ("output", "loss")
        expected, trace = learner.run(phase, (u, z, duration), record=record)
        mine, found = native.run(phase, (u, z, duration), record=record, chunk=5)
        one, output = native.step(phase, u[0], z[0], duration[0])
    for name in record:
        np.testing.assert_allclose(found[name], trace[name], atol=1e-12)
    pairs = zip(*map(jax.tree.leaves, (mine.w, expected.w)), strict=True)
    assert all(np.allclose(a, b, atol=1e-12) for a, b in pairs)
    assert (output == found["output"][0]).all()
    assert int(one.hop) == learner.hops


def test_a_single_stream_is_answered_natively_too():
    network, cost = Layered.dense([3, 6, 2], activation="tanh"), Cost(SquaredError())
    native, xla = (Learner(network, cost, engine=e) for e in ("native", "xla"))
    phase, u = native.init(jax.random.key(3)), np.random.default_rng(0).normal(size=(9, 3))
    expected = xla.predict_many(phase, u)
    np.testing.assert_allclose(native.predict_many(phase, u), expected, atol=1e-6)
    np.testing.assert_allclose(native.predict(phase, u[4]), expected[4], atol=1e-6)
    with pytest.raises(ConfigError, match="record 'x_norm'"):
        native.run(phase, (u, u[:, :2]), record=("x_norm",))
    with pytest.raises(DivergenceError, match="sample 2"):
        native.run(phase, (u, np.where(np.arange(9) == 2, 1e38, 0.0)[:, None] * np.ones(2)))
    with pytest.raises(ConfigError, match="does not know the activation"):
        Learner(Layered.dense([3, 6, 2], activation=lambda a: a), cost, engine="native")
