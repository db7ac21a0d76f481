"""Fused loops of networks with banks of modes, held against XLA's programs of the same learner."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alike import assert_close, assert_same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    Layered,
    Learner,
    LeastAction,
    ModeBank,
    Modes,
    Samples,
    SoftmaxCrossEntropy,
    SquaredError,
    Traces,
    checkpoint,
    read_modes,
)
from localprop.native import engine_of, workers
from localprop.native.memory_engine import MemoryEngine

COST, T = Cost(SquaredError()), 10
FIXED = ModeBank.harmonics(7.0, 4.0, 3)
LEARNED = ModeBank([3.0, 9.0], [0.2, -0.7], learned=True)
SILENT = ModeBank.leaks(1.0, 8.0, 2, silent=True)
PLAIN = Hamiltonian(mass=Adaptive(0.01, 0.01, 1e-3), dissipation=3.0, traces=Traces())
TIMES = {"clock": "sample", "duration": 1.0, "hops": 7, "settle": 6}


def odd():
    """What `Layered.memory` never makes: features and modes of what takes no time, an order of
    blocks that is not theirs, arcs that carry no errors, weights that are held, a readout that is
    read itself."""
    senses = partial(Modes, None, "tanh", [LEARNED, SILENT], features=(6,))
    level = partial(Modes, partial(eqx.nn.Linear, 12, 9), "silu", [SILENT, FIXED, LEARNED])
    quiet = partial(Modes, partial(eqx.nn.Linear, 6, 3), "relu", SILENT)
    blocks = {
        "top": Block(partial(eqx.nn.Linear, 9, 2), ["hidden"]),
        "hidden": Block(partial(eqx.nn.Linear, 90, 9), ["level"], "gelu", join=read_modes(2)),
        "level": Block(level, ["senses"], join=read_modes(1, 2)),
        "senses": Block(senses, ["coded"]),
        "coded": Block(partial(eqx.nn.Linear, 3, 6), ["input"], "logistic"),
        "quiet": Block(quiet, ["coded"]),
        "early": Block(partial(eqx.nn.Linear, 12, 2), ["quiet"], "softplus", join=read_modes()),
        "late": Block(partial(eqx.nn.Linear, 2, 2), ["top"], silent=["top"]),
        "known": Block(partial(eqx.nn.Linear, 6, 2), ["coded"], fixed=True),
    }
    outputs = ["early", "late", "top", "known"]
    return Layered(blocks, inputs=(3,), output=outputs, answer="top")


def stream(learner, seed=0, *, durations=False, weights=False, begins=False, missing=0.3, length=T):
    """Samples, of which some streams have no target, or lack a part of it."""
    network, streams = learner.network, learner.network.streams
    network = network if streams is None else network.network
    lead, rng = (length,) if streams is None else (length, streams), np.random.default_rng(seed)
    u = {name: rng.normal(size=(*lead, *shape)) for name, shape in network.inputs.items()}
    z = rng.random((*lead, *network.shapes[network.output_block]))
    z[rng.random(z.shape) < missing] = np.nan
    z[rng.random(lead) < missing] = np.nan
    return Samples(
        u["input"] if len(u) == 1 else u,
        z / np.nansum(z, axis=-1, keepdims=True),
        rng.uniform(0.5, 1.5, length) if durations else None,
        weight=rng.uniform(0, 2, lead) if weights else None,
        begins=(rng.random(lead) < 0.3) if begins else None,
    )


def both(network, law=PLAIN, cost=COST, **given):
    """Learners of either engine."""
    return (Learner(network, cost, law, engine=e, **TIMES | given) for e in ("native", "xla"))


def assert_alike(native, xla, samples, tolerance):
    """Asserts that learners take a stream alike."""
    start = native.init(jax.random.key(3))
    expected, told = xla.run(start, samples)
    found, traced = native.run(start, samples)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    leaves = jax.tree_util.tree_leaves_with_path
    for (path, a), (_, b) in zip(leaves(found), leaves(expected), strict=True):
        assert_close(a, b, tolerance, jax.tree_util.keystr(path))
    for name, array in told.items():
        assert_close(traced[name], array, tolerance, name)
    rows = jax.tree.map(lambda a: a[:3], samples.u)
    answers = (learner.predict_many(expected, rows) for learner in (native, xla))
    assert_close(*answers, tolerance, "answers")


BANKS = st.sampled_from([FIXED, LEARNED, ModeBank([2.0], [0.4])])


@st.composite
def cases(draw):
    """Returns what makes a network, a learner, and a stream; nothing is built here."""
    short = dataclasses.replace(draw(BANKS), silent=False)
    if draw(st.booleans()):
        short = dataclasses.replace(short, learned=False, silent=True)
    levels = draw(st.lists(st.integers(1, 9), min_size=1, max_size=2))
    outputs = draw(st.integers(1, 3))
    network = {
        "inputs": draw(st.integers(1, 3)),
        "outputs": outputs,
        "levels": levels,
        "senses": dataclasses.replace(draw(BANKS), learned=False),
        "short": short,
        "long": draw(BANKS),
        "hidden": draw(st.integers(1, 9)),
        "masks": draw(st.booleans()),
        "answer": draw(st.sampled_from(["mean", "last", "readout1"])) if levels[1:] else "mean",
    }
    mass = st.sampled_from([Constant(50.0), Adaptive(0.01, 0.01, 1e-3), Growing(0.02, 2.0)])
    losses = [SquaredError(2.5), Huber(0.3), SoftmaxCrossEntropy(0.1), SoftmaxCrossEntropy()]
    law = {"mass": draw(mass), "dissipation": draw(st.sampled_from([0.0, 3.0]))}
    given = {
        "law": Hamiltonian(traces=Traces(), **law),
        "cost": Cost(draw(st.sampled_from(losses)), draw(st.sampled_from([0.0, 0.03]))),
        "hops": draw(st.sampled_from([7, 8])),
        "streams": draw(st.sampled_from([None, 1, 3, 9])),
        "average": draw(st.sampled_from([None, 4, np.inf])),
    }
    flags = ("durations", "weights", "begins")
    shown = {name: draw(st.booleans()) for name in flags}
    shown |= {"seed": draw(st.integers(0, 99)), "missing": draw(st.sampled_from([0.0, 0.3, 1.0]))}
    return network, given, shown


def check(case):
    network, given, shown = case
    native, xla = both(Layered.memory(**network), **given)
    assert_alike(native, xla, stream(native, **shown), 1e-10)


RARE = [HealthCheck.too_slow, HealthCheck.data_too_large]


# In float64, where rounding that a stream of some samples makes grow stays far below this.
@pytest.mark.usefixtures("x64")
@given(cases())
@settings(derandomize=True, max_examples=2, deadline=None, suppress_health_check=RARE)
def test_native_follows_xla(case):
    check(case)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@given(cases())
@settings(derandomize=True, max_examples=40, deadline=None, suppress_health_check=RARE)
def test_native_follows_xla_wherever_it_goes(case):
    check(case)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("hops", [9, pytest.param("auto", marks=pytest.mark.slow)])
def test_blocks_in_any_order_that_read_each_other_in_any_way(hops):
    times = {"hops": 9, "settle": 8} if hops == 9 else {"hops": "auto", "settle": "auto"}
    native, xla = both(odd(), streams=3, average=4, cost=Cost(Huber(0.4), 0.02), **times)
    shown = {"durations": True, "weights": True, "begins": True}
    assert_alike(native, xla, stream(native, 1, **shown), 1e-10)


def test_a_sample_in_single_precision_differs_by_rounding_alone():
    """Sums of at most 121 terms, five behind each other, which leave 2⁻²⁴ of each term."""
    native, xla = both(Layered.memory(1, 3))
    assert_alike(native, xla, stream(native, missing=0.0, length=1), 5 * 121 * 2.0**-24)


@pytest.mark.usefixtures("x64")
def test_groups_of_weights_have_rates_of_their_own_which_may_change():
    network = Layered.memory(1, 2, levels=(4,), hidden=3)
    w = network.init(jax.random.key(0))[1]
    numbers = iter(np.linspace(0.5, 2.0, len(jax.tree.leaves(w))))
    each = jax.tree.map(lambda _: jnp.asarray(0.01 * next(numbers)), w)
    law = Hamiltonian(mass=Adaptive(each, 0.01, 1e-3), dissipation=3.0, traces=Traces())
    native, xla = both(network, law, streams=2)
    samples = stream(native)
    assert_alike(native, xla, samples, 1e-10)
    later = jax.tree.map(lambda r: 3 * r, each)
    native, xla = (
        eqx.tree_at(lambda made: made.law.mass.rate, made, later) for made in (native, xla)
    )
    assert_alike(native, xla, samples, 1e-10)


MADE = {
    "alone": (Layered.memory(2, 1, levels=(5, 12), hidden=7), {}),
    "streams": (Layered.memory(2, 1, levels=(5, 4)), {"streams": 3, "hops": 9, "average": 4}),
    "masks": (Layered.memory(1, 3, levels=(17,), masks=True), {"streams": 11}),
    "odd": (odd(), {"hops": 10, "settle": 8}),
}
kinds = pytest.mark.parametrize("kind", MADE)


def made(kind):
    network, given = MADE[kind]
    learner = Learner(network, COST, PLAIN, engine="native", **TIMES | given)
    return learner, learner.init(jax.random.key(0)), stream(learner, begins=True, length=20)


@kinds
def test_cut_anywhere_or_stepped_through_it_is_the_same_stream(kind):
    learner, start, samples = made(kind)
    expected = learner.run(start, samples)
    for cuts in ((0, 1, 2, 13, 20), (0, 19, 20)):
        phase, told = start, []
        for a, b in pairwise(cuts):
            part = jax.tree.map(lambda array, a=a, b=b: array[a:b], samples)
            phase, trace = learner.run(phase, part)
            told.append(trace)
        assert_same(phase, expected[0])
        for name in expected[1]:
            whole = np.concatenate([trace[name] for trace in told])
            np.testing.assert_array_equal(whole, expected[1][name])
    samples = samples._replace(begins=None)
    expected = learner.run(start, samples, ("output",))
    phase = start
    for k, z in enumerate(samples.z):
        u = jax.tree.map(lambda array, k=k: array[k], samples.u)
        phase, output = learner.step(phase, u, z)
        np.testing.assert_array_equal(output, expected[1]["output"][k])
    assert_same(phase, expected[0])


@kinds
def test_what_was_handed_in_stays_as_it_was(kind):
    learner, start, samples = made(kind)
    kept = jax.tree.map(np.array, start)
    first, _ = learner.run(start, samples)
    held = jax.tree.map(np.array, first)
    row = jax.tree.map(lambda a: a[0], samples.u)
    stepped, _ = learner.step(first, row, samples.z[0])
    after = jax.tree.map(np.array, stepped)
    learner.predict_many(stepped, samples.u)
    learner.step(stepped, row, samples.z[0])
    assert_same((start, first, stepped), (kept, held, after))


@kinds
def test_one_row_is_answered_as_several_are(kind):
    learner, phase, samples = made(kind)
    phase, _ = learner.run(phase, samples)
    several = learner.predict_many(phase, samples.u)
    for k in (0, 7):
        row = jax.tree.map(lambda a, k=k: a[k], samples.u)
        np.testing.assert_array_equal(learner.predict(phase, row), several[k])


@pytest.mark.parametrize("hops", [7, 9])
def test_no_bit_hangs_on_the_number_of_threads(hops, monkeypatch):
    network = Layered.memory(3, 5, levels=(20, 67), hidden=30, masks=True)
    learner = Learner(network, COST, PLAIN, streams=37, engine="native", **TIMES | {"hops": hops})
    start, samples, found = learner.init(jax.random.key(0)), stream(learner, begins=True), []
    for threads in (1, 2, 3):
        monkeypatch.setattr(workers, "threads_given", threads)
        found.append(learner.run(start, samples))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


def test_a_checkpoint_goes_on_to_the_bit_and_under_either_engine(tmp_path):
    learner, start, samples = made("streams")
    first, second = (
        jax.tree.map(lambda a, part=part: a[part], samples) for part in (slice(9), slice(9, None))
    )
    phase, _ = learner.run(start, first)
    checkpoint.save(tmp_path / "c.npz", learner, phase, position=9)
    kept = checkpoint.load(tmp_path / "c.npz").phase(learner)
    assert_same(learner.run(kept, second), learner.run(phase, second))
    xla = dataclasses.replace(learner, engine="xla")
    assert_close(xla.run(kept, second)[1]["output"], learner.run(kept, second)[1]["output"], 1e-4)


@pytest.mark.parametrize(("scale", "bad"), [(1e25, 4), (3e38, 0)])
def test_what_diverges_is_told_as_xla_tells_it(scale, bad):
    law = Hamiltonian(mass=1e-3, traces=Traces())
    native, xla = both(Layered.memory(1, 1, levels=(3,), hidden=2), law)
    samples = stream(native, missing=0.0, weights=True, begins=True)
    z = np.where(np.arange(T) < bad, samples.z.T, scale).T
    samples = samples._replace(z=z)
    start, told = native.init(jax.random.key(0)), []
    for learner in (native, xla):
        with pytest.raises(DivergenceError) as error:
            learner.run(start, samples)
        assert (error.value.sample == 0) == (bad == 0)
        first = jax.tree.map(lambda a, until=error.value.sample: a[:until], samples)
        before = learner.run(start, first)[0] if error.value.sample else start
        assert_same(error.value.phase, before)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_auto_takes_it_also_where_rates_follow_a_schedule():
    network = Layered.memory(1, 10, masks=True)
    rate = jax.tree.map(lambda _: jnp.asarray(0.01), network.init(jax.random.key(0))[1])
    law = Hamiltonian(mass=Adaptive(rate), dissipation=0.7, traces=Traces())
    for streams in (None, 64):
        engine = engine_of(Learner(network, COST, law, streams=streams, **TIMES))
        assert isinstance(engine, MemoryEngine)
        assert engine.pays


def test_records_that_it_does_not_know_are_refused_and_left_to_xla_by_auto():
    native, xla = both(Layered.memory(1, 1, levels=(2,), hidden=2))
    auto, samples = dataclasses.replace(native, engine="auto"), stream(native)
    start = native.init(jax.random.key(0))
    with pytest.raises(ConfigError, match="'native' does not know record 'x_norm'"):
        native.run(start, samples, ("x_norm",))
    assert_same(auto.run(start, samples, ("x_norm",)), xla.run(start, samples, ("x_norm",)))


SMALL = Layered.memory(1, 1, levels=(2,), hidden=2)


def _read(**how):
    memory = Block(partial(Modes, None, how.pop("activation", "tanh"), FIXED), ["u"])
    top = Block(how.pop("make", partial(eqx.nn.Linear, 6, 1)), ["m"], join=read_modes(), **how)
    return Layered({"m": memory, "y": top}, inputs={"u": (1,)}, output="y")


UNKNOWN = {
    "modes under the law LeastAction": {"law": LeastAction(), "clock": "hop"},
    "modes under the policy FastCostates": {"law": Hamiltonian(FastCostates(), traces=Traces())},
    "explicit weights": {"law": Hamiltonian(weights="explicit", traces=Traces())},
    "modes without traces": {"law": Hamiltonian()},
    "costates that take time": {"law": Hamiltonian(traces=Traces("reversed"))},
    "modes that move in every hop": {"clock": "hop"},
    "5 settle hops, where 6 let everything settle": {"settle": 5},
    "the loss": {"cost": Cost({"readout1": SquaredError()})},
    "a MLP": {"network": _read(make=partial(eqx.nn.MLP, 6, 1, 2, 1))},
    "finite speed beside modes": {"network": _read(speed=2.0)},
    "the activation sin": {"network": _read(activation=jnp.sin)},
    "a rate that is an array": {
        "law": Hamiltonian(
            mass=Adaptive(jax.tree.map(jnp.ones_like, SMALL.init(jax.random.key(0))[1])),
            traces=Traces(),
        )
    },
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_is_named_and_left_to_xla_by_auto(name):
    given = {"network": SMALL, "cost": COST, "law": PLAIN, **TIMES} | UNKNOWN[name]
    with pytest.raises(ConfigError, match=f"'native' does not know .*{re.escape(name)}"):
        Learner(engine="native", **given)
    Learner(**given)
