"""Calls for single samples that were written down: the same numbers, and the same manners."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import numpy as np
import pytest
from alike import assert_same

from localprop import (
    Adaptive,
    Cost,
    Digraph,
    DivergenceError,
    Hamiltonian,
    Learner,
    LeastAction,
    SquaredError,
    StreamError,
)
from localprop.native import engine_of

build = partial(Learner, cost=Cost(SquaredError()), engine="native")
LEARNERS = {
    "dense": build(Digraph.complete(5, 2), hops=4, settle=1),
    "padded": build(Digraph.complete(20, 2), law=Hamiltonian(mass=Adaptive()), hops=3, settle=1),
    "sparse": build(Digraph.random(9, 2, storage="sparse", density=0.3)),
    "streams": build(Digraph.complete(5, 2, speed=0.7), streams=2, hops=4, settle=0),
    "action": build(Digraph.layered([2, 4, 1]), law=LeastAction()),
}
kinds = pytest.mark.parametrize("kind", LEARNERS)


def stream(learner, seed=0, length=12):
    rng, several = np.random.default_rng(seed), learner.network.streams
    lead = (length,) if several is None else (length, several)
    u, z = rng.standard_normal((*lead, 2)), rng.standard_normal((*lead, 1))
    z[::5] = np.nan
    return u.astype(np.float32), z.astype(np.float32)


def steps(learner, phase, u, z, *more):
    outputs = []
    for one, other in zip(u, z, strict=True):
        phase, output = learner.step(phase, one, other, *more)
        outputs.append(output)
    return phase, outputs


def assert_same_kind(a, b):
    """Asserts that two trees hold the same numbers, in arrays of the same kind."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert_same(a, b)
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype


@kinds
def test_a_sample_by_itself_is_learned_as_one_with_a_duration_to_the_bit(kind):
    learner = LEARNERS[kind]
    assert engine_of(learner).small
    start, given = learner.init(jax.random.key(0)), stream(learner)
    # A duration that is given takes the long way.
    assert_same_kind(steps(learner, start, *given), steps(learner, start, *given, learner.duration))


@kinds
def test_an_input_by_itself_is_answered_as_among_others_to_the_bit(kind):
    learner = LEARNERS[kind]
    (u, z), start = stream(learner), learner.init(jax.random.key(0))
    phase, _ = steps(learner, start, u, z)
    for here in (start, phase):
        np.testing.assert_array_equal(
            [learner.predict(here, row) for row in u], learner.predict_many(here, u)
        )


def test_a_phase_stays_valid_whatever_is_learned_later_and_counts_as_it_is():
    learner = LEARNERS["dense"]
    u, z = stream(learner)
    first, _ = steps(learner, learner.init(jax.random.key(0)), u, z)
    kept = jax.tree.map(np.array, first)
    steps(learner, first, u, z)
    assert_same_kind(jax.tree.map(np.array, first), kept)
    expected = learner.predict(first, u[0])
    first.w[...] *= 2  # an array like any other
    assert learner.predict(first, u[0]) != expected
    doubled, _ = learner.step(first, u[0], z[0])
    assert_same_kind(doubled, learner.step(first, u[0], z[0], learner.duration)[0])


def test_threads_do_not_disturb_each_other():
    learner = LEARNERS["padded"]
    start, streams = (
        learner.init(jax.random.key(0)),
        [stream(learner, seed, 200) for seed in range(4)],
    )
    expected = [steps(learner, start, *given) for given in streams]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda given: steps(learner, start, *given), streams))
    for one, other in zip(found, expected, strict=True):
        assert_same_kind(one, other)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e39])
def test_numbers_that_cannot_be_learned_are_refused(wrong):
    learner = LEARNERS["dense"]
    phase, (u, z) = learner.init(jax.random.key(0)), stream(learner)
    bad = np.array([0.0, wrong])
    with np.errstate(over="ignore"):
        for refused in (
            lambda: learner.step(phase, bad, z[1]),
            lambda: learner.predict(phase, bad),
            lambda: learner.step(phase, u[0], np.array([np.inf])),
        ):
            with pytest.raises(StreamError):
                refused()
    with pytest.raises(StreamError):
        learner.step(phase, np.zeros(3, np.float32), z[1])


def test_a_sample_that_does_harm_is_told():
    network, law = Digraph.complete(5, 2, activation="identity"), Hamiltonian(mass=1e-3)
    learner = build(network, law=law, hops=4, settle=1)
    start, given = learner.init(jax.random.key(0)), stream(learner)
    with pytest.raises(DivergenceError) as found:
        steps(learner, start, *given)
    with pytest.raises(DivergenceError, match=f"^{re.escape(str(found.value))}$"):
        steps(learner, start, *given, learner.duration)


@pytest.mark.parametrize("streams", [None, 20])
def test_harm_is_forgotten_where_rows_have_room_between_them(streams):
    network, law = Digraph.complete(20, 2, activation="identity"), Hamiltonian(mass=50.0)
    learner = build(network, law=law, hops=3, settle=1, streams=streams)
    start, (u, z, *_) = learner.init(jax.random.key(0)), stream(learner)
    expected = learner.step(start, u[1], z[1])
    with pytest.raises(DivergenceError):
        learner.step(start, u[1], np.full_like(z[1], 1e38))
    (single,) = engine_of(learner).singles
    found = single.step(start, u[1], z[1])
    assert_same_kind(found, expected)


def test_large_networks_are_learned_without_pythons_lock():
    assert not engine_of(build(Digraph.complete(600, 2), hops=1, settle=0)).small
