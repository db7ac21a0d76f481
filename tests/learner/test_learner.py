"""The loop: honest outputs, chunks, compilations, donation, records, durations."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    ConfigError,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    Samples,
    SquaredError,
)
from localprop.learner import RECORDS, loop

GENTLE = Hamiltonian(mass=30.0, dissipation=0.5)


def stream(length, inputs=2, outputs=1, seed=0, durations=False):
    rng = np.random.default_rng(seed)
    u, z = rng.standard_normal((length, inputs)), rng.standard_normal((length, outputs))
    pair = u.astype(np.float32), z.astype(np.float32)
    return (*pair, rng.uniform(0.5, 9.0, length).astype(np.float32)) if durations else pair


def assert_same(a, b):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", ["semi-implicit", "explicit"])
@pytest.mark.parametrize(
    ("hops", "settle"), [(1, 0), (2, 0), (3, 0), (3, 1), (4, 1), (5, 2), (6, 5), (7, 4)]
)
def test_output_of_a_sample_does_not_depend_on_its_own_target(hops, settle, weights):
    law = Hamiltonian(mass=1.0, dissipation=0.1, weights=weights)
    # Depth 1 is the hardest: a target reaches the outputs' own weights at once.
    learner = Learner(Digraph.layered([2, 1]), Cost(SquaredError()), law, hops=hops, settle=settle)
    (u, z), start = stream(6), learner.init(jax.random.key(0))
    phase, _ = learner.run(start, (u[:5], z[:5]))

    @jax.jit
    def outputs(target):
        after, output = learner.present(phase, Samples(jnp.asarray(u[5]), target))
        return output, learner.network.output(after.x)

    output, at_the_end = jax.jacobian(outputs)(jnp.asarray(z[5]))
    np.testing.assert_array_equal(output, 0)
    # The control: the target does reach the outputs, one or two hops later.
    first_to_know = max(settle + 1, 2) + (2 if weights == "explicit" else 1)
    assert (np.abs(at_the_end).max() > 0) == (hops >= first_to_know)


def test_output_stays_the_same_bit_for_bit_when_the_target_changes():
    network = Layered.dense([2, 8, 8, 1])
    for hops, settle in (("auto", "auto"), (4, 0), (1, 0)):
        law = Hamiltonian(mass=Adaptive(0.01), dissipation=0.5)
        learner = Learner(network, Cost(SquaredError()), law, hops=hops, settle=settle)
        u, z = stream(20)
        start = learner.init(jax.random.key(0))
        changed = z.copy()
        changed[12] += 3.0
        a, b = (learner.run(start, (u, target))[1]["output"] for target in (z, changed))
        np.testing.assert_array_equal(a[:13], b[:13])
        assert np.all(a[14:] != b[14:])


def test_chunks_change_no_number_bit_for_bit():
    learner = Learner(Layered.dense([2, 6, 1]), Cost(SquaredError(), 0.01), GENTLE)
    whole = stream(100, durations=True)
    start = learner.init(jax.random.key(0))
    record = ("output", "loss", "hamiltonian", "w_norm")
    expected = learner.run(start, whole, record)

    def cut(sizes):
        ends = np.cumsum(sizes)
        return (tuple(a[n - k : n] for a in whole) for k, n in zip(sizes, ends, strict=True))

    for chunk in (1, 7, 64, 100):
        assert_same(learner.run(start, whole, record, chunk=chunk), expected)
    for sizes in ([10, 40, 3, 1, 46], [33, 33, 34], [1] * 100):
        assert_same(learner.run(start, cut(sizes), record), expected)


def test_step_is_a_run_of_one_sample():
    learner = Learner(Layered.dense([2, 6, 1]), Cost(SquaredError()), GENTLE)
    u, z, durations = stream(8, durations=True)
    by_step = by_run = learner.init(jax.random.key(0))
    for k in range(8):
        by_step, output = learner.step(by_step, u[k], z[k], durations[k])
        one = slice(k, k + 1)
        by_run, trace = learner.run(by_run, (u[one], z[one], durations[one]))
        np.testing.assert_array_equal(output, trace["output"][0])
        assert_same(by_step, by_run)


class Count:
    """An activation that counts how often it is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, a):
        self.traces += 1
        return jnp.tanh(a)


