"""Large sparse networks, whose arcs lie in tiles while they learn."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from alike import (
    assert_alike,
    assert_same,
    assert_threads_and_cuts_change_no_bit,
    samples,
)

from localprop import Adaptive, Cost, Digraph, Hamiltonian, Learner, SquaredError
from localprop.native import engine_of
from localprop.native.plan import plan_of
from localprop.native.room import LARGE, Room
from localprop.native.tiles import NEAREST, SECOND, Tiles

COST = Cost(SquaredError())


def ring(neurons: int, parents: int, **options) -> Digraph:
    """Returns neurons that read far ones as well as near ones; the first reads the input."""
    gaps = (np.arange(1, parents + 1) ** 3 * 1237) % (neurons - 1) + 1
    heads = np.repeat(np.arange(neurons), parents)
    tails = (heads + np.tile(gaps, neurons)) % neurons
    ends = np.append(tails + 1, 0), np.append(heads + 1, 1)
    names = ["u", *range(neurons)]
    return Digraph(
        names, *ends, inputs=1, outputs=[0, neurons // 2], bias=False, storage="sparse", **options
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "law",
    [
        Hamiltonian(mass=50.0, dissipation=0.5),
        Hamiltonian(mass=Adaptive(0.002, 0.01, 1e-3), dissipation=0.5),
        Hamiltonian(mass=50.0, dissipation=0.5, weights="explicit"),
    ],
    ids=["constant mass", "adaptive mass", "explicit"],
)
@pytest.mark.parametrize("speed", [np.inf, 1.5])
def test_a_tiled_network_follows_xla(law, speed):
    network = ring(20_000, 3, activation="gelu", speed=speed)
    cost = Cost(SquaredError(), weight_decay=1e-3)
    given = {"hops": 4, "settle": 1, "average": 5}
    native, xla = (Learner(network, cost, law, engine=e, **given) for e in ("native", "xla"))
    assert engine_of(native).tiles.some
    assert_alike(native, xla, samples(native, 0, durations=True, begins=True, length=8), 1e-8)


def test_no_bit_of_a_tiled_network_hangs_on_threads_or_cuts(monkeypatch):
    learner = Learner(ring(40_000, 30), COST, hops=3, settle=1, engine="native")
    stream = samples(learner, 1, length=4)
    u, z = (np.asarray(a, np.float32) for a in (stream.u, stream.z))
    assert_threads_and_cuts_change_no_bit(learner, u, z, monkeypatch)


@pytest.mark.parametrize(("neurons", "bits"), [((1 << 18) + 70_001, SECOND), (50_001, NEAREST)])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_every_arc_is_in_one_place_of_its_tile(neurons, bits, parts):
    rng, sources = np.random.default_rng(0), 3 << SECOND
    heads = np.sort(rng.integers(0, neurons, 400_000))
    tails = rng.integers(0, sources, heads.size).astype(np.int32)
    plan = plan_of(Learner(ring(20_000, 3), COST, engine="native"))
    ints = {**plan.ints, "neurons": neurons, "sources": sources, "parts": parts}
    starts = np.searchsorted(heads, np.arange(neurons + 1)).astype(np.int64)
    shapes = {**plan.shapes, "w": tails.shape}
    tiles = Tiles(plan._replace(ints=ints, starts=starts, tails=tails, shapes=shapes))
    ends = np.stack([heads, tails]).astype(np.int32)
    laid, back = np.empty_like(ends), np.empty_like(ends)
    for k in range(2):
        tiles.lay_out(ends[k], laid[k], 2)
        tiles.bring_back(laid[k], back[k], 1)
    np.testing.assert_array_equal(back, ends)
    assert tiles.bits == bits
    told = np.stack([tiles.index >> bits, tiles.index & ((1 << bits) - 1)])
    covered = 0
    for q in range(parts):
        first = q * neurons // parts
        for k in range(tiles.ends.shape[1]):
            own = slice(tiles.begins[q, k], tiles.ends[q, k])
            across, down = divmod(k, tiles.down)
            corner = [[first + (down << 32 - bits)], [across << bits]]
            np.testing.assert_array_equal(told[:, own] + np.array(corner), laid[:, own])
            covered += own.stop - own.start
    assert covered == heads.size


def test_memory_comes_back_when_its_last_view_is_gone():
    room = Room((LARGE // 8, 2), np.float32, most=1)
    first, second = room.array(), room.array()
    places = {first.ctypes.data, second.ctypes.data}
    view = first[3:].T
    del first
    assert room.array().ctypes.data not in places  # comes back at once, and fills the room
    del second
    view[:] = 1  # still there
    del view
    assert len(room.free) == 1


def test_a_phase_stays_as_it_is_while_others_come_and_go():
    learner = Learner(Digraph.complete(1100, 2), COST, hops=2, settle=0, engine="native")
    stream = samples(learner, 0, length=2)
    u, z = (np.asarray(a, np.float32) for a in (stream.u, stream.z))
    phase, _ = learner.run(learner.init(jax.random.key(0)), (u, z))
    kept = jax.tree.map(np.array, phase)
    for _ in range(4):
        learner.run(phase, (u, z))
    assert_same(phase, kept)
