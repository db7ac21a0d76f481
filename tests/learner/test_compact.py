"""Equal layers that follow each other are one block to the compiler, and nobody else sees it."""

from __future__ import annotations

import dataclasses
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Block,
    Cost,
    FastCostates,
    Growing,
    Hamiltonian,
    Layered,
    Learner,
    LeastAction,
    SquaredError,
    Traces,
)
from localprop.learner.compact import compact
from localprop.learner.loop import learn_loop
from localprop.learner.samples import Samples
from localprop.network.block import dense
from localprop.network.stacked import Stacked, equal_layers

ALIKE = Layered.dense([3, 5, 5, 5, 5, 2])
LAWS = {
    "constant mass": Hamiltonian(mass=50.0, dissipation=0.5),
    "adaptive mass": Hamiltonian(mass=Adaptive(0.003), dissipation=0.5),
    "growing mass": Hamiltonian(FastCostates(), mass=Growing(0.01), dissipation=0.1),
    "least action": LeastAction(),
}


def layer(parent, size_in=5, size_out=5, activation="tanh", **settings):
    return Block(eqx.Partial(dense, size_in, size_out), [parent], activation, **settings)


def chains(blocks, output="last"):
    return equal_layers(Layered(blocks, inputs=(5,), output=output))


def stream(samples, network, streams=None):
    rng, lead = np.random.default_rng(0), (samples,) if streams is None else (samples, streams)
    sizes = network.inputs["input"][0], network.shapes[network.output_block][0]
    return tuple(rng.standard_normal((*lead, n)) for n in sizes)


def learned(learner, phase, u, z, stacked):
    """The phase after some samples, by a program with layers in one block or apart."""
    part = Samples(jnp.asarray(u), jnp.asarray(z))
    changed, start, laid_out = compact(learner, phase)
    if not stacked:
        changed, start, laid_out = learner, phase, lambda phase: phase
    record = ("output", "loss", "w_norm", "input_slope")
    after, trace, _ = eqx.filter_jit(learn_loop)(changed, part, len(u), record, start)
    return laid_out(after), trace


AVERAGE, REVIEW = {"average": 5}, {"review": 4}
QUICK = [("adaptive mass", None, AVERAGE), ("least action", 3, AVERAGE)]
QUICK += [("adaptive mass", 3, REVIEW), ("least action", None, REVIEW)]
QUICK += [("constant mass", None, {}), ("growing mass", 3, {})]


