"""Learners, and all that they are made of, survive pickle and copy with the same numbers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from localprop import (
    Adaptive,
    Block,
    Cauchy,
    Cost,
    CostateReversal,
    Digraph,
    ExplicitEuler,
    Hamiltonian,
    HamiltonianTrack,
    Inertial,
    Layered,
    Learner,
    LeastAction,
    Overdamped,
    SharedWeights,
    SignFlip,
    SoftmaxCrossEntropy,
    Splitting,
    SquaredError,
)
from localprop.by_name import reduced


@jax.jit
def bent(a):
    return jnp.tanh(a) + 0.1 * a


class Holder:
    @staticmethod
    @jax.jit
    def bent(a):
        return jnp.sin(a)


def convolutions():
    return Layered(
        {
            "conv": Block(partial(eqx.nn.Conv2d, 1, 2, 3, stride=2), ["input"], "relu"),
            "flat": Block(eqx.nn.Lambda(jnp.ravel), ["conv"]),
            "mlp": Block(partial(eqx.nn.MLP, 18, 3, 4, 1), ["flat"], jax.nn.gelu),
            "top": Block(eqx.nn.Linear(3, 2, key=jax.random.key(1)), ["mlp"], fixed=True),
        },
        inputs=(1, 8, 8),
        output="top",
    )


NETWORKS = {
    "layered digraph": lambda: Digraph.layered([3, 4, 2]),
    "dense": lambda: Digraph.complete(4, 3, (0, 1), activation="logistic", speed=2.0),
    "masked": lambda: Digraph.random(6, 3, (0, 1), density=0.4, storage="dense"),
    "sparse": lambda: Digraph.random(
        9, 3, (0, 1), storage="sparse", activation=["tanh", jnp.sin, bent] * 3
    ),
    "fixed arcs": lambda: Digraph.complete(
        2, 3, (0, 1), activation=Holder.bent, fixed={("u0", "x1"): 0.5}
    ),
    "dense blocks": lambda: Layered.dense([3, 4, 2], activation="softplus"),
    "convolutions": convolutions,
    "shared weights": lambda: SharedWeights(Digraph.layered([3, 4, 2], activation="relu"), 5),
}
COSTS = {
    "squared error": Cost(SquaredError(2.0), weight_decay=0.1),
    "cross-entropy": Cost(SoftmaxCrossEntropy()),
    "callables": Cost(optax.l2_loss, 0.1, regulariser=jnp.linalg.norm),
}
LAWS = {
    "adaptive": Hamiltonian(mass=Adaptive(0.01), dissipation=0.5),
    "reversal": Hamiltonian(CostateReversal(), 20.0, weights="explicit"),
    "flip": Hamiltonian(SignFlip(omega=0.5), 50.0, integrator=ExplicitEuler()),
    "track": Hamiltonian(HamiltonianTrack(predicate=bent)),
    "cauchy": Hamiltonian(Cauchy()),
    "least action": LeastAction(neurons=Inertial(0.5, 2.0), motion=Splitting()),
    "overdamped": LeastAction(neurons=Overdamped(1.2)),
}
WAYS = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_and_its_learner_give_the_same_numbers_afterwards(name, way):
    learner = Learner(NETWORKS[name](), Cost(SquaredError()), Hamiltonian(mass=300.0))
    again = WAYS[way](learner)
    assert jax.tree.structure(again) == jax.tree.structure(learner)
    rng = np.random.default_rng(0)
    streams = () if learner.network.streams is None else (learner.network.streams,)
    u = rng.standard_normal((6, *streams, *((1, 8, 8) if name == "convolutions" else (3,))))
    z = rng.standard_normal((6, *streams, 2))
    runs = [
        one.run(one.init(jax.random.key(0)), (u, z), ("output", "w_norm"))
        for one in (learner, again)
    ]
    for ours, theirs in zip(*map(jax.tree.leaves, runs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    phase = WAYS[way](runs[0][0])
    np.testing.assert_array_equal(learner.predict(phase, u[0]), learner.predict(runs[0][0], u[0]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*COSTS, *LAWS])
def test_costs_and_laws_are_equal_afterwards(name, way):
    thing = {**COSTS, **LAWS}[name]
    again = WAYS[way](thing)
    assert again == thing
    assert hash(jax.tree.structure(again)) == hash(jax.tree.structure(thing))


def test_a_learner_learns_the_same_in_another_process(tmp_path):
    learner = Learner(Layered.dense([2, 4, 1]), Cost(SquaredError()), LAWS["adaptive"])
    rng = np.random.default_rng(0)
    stream = rng.standard_normal((30, 2)), rng.standard_normal((30, 1))
    phase, _ = learner.run(learner.init(jax.random.key(0)), stream)
    path, result = tmp_path / "learner", tmp_path / "result"
    path.write_bytes(pickle.dumps((learner, phase, stream)))
    code = (
        "import pickle, sys; from pathlib import Path\n"
        "learner, phase, stream = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(learner.run(phase, stream)))\n"
    )
    subprocess.run([sys.executable, "-c", code, path, result], check=True, timeout=300)
    expected, found = learner.run(phase, stream), pickle.loads(result.read_bytes())
    for ours, theirs in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_not_found_by_its_name_pickles_as_it_would_without_this_package():
    assert reduced(bent) == "bent"
    assert reduced(Holder.bent) == "Holder.bent"
    assert reduced(jnp.add) == "add"
    hidden = jax.jit(pow)
    assert hidden.__qualname__ == "pow"
    by_value = pytest.importorskip("cloudpickle")
    assert by_value.loads(by_value.dumps(hidden))(2, 3) == 8
    assert by_value.loads(by_value.dumps(bent)) is bent
