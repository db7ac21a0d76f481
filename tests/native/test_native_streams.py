"""Weights that many streams share: rows eight at a time, arcs with a lane for each stream."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from alike import assert_alike, assert_same, assert_threads_and_cuts_change_no_bit, samples

from localprop import (
    Adaptive,
    Cost,
    Digraph,
    Growing,
    Hamiltonian,
    HamiltonianTrack,
    Learner,
    LeastAction,
    SignFlip,
    SquaredError,
    Traces,
)
from localprop.native import engine_of, plan, rows_of_streams

COST = Cost(SquaredError(), weight_decay=1e-3)
MASSES = {"constant": 50.0, "adaptive": Adaptive(0.002, 0.01, 1e-3), "growing": Growing(0.02, 2.0)}
SHOWN = {"durations": True, "missing": 0.3, "weights": True, "begins": True, "length": 4}


def pair(network, law, streams, **more):
    """Returns a learner of either engine; the native one takes all streams at once."""
    given = {"hops": 4, "settle": 1, "average": 5, "streams": streams, **more}
    native, xla = (Learner(network, COST, law, engine=e, **given) for e in ("native", "xla"))
    assert engine_of(native).shares
    return native, xla


# Fewer rows than eight, and some beside them; one vector of streams, several, and no whole one.
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("neurons", "streams", "mass", "speed"),
    [
        (3, 2, "constant", np.inf),
        (5, 8, "adaptive", 1.5),
        (45, 20, "constant", 1.5),
        (126, 33, "constant", 1.5),
        (16, 64, "growing", np.inf),
    ],
)
def test_streams_that_share_weights_follow_xla(storage, neurons, streams, mass, speed):
    network = Digraph.complete(neurons, 2, activation="gelu", speed=speed, storage=storage)
    law = Hamiltonian(mass=MASSES[mass], dissipation=0.5)
    learners = pair(network, law, streams)
    assert_alike(*learners, samples(learners[0], 0, **SHOWN), 1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("mass", ["constant", "adaptive"])
def test_wide_rows_follow_xla_piece_by_piece(mass, monkeypatch):
    monkeypatch.setattr(rows_of_streams, "NEAR", 1)
    law = Hamiltonian(mass=MASSES[mass], dissipation=0.5, weights="explicit")
    learners = pair(Digraph.complete(101, 2, (0, 7)), law, 7)
    assert not engine_of(learners[0]).many
    assert_alike(*learners, samples(learners[0], 1, **SHOWN), 1e-10)


# Rows and columns that fill a block, and some beside them; streams that fill their lanes, and not;
# so many that their sources stay near by a few columns at a time.
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("neurons", "streams", "mass", "order"),
    [
        (270, 9, "constant", "explicit"),
        (130, 43, "adaptive", "semi-implicit"),
        (133, 64, "growing", "semi-implicit"),
        (300, 250, "constant", "semi-implicit"),
    ],
)
def test_many_streams_follow_xla_block_by_block(neurons, streams, mass, order):
    law = Hamiltonian(mass=MASSES[mass], dissipation=0.5, weights=order)
    learners = pair(Digraph.complete(neurons, 2, (0, 7), speed=1.5), law, streams)
    assert engine_of(learners[0]).many
    assert_alike(*learners, samples(learners[0], 1, **SHOWN), 1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("storage", "streams"), [("dense", 3), ("dense", 20), ("sparse", 17)])
def test_samples_of_one_hop_follow_xla(storage, streams):
    network = Digraph.complete(20, 2, storage=storage)
    law = Hamiltonian(mass=50.0, dissipation=0.5)
    learners = pair(network, law, streams, hops=1, settle=0)
    assert_alike(*learners, samples(learners[0], 3, **SHOWN), 1e-10)


# The ball is left, and come back to, on the way.
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("streams", "radius"), [(7, 40.0), (40, 22.0)])
@pytest.mark.parametrize("kind", ["periods", "cosine", "ball"])
def test_policies_follow_xla(kind, streams, radius):
    policy = {
        "periods": SignFlip(2),
        "cosine": SignFlip(omega=2.3),
        "ball": HamiltonianTrack(radius, speed=1.5),
    }[kind]
    law = Hamiltonian(policy, mass=50.0, dissipation=0.5)
    learners = pair(Digraph.complete(6, 2, speed=1.5), law, streams)
    assert_alike(*learners, samples(learners[0], 4, **SHOWN), 1e-10)


@pytest.mark.parametrize("streams", [3, 40])
def test_samples_that_come_one_by_one_are_learned_to_the_same_bit(streams):
    learner = Learner(Digraph.complete(5, 2), COST, hops=3, streams=streams, engine="native")
    stream, phase = samples(learner, 5, length=5), learner.init(jax.random.key(0))
    after, told = learner.run(phase, stream, ("output",))
    for k in range(5):
        found = learner.predict(phase, stream.u[k])
        expected = learner.predict_many(phase, stream.u[k : k + 1])[0]
        np.testing.assert_array_equal(found, expected)
        phase, output = learner.step(phase, stream.u[k], stream.z[k])
        np.testing.assert_array_equal(output, told["output"][k])
    assert_same(phase, after)


@pytest.mark.usefixtures("x64")
def test_arcs_that_are_held_or_silent_follow_xla():
    made = {"neurons": 30, "inputs": 2, "density": 0.4, "seed": 3, "storage": "sparse"}
    arcs = [arc for arc in Digraph.random(**made).edges() if arc[0] != "1"]
    held = {arcs[3]: None, arcs[40]: 0.3}
    network = Digraph.random(**made, fixed=held, silent=[arcs[5], arcs[41]])
    learners = pair(network, Hamiltonian(mass=50.0, dissipation=0.5), 10)
    assert_alike(*learners, samples(learners[0], 2, **SHOWN), 1e-10)


# Rows of a part that are no whole eights, parts that have none, and arcs.
PARTED = [
    ("dense", 61, 8),
    ("dense", 12, 5),
    ("dense", 12, 20),
    ("dense", 131, 40),
    ("dense", 300, 250),
    ("sparse", 50, 17),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("storage", "neurons", "streams"), PARTED)
def test_parts_follow_xla(storage, neurons, streams, monkeypatch):
    monkeypatch.setattr(plan, f"{storage.upper()}_FROM", 1)
    network = Digraph.complete(neurons, 2, storage=storage, speed=1.5)
    learners = pair(network, Hamiltonian(mass=50.0, dissipation=0.5), streams)
    assert engine_of(learners[0]).plan.ints["parts"] > 1
    assert_alike(*learners, samples(learners[0], 3, **SHOWN), 1e-10)


@pytest.mark.parametrize(("storage", "neurons", "streams"), PARTED)
def test_no_bit_hangs_on_threads_or_cuts(storage, neurons, streams, monkeypatch):
    monkeypatch.setattr(plan, f"{storage.upper()}_FROM", 1)
    network = Digraph.complete(neurons, 2, storage=storage)
    learner = Learner(network, COST, hops=3, settle=1, streams=streams, engine="native")
    stream = samples(learner, 1, length=4)
    assert_threads_and_cuts_change_no_bit(learner, stream.u, stream.z, monkeypatch)


def test_one_stream_learns_as_it_does_among_others_that_have_no_target():
    """The others are at rest, and of no weight: what one stream learns alone is learned here."""
    network, law = Digraph.complete(20, 2), Hamiltonian(mass=50.0, dissipation=0.5)
    alone, among = (Learner(network, COST, law, hops=3, streams=s, engine="native") for s in (1, 9))
    stream = samples(alone, 0, length=6)
    u, z = np.zeros((6, 9, 2)), np.full((6, 9, 1), np.nan)
    u[:, 4], z[:, 4] = stream.u[:, 0], stream.z[:, 0]
    expected, _ = alone.run(alone.init(jax.random.key(1)), stream)
    found, _ = among.run(among.init(jax.random.key(1)), (u, z))
    # 18 hops of sums of 23 terms, at most some 18 × 23 roundings of 2⁻²⁴, most of which cancel.
    np.testing.assert_allclose(found.w, expected.w, rtol=0, atol=18 * 23 * 2.0**-24)


@pytest.mark.parametrize(
    ("law", "network"),
    [
        (Hamiltonian(traces=Traces()), Digraph.complete(4, 2, speed=1.0)),
        (LeastAction(), Digraph.complete(4, 2)),
        (Hamiltonian(), Digraph.random(6, 2, density=0.5, seed=1, storage="dense")),
    ],
    ids=["traces", "least action", "holes"],
)
def test_what_these_loops_do_not_know_is_left_to_xla(law, network):
    given = {"hops": 3, "settle": 1}
    alone, shared = (Learner(network, COST, law, streams=s, **given) for s in (1, 3))
    assert engine_of(alone).pays
    assert not engine_of(shared).pays
    native = Learner(network, COST, law, streams=3, engine="native", **given)
    u, z = np.ones((2, 3, 2), np.float32), np.ones((2, 3, 1), np.float32)
    after, _ = shared.run(shared.init(jax.random.key(0)), (u, z))
    expected, _ = native.run(native.init(jax.random.key(0)), (u, z))
    # 6 hops of sums of 9 terms over 3 streams, whose roundings of 2⁻²⁴ cancel for the most part.
    np.testing.assert_allclose(after.w, expected.w, rtol=0, atol=6 * 27 * 2.0**-24)


@pytest.mark.slow
def test_processors_with_short_vectors_learn_alike():
    """All of the above once more, compiled for a processor that has no vectors of 64 bytes."""
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-m",
        "not slow",
    ]
    features = "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.2,+popcnt,+f16c"
    given = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
    made = subprocess.run(tests, env={**os.environ, **given}, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-3000:]
