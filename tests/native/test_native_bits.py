"""What the fused loop repeats to the last bit, leaves alone, and refuses."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alike import assert_same

from localprop import (
    Adaptive,
    Block,
    ConfigError,
    Cost,
    Digraph,
    DivergenceError,
    Hamiltonian,
    HamiltonianTrack,
    Layered,
    Learner,
    LeastAction,
    ModeBank,
    Modes,
    Samples,
    Splitting,
    SquaredError,
    StreamError,
    Traces,
    read_modes,
)
from localprop.learner import RECORDS
from localprop.native import workers

COST = Cost(SquaredError())
LEARNERS = {
    "dense": Learner(Digraph.complete(9, 2), COST, hops=4, settle=1, engine="native"),
    "wide": Learner(Digraph.complete(150, 2), COST, hops=3, settle=1, engine="native"),
    "sparse": Learner(
        Digraph.random(9, 2, storage="sparse", density=0.3), COST, average=4, engine="native"
    ),
    "streams": Learner(
        Digraph.complete(5, 2, speed=0.7), COST, streams=3, hops=4, settle=0, engine="native"
    ),
    "modes": Learner(
        Digraph.complete(
            5, 2, speed=[0.7, 0.1, 2.0, 0.5, np.inf], frequency=0.4, learn_speed=True,
            silent=[("x1", "x2")],
        ),
        COST, Hamiltonian(mass=30.0, dissipation=0.5, traces=Traces("reversed")),
        hops=4, settle=1, average=4, engine="native",
    ),
    "action": Learner(Digraph.layered([2, 4, 1]), COST, LeastAction(), engine="native"),
}  # fmt: skip
kinds = pytest.mark.parametrize("kind", LEARNERS)


def stream(learner, length=30, seed=0):
    rng, streams = np.random.default_rng(seed), learner.network.streams
    lead = (length,) if streams is None else (length, streams)
    u, z = rng.standard_normal((*lead, 2)), rng.standard_normal((*lead, 1))
    z[::7] = np.nan
    return u.astype(np.float32), z.astype(np.float32), rng.uniform(1, 5, length).astype(np.float32)


@kinds
def test_cut_anywhere_or_stepped_through_it_is_the_same_stream(kind):
    learner = LEARNERS[kind]
    start, whole = learner.init(jax.random.key(0)), stream(learner)
    record = ("output", "loss", "x_norm", "costate_norm", "w_norm", "momentum_norm")
    expected = learner.run(start, whole, record)
    for chunk in (1, 7, 29):
        assert_same(learner.run(start, whole, record, chunk=chunk), expected)
    phase = start
    for k, row in enumerate(zip(*whole, strict=True)):
        phase, output = learner.step(phase, *row)
        np.testing.assert_array_equal(output, expected[1]["output"][k])
    assert_same(phase, expected[0])


@kinds
def test_what_was_handed_in_stays_as_it_was(kind):
    learner = LEARNERS[kind]
    start = learner.init(jax.random.key(0))
    before = jax.tree.map(np.array, start)
    u, z, durations = stream(learner)
    first, _ = learner.run(start, (u, z, durations))
    kept = jax.tree.map(np.array, first)
    stepped, _ = learner.step(first, u[0], z[0], durations[0])
    held = jax.tree.map(np.array, stepped)
    learner.step(stepped, u[1], z[1])
    learner.predict_many(first, u)
    assert_same((start, first, stepped), (before, kept, held))


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_no_bit_hangs_on_the_number_of_threads(storage, monkeypatch):
    n = {"dense": 520, "sparse": 1200}[storage]
    network = Digraph.complete(n, 2, storage=storage)
    learner = Learner(network, COST, hops=3, settle=1, engine="native")
    start, whole = learner.init(jax.random.key(0)), stream(learner, 4)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(workers, "threads_given", threads)
        found.append(learner.run(start, whole, ("output", "loss", "w_norm")))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@pytest.mark.parametrize("streams", [None, 9])
@pytest.mark.parametrize("hops", [7, 9])
def test_no_bit_of_a_chain_hangs_on_the_number_of_threads(streams, hops, monkeypatch):
    network = Layered.dense([2, 517, 1030, 1])
    given = {"streams": streams, "hops": hops, "settle": 6, "engine": "native"}
    learner = Learner(network, COST, **given)
    start, whole = learner.init(jax.random.key(0)), stream(learner, 5)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(workers, "threads_given", threads)
        found.append(learner.run(start, whole, ("output", "loss")))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


@pytest.mark.parametrize(("scale", "bad"), [(1e10, 11), (1e25, 11), (1e25, 0)])
def test_what_diverges_is_told_as_xla_tells_it(scale, bad):
    network, law = Digraph.layered([2, 3, 1]), Hamiltonian(mass=0.01)
    told = []
    for name in ("native", "xla"):
        learner = Learner(network, COST, law, hops=7, settle=4, engine=name)
        start = learner.init(jax.random.key(0))
        u, z, _ = stream(learner, 40)
        z[bad] = scale
        given = Samples(u, z, weight=np.ones(40), begins=np.zeros(40))
        with pytest.raises(DivergenceError) as error:
            learner.run(start, given, chunk=16)
        first = jax.tree.map(lambda a, until=error.value.sample: a[:until], given)
        before = learner.run(start, first)[0] if error.value.sample else start
        assert all(np.isfinite(a).all() for a in jax.tree.leaves(error.value.phase))
        assert_same(error.value.phase, before)
        told.append((error.value.sample, error.value.quantity))
    assert told[0] == told[1]


def test_a_step_that_diverges_leaves_the_phase():
    learner = Learner(
        Digraph.layered([2, 1]), COST, Hamiltonian(mass=1e-30), hops=3, settle=0, engine="native"
    )
    start = learner.init(jax.random.key(0))
    with pytest.raises(DivergenceError) as error:
        learner.step(start, np.array([1e20, 0]), np.array([1e20]))
    assert error.value.sample == 0
    assert error.value.phase is start


def _convolution():
    block = Block(eqx.nn.Conv1d(2, 1, 3, key=jax.random.key(0)), ["u"])
    return Layered({"y": block}, inputs={"u": (2, 5)}, output="y"), COST


def _modes():
    block = Block(partial(Modes, None, "identity", ModeBank.leaks(1.0, 9.0, 2)), ["u"])
    top = Block(partial(eqx.nn.Linear, 8, 1), ["m"], join=read_modes())
    return Layered({"m": block, "y": top}, inputs={"u": (2,)}, output="y"), COST


SMALL, SLOW = Digraph.complete(3, 2), Digraph.complete(3, 2, speed=1.0)
UNKNOWN = {
    "Conv1d": _convolution,
    "sin": lambda: (Digraph.complete(3, 2, activation=jnp.sin), COST),
    "lambda": lambda: (SMALL, Cost(lambda y, z: jnp.sum((y - z) ** 4))),
    "modes without traces": _modes,
    "predicate": lambda: (SLOW, COST, Hamiltonian(HamiltonianTrack(predicate=bool))),
    "Splitting": lambda: (SMALL, COST, LeastAction(motion=Splitting())),
    "array": lambda: (SMALL, COST, Hamiltonian(mass=Adaptive(np.full((3, 6), 0.1)))),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_is_named_and_left_to_xla_by_auto(name):
    given = UNKNOWN[name]()
    with pytest.raises(ConfigError, match=f"'native' does not know .*{name}.*engine='auto'"):
        Learner(*given, hops=3, settle=0, engine="native")
    Learner(*given, hops=3, settle=0)
    with pytest.raises(ConfigError, match="engine 'fast'; take one of auto, xla, native, pallas"):
        Learner(*given, engine="fast")


def test_records_that_it_does_not_know_are_refused_or_left_to_xla():
    network = Digraph.complete(3, 2)
    auto, xla, native = (
        Learner(network, COST, hops=4, settle=1, engine=e) for e in ("auto", "xla", "native")
    )
    start, (u, z, durations) = auto.init(jax.random.key(0)), stream(auto)
    whole = Samples(u, z, durations, u[::-1])
    assert_same(auto.run(start, whole, RECORDS), xla.run(start, whole, RECORDS))
    with pytest.raises(ConfigError, match="'native' does not know record 'lagrangian'"):
        native.run(start, whole, RECORDS)


def test_wrong_shapes_and_numbers_are_told_as_by_xla():
    learner = LEARNERS["dense"]
    start, (u, z, _) = learner.init(jax.random.key(0)), stream(learner)
    with pytest.raises(StreamError, match="2 inputs, the sample has shape"):
        learner.run(start, (u[:, :1], z))
    with pytest.raises(StreamError, match="u of sample 0 must be finite"):
        learner.step(start, np.array([np.nan, 0]), z[0])
    with pytest.raises(StreamError, match="z of sample 0 must be finite, or NaN"):
        learner.step(start, u[0], np.array([np.inf]))
    with pytest.raises(StreamError, match="duration of sample 0 must be above 0"):
        learner.step(start, u[0], z[0], -1.0)
    with pytest.raises(ConfigError, match="does not fit this learner"):
        learner.run(LEARNERS["wide"].init(jax.random.key(0)), (u, z))
    with pytest.raises(ConfigError, match="cannot be traced"):
        jax.jit(lambda p: learner.run(p, (jnp.asarray(u) + p.time, z))[0].w)(start)


def test_importing_the_package_imports_no_compiler():
    code = "import sys, localprop; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == ["False", "False"]


def test_a_checkpoint_says_nothing_of_the_engine(tmp_path):
    from localprop import checkpoint

    native, xla = (LEARNERS["dense"], Learner(Digraph.complete(9, 2), COST, hops=4, settle=1))
    assert checkpoint.describe(native) == checkpoint.describe(xla)