def test_a_stream_in_ragged_chunks_is_compiled_once(caplog):
    count = Count()
    learner = Learner(Digraph.complete(5, 2, activation=count), Cost(SquaredError()), GENTLE)
    phase = learner.init(jax.random.key(0))
    u, z = stream(120)
    pieces = [(u[a:b], z[a:b]) for a, b in ((0, 30), (30, 37), (37, 67), (67, 68), (68, 120))]
    with jax.log_compiles(), caplog.at_level(logging.DEBUG, "jax"):
        list(learner.chunks(phase, iter(pieces[:1])))
        traced = count.traces
        phase, _ = learner.run(phase, iter(pieces))
        learner.run(phase, stream(77, seed=1), chunk=30)
    assert count.traces == traced
    compiled = [r for r in caplog.records if r.message.startswith("Compiling jit(_learn_chunk)")]
    assert len(compiled) == 1


def test_steps_of_any_duration_are_compiled_once():
    count = Count()
    learner = Learner(Digraph.complete(3, 2, activation=count), Cost(SquaredError()), GENTLE)
    phase = learner.init(jax.random.key(0))
    u, z = stream(4)
    phase, _ = learner.step(phase, u[0], z[0], 1.0)
    traced = count.traces
    for k in range(1, 4):
        phase, _ = learner.step(phase, u[k], z[k], 1.0 + k)
        phase, _ = learner.step(phase, jnp.array([0.5, k]), np.array([k]), np.float64(k))
    assert count.traces == traced


def test_the_loop_works_in_the_buffers_of_the_phase_that_it_returns():
    network = Layered.dense([2, 200, 200, 1])
    learner = Learner(network, Cost(SquaredError()), GENTLE, engine="xla")
    start = learner.init(jax.random.key(0))
    arguments = learner._chunk_arguments(start, Samples(*stream(20)), 20, ("output",))
    memory = loop._learn_chunk.lower(arguments, start).compile().compiled.memory_analysis()
    # Beside what comes in and what goes out: two arrays like the weights, no third or fourth copy.
    assert memory.temp_size_in_bytes < 2.1 * sum(w.nbytes for w in jax.tree.leaves(start.w))
    after, _ = learner.run(start, stream(20), chunk=10)
    # What the caller holds stays valid.
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((start, after)))


@pytest.mark.usefixtures("x64")
def test_records_are_their_formulas():
    network, mass, k = Digraph.complete(4, 2, outputs=(1,)), 20.0, 0.05
    law = Hamiltonian(mass=mass, dissipation=0.3)
    learner = Learner(network, Cost(SquaredError(), weight_decay=k), law, hops=4, settle=1)
    start = learner.init(jax.random.key(0))
    u, z = stream(12)
    steps = list(learner.chunks(start, (u, z, np.full(12, 0.8), u[::-1]), RECORDS, chunk=1))
    _, trace = learner.run(start, (u, z, np.full(12, 0.8), u[::-1]), RECORDS)
    for i, (phase, _) in enumerate(steps):
        x, costate, w, momentum = map(np.asarray, (phase.x, phase.costate, phase.w, phase.momentum))
        rate = (x[1] - z[i, 0]) ** 2 / 2 + k * (w**2).sum() / 2
        kinetic = (momentum**2).sum() / (2 * mass)
        power = costate @ (np.tanh(w @ np.array([*u[i], 1.0, *x])) - x)
        expected = {
            "loss": (trace["output"][i, 0] - z[i, 0]) ** 2 / 2,
            "lagrangian": kinetic + rate,
            "hamiltonian": rate + power - kinetic,
            "x_norm": np.linalg.norm(x),
            "costate_norm": np.linalg.norm(costate),
            "w_norm": np.linalg.norm(w),
            "momentum_norm": np.linalg.norm(momentum),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(trace[name][i], value, rtol=1e-12, err_msg=name)
        # Depth 1, at the default duration 4 of four hops: one relaxation with infinite speed.
        query = np.tanh(w @ np.array([*u[::-1][i], 1.0, *x]))[1]
        np.testing.assert_allclose(trace["answer"][i, 0], query, rtol=1e-12)
        np.testing.assert_allclose(learner.predict(phase, u[::-1][i]), [query], rtol=1e-12)
        # The output: the state after two blind hops, from the weights before the sample.
        before = start if i == 0 else steps[i - 1][0]
        seen = np.asarray(before.x)
        for _ in range(2):
            seen = np.tanh(np.asarray(before.w) @ np.array([*u[i], 1.0, *seen]))
        np.testing.assert_allclose(trace["output"][i, 0], seen[1], rtol=1e-12)


def test_durations_set_the_length_of_hops_and_the_time():
    learner = Learner(Digraph.complete(3, 2, speed=0.5), Cost(SquaredError()), GENTLE, hops=4)
    start = learner.init(jax.random.key(0))
    u, z, durations = stream(9, durations=True)
    after, _ = learner.run(start, (u, z, durations))
    np.testing.assert_allclose(after.time, durations.sum(), rtol=1e-5)
    assert after.hop == 36
    constant = Learner(
        learner.network, learner.cost, learner.law, hops=4, settle=learner.settle, duration=2.5
    )
    ours, theirs = constant.run(start, (u, z)), learner.run(start, (u, z, np.full(9, 2.5)))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        # A constant is folded by the compiler: equal up to float32's rounding in 36 hops.
        np.testing.assert_allclose(a, b, rtol=36 * 1.2e-7, atol=1e-6)


def test_samples_without_target_teach_nothing_and_the_network_runs_on():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()), GENTLE)
    start = learner.init(jax.random.key(0))
    u, z = stream(10)
    after, trace = learner.run(start, (u, np.full_like(z, np.nan)))
    np.testing.assert_array_equal(trace["loss"], 0)
    assert_same((after.w, after.momentum, after.costate), (start.w, start.momentum, start.costate))
    assert len(np.unique(trace["output"])) == 10


