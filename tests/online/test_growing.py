"""Networks that grow: nothing that was there changes by a bit, and no row knows a later one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Adaptive, Cost, Hamiltonian, Layered, SoftmaxCrossEntropy, SquaredError
from localprop.errors import GraphError
from localprop.learner import Learner, Samples
from localprop.network import grow
from localprop.online.bank import Bank, Expert
from localprop.online.growing import LANES, Model, Sizes

CAPACITY, STREAMS = 50, 2


def model(loss=None, hidden=(5, 4)):
    """A bank of a network that sees two rows at once, and of one that sees the new one alone."""
    law, cost = (
        Hamiltonian(mass=Adaptive(0.01), dissipation=0.5),
        Cost(loss or SoftmaxCrossEntropy()),
    )

    def build(sizes):
        dense = lambda n: Layered.dense(  # noqa: E731
            [n, *hidden, sizes.outputs], output_scale=0.3, bias_scale=0.5
        )
        both = Learner(dense(sizes.inputs), cost, law, streams=STREAMS)
        alone = Learner(dense(sizes.plain), cost, law)
        return Bank((Expert("both", both, "reviewed"), Expert("alone", alone, "plain")))

    return Model(build, seed=3, most=CAPACITY, streams=STREAMS, start=Sizes(3, 3, 2))


def samples(u, z):
    """Samples whose second row is the one before, and whose plain view is all of a row."""
    beside = [np.concatenate([a[:1], a[:-1]]) for a in (u, z)]
    rows, targets = (np.stack(pair, axis=1) for pair in zip((u, z), beside, strict=True))
    return Samples({"rows": rows, "plain": u}, targets)


def cut(stream, rows):
    return jax.tree.map(lambda a: a[rows], stream)


def stream(rows, inputs, classes, seed=0):
    rng = np.random.default_rng(seed)
    return samples(rng.normal(size=(rows, inputs)), np.eye(classes)[rng.integers(0, classes, rows)])


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


@pytest.mark.parametrize("room", [Sizes(9, 3, 2), Sizes(8, 9, 3), Sizes(40, 8, 20)])
def test_growing_moves_no_number_and_changes_no_answer(room):
    grown = model()
    learned = stream(CAPACITY, 6, 2)
    grown.learn(learned, ("output",))
    before = arrays(grown.phase)
    answers = grown.preview({"rows": learned.u["plain"], "plain": learned.u["plain"]}, None)
    grown.make_room(room)
    assert_grown(before, arrays(grown.phase))
    assert all(a >= b for a, b in zip(grown.sizes, room, strict=True))
    after = grown.preview({"rows": learned.u["plain"], "plain": learned.u["plain"]}, None)
    after = after[..., : answers.shape[2]]
    if room.outputs == 2:
        np.testing.assert_array_equal(answers, after)
    # With more outputs the compiler may add up the last layer's four terms in another order.
    np.testing.assert_allclose(answers, after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inputs", [3, 9, 20])
def test_silent_new_inputs_never_change_a_bit_of_what_follows(inputs):
    plain, grown = model(), model()
    whole = stream(2 * CAPACITY, inputs, 2)
    first, second = (cut(whole, rows) for rows in np.split(np.arange(100), 2))
    for each in (plain, grown):
        each.learn(first, ("output",))
    grown.make_room(Sizes(50, 40, 2))
    expected = plain.learn(second, ("output",))["output"]
    np.testing.assert_array_equal(grown.learn(second, ("output",))["output"], expected)


def growing_stream():
    """Six inputs and two classes; three more inputs from row 40, a third class from row 30, ..."""
    rng = np.random.default_rng(0)
    u, z = rng.normal(size=(CAPACITY, 30)), np.full((CAPACITY, 8), np.nan)
    u[:40, 6:] = 0
    u[:45, 9:] = 0
    for row, known in ((0, 2), (30, 3), (42, 5)):
        labels = np.arange(row, CAPACITY) % known
        z[row:, :known] = np.eye(known)[labels]
    return samples(u, z)


def narrow(part):
    """The piece without the inputs that nobody needs so far, as an encoder would give it."""
    width = int(np.flatnonzero(part.u["plain"].any(axis=0))[-1]) + 1
    u = {"rows": part.u["rows"][..., :width], "plain": part.u["plain"][:, :width]}
    return Samples(u, part.z)


SLOW_CUTS = [pytest.param(cuts, marks=pytest.mark.slow) for cuts in ((), (40,), (13, 31, 44))]


@pytest.mark.parametrize("cuts", [*SLOW_CUTS, tuple(range(1, CAPACITY, 6))])
def test_pieces_do_not_change_a_bit_of_a_growing_network(cuts):
    trained = []
    for places in ((10,), (10, *(c for c in cuts if c > 10))):
        grown, outputs = model(), []
        for rows in np.split(np.arange(CAPACITY), places):
            output = grown.learn(narrow(cut(growing_stream(), rows)), ("output",))["output"]
            outputs.append(np.pad(output, ((0, 0), (0, 0), (0, 8 - output.shape[2]))))
        trained.append((np.concatenate(outputs), arrays(grown.phase)))
    np.testing.assert_array_equal(trained[0][0], trained[1][0])
    for name, a in trained[0][1].items():
        np.testing.assert_array_equal(a, trained[1][1][name])


def test_a_later_class_changes_no_earlier_output():
    outputs = []
    for rows in (30, CAPACITY):
        grown = model()
        grown.learn(narrow(cut(growing_stream(), slice(0, 10))), ("output",))
        trace = grown.learn(narrow(cut(growing_stream(), slice(10, rows))), ("output",))
        outputs.append(trace["output"])
    np.testing.assert_array_equal(outputs[0], outputs[1][:20, :, : outputs[0].shape[2]])
    assert not outputs[1][:20, :, 2:].any()


def test_networks_without_inputs_learn_the_mean():
    empty = model(SquaredError(), hidden=())
    ones = samples(np.zeros((CAPACITY, 0)), np.ones((CAPACITY, 1)))
    for _ in range(40):
        output = empty.learn(ones, ("output",))["output"]
    assert empty.sizes[:2] == (LANES, LANES)
    np.testing.assert_allclose(output[-1, :, 0], 1.0, atol=0.1)


def test_growing_refuses_to_shrink_or_to_change_its_parts():
    with pytest.raises(GraphError, match=r"\['a'\] cannot grow from \(3,\) to \(2,\)"):
        grow({"a": jnp.zeros(3)}, {"a": jnp.zeros(2)})
    with pytest.raises(GraphError, match="cannot grow"):
        grow({"a": jnp.zeros(3)}, {"a": jnp.zeros((3, 1))})
    with pytest.raises(GraphError, match="only the sizes"):
        grow({"a": jnp.zeros(3)}, {"b": jnp.zeros(3)})
    assert grow(jnp.float32(2.0), jnp.float32(0.0)) == 2.0


def test_it_says_when_it_compiles_and_when_that_is_over():
    told, own = [], model()
    own.on_compile = told.append
    own.learn(stream(CAPACITY, 3, 2), ("output",))
    assert told == [True, False] * (len(told) // 2)
    assert told
    seconds = own.compile_seconds
    assert seconds > 0
    told.clear()
    own.learn(stream(CAPACITY, 3, 2), ("output",))
    assert told == []
    assert own.compile_seconds == seconds
    own.learn(stream(CAPACITY, 30, 2), ("output",))  # more inputs: it is built anew
    assert told[0] is True
    assert told[-1] is False
    assert own.compile_seconds > seconds


def test_it_stops_saying_so_where_building_fails():
    told, own = [], model()
    own.on_compile = told.append

    def fail(sizes):
        raise ValueError(sizes)

    own.build = fail
    with pytest.raises(ValueError, match="Sizes"):
        own.learn(stream(CAPACITY, 3, 2), ("output",))
    assert told == [True, False]
