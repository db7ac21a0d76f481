"""`hops="auto"` on digraphs with cycles: weights begin to move when the error has arrived."""

from __future__ import annotations

import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import (
    Adaptive,
    Block,
    Cost,
    Digraph,
    Hamiltonian,
    Layered,
    Learner,
    SquaredError,
    Traces,
    UnsettledWarning,
)
from localprop.learner.samples import Samples
from localprop.learner.settling import TOLERANCE

pytestmark = pytest.mark.usefixtures("x64")

COST = Cost(SquaredError())
STILL = Hamiltonian(mass=1e30)  # its first plastic hop shows the force, and moves no weight


def ring(n):
    """One input, one output, both at the first of `n` neurons in a ring."""
    arcs = [(f"a{i}", f"a{(i + 1) % n}") for i in range(n)]
    return Digraph.from_edges([("u", "a0"), *arcs], inputs=["u"], outputs=["a0"])


def feedback():
    """Two dense blocks that read each other."""
    blocks = {
        "a": Block(partial(eqx.nn.Linear, 5, 3), ["input", "b"], "tanh", shape=(3,)),
        "b": Block(partial(eqx.nn.Linear, 3, 3), ["a"], "tanh"),
    }
    return Layered(blocks, inputs=(2,), output="b")


def loop(weight):
    """One neuron that hears itself, and forgets by that factor from hop to hop."""
    arcs, held = [("u", "a"), ("a", "a")], {("a", "a"): weight}
    settings = {"activation": "identity", "fixed": held}
    return Digraph.from_edges(arcs, inputs=["u"], outputs=["a"], **settings)


NETWORKS = {
    "slow loop": lambda: loop(0.9),  # some 48 hops
    "ring of 4": lambda: ring(4),
    "ring of 12": lambda: ring(12),
    "complete": lambda: Digraph.complete(5, 2),
    "blocks": feedback,
}


def errors(*learners, starts=24):
    """The first force that moves a weight against the gradient at the fixed point, per start.

    The reference is reverse-mode differentiation through 400 drives.
    """
    network = learners[0].network
    size = network.inputs if isinstance(network, Digraph) else network.inputs["input"][0]

    def loss(w, x, u, z):
        # A scan, unlike a loop, can be differentiated backward.
        x, _ = jax.lax.scan(lambda x, _: (network.drive(x, w, u), None), x, length=400)
        return jnp.sum((network.output(x) - z) ** 2) / 2

    @jax.jit
    def all_of(start, u, z):
        moved = [one._hop_on(start, Samples(u, z), 0, one.settle + 1) for one in learners]
        return [p.momentum for p in moved], jax.grad(loss)(start.w, start.x, u, z)

    flat = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])  # noqa: E731
    off = []
    for seed in range(100, 100 + starts):
        key, ku, kz = jax.random.split(jax.random.key(seed), 3)
        start = learners[0].init(key)
        z = jax.random.normal(kz, network.output(start.x).shape)
        moved, gradient = all_of(start, jax.random.normal(ku, (size,)), z)
        if isinstance(network, Digraph) and network.plastic is not None:
            gradient = gradient * network.plastic  # what is held feels no force
        # The momentum of one hop of length 1 is minus the force.
        size_of = np.linalg.norm(flat(gradient))
        off.append([np.linalg.norm(flat(f) + flat(gradient)) / size_of for f in moved])
    return np.array(off).T


@pytest.mark.parametrize("name", NETWORKS)
def test_the_error_has_arrived_when_weights_begin_to_move(name):
    learner = Learner(NETWORKS[name](), COST, STILL)
    depth = learner.network.depth  # the shortest way, after which most starts are far off
    short = Learner(learner.network, COST, STILL, hops=2 * depth + 3, settle=2 * depth)
    settled, unsettled = errors(learner, short)
    assert np.median(settled) < TOLERANCE  # promised to three in four of the starts looked at
    assert np.mean(settled < TOLERANCE) > 0.6
    assert np.median(unsettled) > TOLERANCE


def test_hops_without_cycles_are_those_of_the_longest_way():
    learner = Learner(Digraph.layered([2, 3, 3, 1]), COST)
    assert (learner.hops, learner.settle) == (9, 6)