def test_lists_and_arrays_of_any_kind_are_one_stream():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()), GENTLE)
    start, (u, z, durations) = learner.init(jax.random.key(0)), stream(8, durations=True)
    expected = learner.run(start, (u, z, durations))
    lists = u.tolist(), z.tolist(), durations.tolist()
    rows = list(u), [jnp.asarray(row) for row in z], tuple(durations)
    for given in (lists, rows, (u.astype(np.float64), jnp.asarray(z), durations.astype(object))):
        assert_same(learner.run(start, given), expected)
        assert_same(
            learner.run(
                start, iter([[part[:3] for part in given], Samples(*(part[3:] for part in given))])
            ),
            expected,
        )
        assert_same(learner.advance(start, Samples(*given)), expected)
    by_step = start
    for k in range(8):
        by_step, _ = learner.step(by_step, u[k].tolist(), z[k].tolist(), float(durations[k]))
    assert_same(by_step, expected[0])


def test_a_masked_target_is_missing():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()), GENTLE)
    start, (u, z) = learner.init(jax.random.key(0)), stream(8)
    hidden = np.arange(8)[:, None] % 3 == 0
    expected = learner.run(start, (u, np.where(hidden, np.nan, z)))
    masked = np.ma.array(np.where(hidden, 1e30, z), mask=hidden)
    for target in (masked, list(masked), np.ma.array(masked, np.float64)):
        assert_same(learner.run(start, (np.ma.array(u), target)), expected)
    whole = np.ma.array(np.arange(8)[:, None], mask=hidden)  # whole numbers have no NaN
    missing = np.where(hidden, np.nan, np.arange(8.0)[:, None])
    assert_same(learner.run(start, (u, whole)), learner.run(start, (u, missing)))


def test_several_streams_have_an_axis_of_their_own():
    network = Digraph.layered([2, 4, 1])
    many = Learner(network, Cost(SquaredError()), GENTLE, streams=3)
    one = Learner(network, Cost(SquaredError()), GENTLE)
    start = many.init(jax.random.key(0))
    u, z = stream(30)
    same = np.stack([u] * 3, axis=1), np.stack([z] * 3, axis=1)
    after, trace = many.run(start, same)
    expected, alone = one.run(one.init(jax.random.key(0)), (u, z))
    assert trace["output"].shape == (30, 3, 1)
    # Three equal streams are one stream; sums of thirds round otherwise.
    np.testing.assert_allclose(trace["output"][:, 1], alone["output"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trace["loss"], alone["loss"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(after.w, expected.w, rtol=1e-4, atol=1e-5)


def test_an_empty_stream_changes_nothing():
    learner = Learner(Digraph.complete(3, 2), Cost(SquaredError()))
    start = learner.init(jax.random.key(0))
    for empty in (iter([]), (np.zeros((0, 2)), np.zeros((0, 1)))):
        after, trace = learner.run(start, empty)
        assert_same(after, start)
        assert len(trace["loss"]) == 0


def test_automatic_hops_let_the_error_arrive_before_weights_move():
    network, cost = Layered.dense([2, 3, 3, 1]), Cost(SquaredError())
    for hops, expected in (("auto", (9, 6)), (7, (7, 6)), (6, (6, 2)), (3, (3, 2)), (2, (2, 0))):
        learner = Learner(network, cost, hops=hops)
        assert (learner.hops, learner.settle) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"hops": 0}, {"hops": 3, "settle": 3}, {"settle": -1}, {"duration": 0.0},
        {"duration": -1.0}, {"duration": float("nan")}, {"duration": float("inf")}, {"streams": 0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError):
        Learner(Digraph.complete(3, 1), Cost(SquaredError()), **settings)