@pytest.mark.parametrize(
    ("law", "streams", "settings"),
    [
        pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
        for case in product(LAWS, [None, 3], [{}, AVERAGE, REVIEW])
    ],
    ids=str,
)
@pytest.mark.usefixtures("x64")
def test_stacked_layers_learn_what_layers_apart_learn(law, streams, settings):
    cost = Cost(SquaredError(), weight_decay=0.01)
    learner = Learner(ALIKE, cost, LAWS[law], hops=13, streams=streams, engine="xla", **settings)
    phase, (u, z) = learner.init(jax.random.key(1)), stream(6, ALIKE, streams)
    together, apart = (learned(learner, phase, u, z, stacked) for stacked in (True, False))
    assert jax.tree.structure(together[0]) == jax.tree.structure(phase)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        # Some hundred hops of numbers of order 1 in float64, rounded in another order.
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    for a, b in zip(
        jax.tree.leaves(learner.advance(phase, Samples(u, z))[0]),
        jax.tree.leaves(apart[0]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_what_is_stacked_comes_apart_to_the_bit():
    stacked = Stacked(ALIKE, equal_layers(ALIKE))
    x, w = ALIKE.init(jax.random.key(0))
    for tree, axis in ((w, 0), (jax.tree.map(lambda a: jnp.tile(a, (3, 1)), x), 1)):
        again = stacked.unstack(stacked.stack(tree, axis), axis)
        assert jax.tree.structure(again) == jax.tree.structure(tree)
        for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(tree), strict=True):
            np.testing.assert_array_equal(a, b)


def equations(depth):
    """How many operations, those within loops too, the program of a sample has."""
    network = Layered.dense([3] + depth * [4] + [2])
    learner = Learner(network, Cost(SquaredError()), LAWS["adaptive mass"], hops=40, settle=8)
    learner, phase, _ = compact(learner, learner.init(jax.random.key(0)))
    sample = Samples(jnp.zeros(3), jnp.zeros(2))
    lowered = jax.jit(lambda p: learner.present(p, sample)).lower(phase)
    return len(lowered.as_text().splitlines())


def test_the_program_of_a_sample_does_not_grow_with_depth():
    assert equations(32) == equations(8) == equations(4)


def test_equal_layers_are_those_that_only_the_next_one_reads():
    assert equal_layers(ALIKE) == (("hidden2", "hidden3", "hidden4"),)
    assert equal_layers(Layered.dense([3, 5, 5, 2])) == ()
    alike = {"a": layer("input"), "b": layer("a"), "c": layer("b"), "last": layer("c", 5, 1)}
    assert chains(alike) == (("a", "b", "c"),)
    assert chains({**alike, "b": layer("a", activation="relu")}) == ()
    assert chains({**alike, "b": layer("a", speed=0.5)}) == ()
    assert chains({**alike, "b": layer("a", fixed=True)}) == ()
    assert chains({**alike, "b": layer("a", silent=["a"])}) == ()
    skip = Block(eqx.Partial(dense, 10, 1), ["c", "a"])
    assert chains({**alike, "last": skip}) == (("b", "c"),)
    assert chains(alike, output=["a", "c", "last"][2:]) == (("a", "b", "c"),)


def test_what_may_look_at_layers_by_name_sees_them_as_they_are():
    phase = Learner(ALIKE, Cost(SquaredError())).init(jax.random.key(0))
    by_group = Adaptive(rate=dict.fromkeys(ALIKE.wiring, 1e-3))
    named = lambda w: jnp.sum(w["hidden2"].weight ** 2)  # noqa: E731

    class OwnLaw(Hamiltonian):
        pass

    for law, cost in (
        (Hamiltonian(mass=by_group), Cost(SquaredError())),
        (Hamiltonian(), Cost(SquaredError(), 0.1, named)),
        (OwnLaw(), Cost(SquaredError())),
    ):
        learner = Learner(ALIKE, cost, law)
        assert compact(learner, phase)[0] is learner


def test_traces_are_those_of_layers_apart():
    network = Layered.dense([3, 5, 5, 5, 2], speed=0.5)
    learner = Learner(network, Cost(SquaredError()), Hamiltonian(traces=Traces()), hops=3)
    phase = learner.init(jax.random.key(0))
    assert compact(learner, phase)[0] is learner
    plain = dataclasses.replace(phase, trace=None)
    assert compact(dataclasses.replace(learner), plain)[0] is not learner


def test_predictions_are_those_of_layers_apart():
    learner = Learner(ALIKE, Cost(SquaredError()), average=3)
    phase, (u, z) = learner.init(jax.random.key(0)), stream(20, ALIKE)
    phase, _ = learner.run(phase, (u, z))
    expected = jax.vmap(lambda u: learner._answer(phase, u))(jnp.asarray(u, jnp.float32))
    np.testing.assert_allclose(learner.predict_many(phase, u), expected, rtol=1e-5, atol=1e-6)
    # A preview is what the sample's own hops would predict.
    previewed = learner.preview_many(phase, Samples(u, z))
    present = lambda u, z: learner.present(phase, Samples(u, z))[1]  # noqa: E731
    given = (jnp.asarray(a, jnp.float32) for a in (u, z))
    np.testing.assert_allclose(previewed, jax.vmap(present)(*given), rtol=1e-5, atol=1e-6)