def test_settle_hops_follow_where_hops_are_given():
    whole = Learner(ring(4), COST)
    assert Learner(ring(4), COST, hops=whole.settle + 1).settle == whole.settle
    assert Learner(ring(4), COST, hops=whole.settle).settle == 2  # twice the shortest way
    assert Learner(ring(4), COST, streams=3).hops == whole.hops


def test_they_are_measured_also_where_the_learner_is_traced():
    made = lambda rate: Learner(ring(4), COST, Hamiltonian(mass=Adaptive(rate=rate)))  # noqa: E731
    assert jax.jit(lambda rate: rate * made(rate).hops)(1.0) == made(1.0).hops


def test_a_network_that_does_not_settle_says_so():
    loud = Digraph.complete(2, 1, activation="identity", fixed={("x0", "x0"): 3.0})
    with pytest.warns(UnsettledWarning, match="does not settle within 64 hops.*give hops"):
        learner = Learner(loud, COST)
    assert (learner.hops, learner.settle) == (5, 2)
    Learner(loud, COST, hops=9, settle=3)  # who says both is asked nothing


def test_what_leads_into_memory_is_not_waited_for():
    """Levels move in a sample's first hop; readouts of two blocks hear them, and answer."""
    sizes, hidden = (2, 3), 4
    network = Layered.memory(1, 2, levels=sizes, hidden=hidden)
    law = Hamiltonian(mass=1e30, traces=Traces())
    own = {"clock": "sample", "duration": 1.0}
    auto = Learner(network, COST, law, **own)
    assert (auto.hops, auto.settle) == (9, 6)  # forward 3, back 3, and three that move weights
    rng = np.random.default_rng(0)
    u, z = rng.normal(size=(5, 1)), rng.normal(size=(5, 2))

    def last(settle):
        """The phase after some samples, and the only push of the last one."""
        learner = Learner(network, COST, law, hops=settle + 1, settle=settle, **own)
        before, _ = learner.run(learner.init(jax.random.key(0)), (u[:-1], z[:-1]))
        after = learner.step(before, u[-1], z[-1])[0]
        push = jax.tree.map(lambda a, b: (a - b) * (settle + 1), before.momentum, after.momentum)
        return after, push

    def loss(w, x):
        total = 0.0
        for k, first in (1, 3), (2, 0):  # of the lower level, behind its short bank
            first_layer, top = w[f"hidden{k}"], w[f"readout{k}"]
            y = jax.nn.gelu(
                first_layer.weight @ x[f"level{k}"][:, first:].ravel() + first_layer.bias
            )
            total += jnp.sum((top.weight @ y + top.bias - z[-1]) ** 2) / 2
        return total

    after, push = last(auto.settle)
    of_w, of_x = jax.grad(loss, argnums=(0, 1))(after.w, after.x)
    for name in ("hidden1", "hidden2", "readout1", "readout2"):
        for a, b in zip(*map(jax.tree.leaves, (push[name], of_w[name])), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    for name in ("level1", "level2"):
        np.testing.assert_allclose(after.costate[name], of_x[name], rtol=1e-11, atol=1e-13)
    early = last(auto.settle - 2)[1]["hidden1"].weight  # its error has not arrived
    assert np.abs(early - of_w["hidden1"].weight).max() > 1e-2 * np.abs(early).max()


def test_memory_that_reads_itself_needs_no_measuring():
    names = [f"h{k}" for k in range(3)]
    arcs = [("u", h) for h in names] + [(a, b) for a in names for b in names]
    network = Digraph.from_edges(
        [*arcs, *((h, "y") for h in names)],
        inputs=["u"],
        outputs=["y"],
        speed=dict.fromkeys(names, 0.1),
    )
    law = Hamiltonian(mass=9.0, traces=Traces())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnsettledWarning)
        learner = Learner(network, COST, law, clock="sample")
    assert (learner.hops, learner.settle) == (7, 4)
    with pytest.warns(UnsettledWarning):  # memory moves in every hop
        Learner(network, COST, law)
