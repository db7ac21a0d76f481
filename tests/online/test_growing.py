"""A network that grows: nothing that was there changes by a bit, and no row knows a later one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Cost, SoftmaxCrossEntropy, SquaredError
from localprop.errors import GraphError
from localprop.learner import Samples
from localprop.network import grow
from localprop.online.defaults import law_for
from localprop.online.growing import LANES, Model

CAPACITY = 50


def model(loss=None, hidden=(5, 4)):
    law = law_for("hamiltonian", "classification")
    cost = Cost(loss or SoftmaxCrossEntropy())
    options = {"hops": "auto", "output_scale": 0.3, "bias_scale": 0.5, "seed": 3, "start": (3, 2)}
    return Model(cost, law, hidden, capacity=CAPACITY, **options)


def stream(rows, inputs, classes, seed=0):
    rng = np.random.default_rng(seed)
    return Samples(rng.normal(size=(rows, inputs)), np.eye(classes)[rng.integers(0, classes, rows)])


def arrays(phase):
    found = jax.tree_util.tree_flatten_with_path(phase)[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in found}


def assert_grown(old, new):
    """Every old number is in its place, and everything else is zero."""
    assert old.keys() == new.keys()
    for name, a in old.items():
        corner = tuple(slice(0, n) for n in a.shape)
        np.testing.assert_array_equal(new[name][corner], a)
        rest = new[name].copy()
        rest[corner] = 0
        assert not rest.any()


@pytest.mark.parametrize("room", [(9, 2), (8, 3), (40, 20)])
def test_growing_moves_no_number(room):
    grown = model()
    grown.learn(stream(CAPACITY, 6, 2), ("output",), 0)
    before = arrays(grown.phase)
    grown.make_room(*room)
    assert_grown(before, arrays(grown.phase))
    assert grown.inputs >= room[0]
    assert grown.outputs >= room[1]


@pytest.mark.parametrize("room", [(9, 2), (8, 3), (40, 2), (8, 20)])
def test_growing_changes_no_answer(room):
    grown = model()
    samples = stream(CAPACITY, 6, 2)
    grown.learn(samples, ("output",), 0)
    u = np.pad(samples.u[7], (0, grown.inputs - 6)).astype(np.float32)
    before = np.asarray(grown.learner.predict(grown.phase, u))
    grown.make_room(*room)
    after = grown.learner.predict(grown.phase, np.pad(u, (0, grown.inputs - len(u))))
    np.testing.assert_array_equal(before, np.asarray(after)[:2])


@pytest.mark.parametrize("inputs", [3, 9, 20])
def test_silent_new_inputs_never_change_a_bit_of_what_follows(inputs):
    plain, grown = model(), model()
    samples = stream(2 * CAPACITY, inputs, 2)
    first, second = (Samples(samples.u[r], samples.z[r]) for r in np.split(np.arange(100), 2))
    for each in (plain, grown):
        each.learn(first, ("output",), 0)
    grown.make_room(50, 2)
    expected = plain.learn(second, ("output",), CAPACITY)["output"]
    np.testing.assert_array_equal(grown.learn(second, ("output",), CAPACITY)["output"], expected)


def growing_stream():
    """Six inputs and two classes; three more inputs from row 40, a third class from row 30, ..."""
    samples = stream(CAPACITY, 30, 5)
    u, z = samples.u.copy(), np.full((CAPACITY, 8), np.nan)
    u[:40, 6:], u[45:, 9:] = 0, u[45:, 9:]
    u[:45, 9:] = 0
    for row, known in ((0, 2), (30, 3), (42, 5)):
        labels = np.arange(row, CAPACITY) % known
        z[row:, :known] = np.eye(known)[labels]
    return u, z


@pytest.mark.parametrize("cuts", [(), (40,), (13, 31, 44), tuple(range(1, CAPACITY, 6))])
def test_pieces_do_not_change_a_bit_of_a_growing_network(cuts):
    u, z = growing_stream()
    trained = []
    for places in ((10,), (10, *(c for c in cuts if c > 10))):
        grown, outputs = model(), []
        for rows in np.split(np.arange(CAPACITY), places):
            width = int(np.flatnonzero(u[: rows[-1] + 1].any(axis=0))[-1]) + 1
            part = Samples(u[rows, :width], z[rows])
            if rows[0] == 0:
                part = Samples(part.u, part.z[:, :2])
            output = grown.learn(part, ("output",), int(rows[0]))["output"]
            outputs.append(np.pad(output, ((0, 0), (0, 8 - output.shape[1]))))
        trained.append((np.concatenate(outputs), arrays(grown.phase)))
    np.testing.assert_array_equal(trained[0][0], trained[1][0])
    for name, a in trained[0][1].items():
        np.testing.assert_array_equal(a, trained[1][1][name])


def test_a_later_class_changes_no_earlier_output():
    u, z = growing_stream()
    outputs = []
    for rows in (30, CAPACITY):
        grown = model()
        grown.learn(Samples(u[:10, :6], z[:10, :2]), ("output",), 0)
        trace = grown.learn(Samples(u[10:rows], z[10:rows]), ("output",), 10)
        outputs.append(trace["output"])
    np.testing.assert_array_equal(outputs[0], outputs[1][:20, : outputs[0].shape[1]])
    assert not outputs[1][:20, 2:].any()


def test_a_network_without_inputs_learns_the_mean():
    empty = model(SquaredError(), hidden=())
    samples = Samples(np.zeros((CAPACITY, 0)), np.ones((CAPACITY, 1)))
    for k in range(40):
        output = empty.learn(samples, ("output",), k * CAPACITY)["output"]
    assert empty.inputs == LANES
    assert output[-1, 0] == pytest.approx(1.0, abs=0.1)


def test_growing_refuses_to_shrink_or_to_change_its_parts():
    with pytest.raises(GraphError, match=r"\['a'\] cannot grow from \(3,\) to \(2,\)"):
        grow({"a": jnp.zeros(3)}, {"a": jnp.zeros(2)})
    with pytest.raises(GraphError, match="cannot grow"):
        grow({"a": jnp.zeros(3)}, {"a": jnp.zeros((3, 1))})
    with pytest.raises(GraphError, match="only the sizes"):
        grow({"a": jnp.zeros(3)}, {"b": jnp.zeros(3)})
    assert grow(jnp.float32(2.0), jnp.float32(0.0)) == 2.0
