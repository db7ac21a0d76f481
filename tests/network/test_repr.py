"""Networks and learners say in one line what they are."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import pytest

from localprop import Block, Cost, Digraph, Layered, Learner, SharedWeights, SquaredError

LINEAR = partial(partial, eqx.nn.Linear)
SKIP = Layered(
    {"hidden": Block(LINEAR(2, 4), ["input"]), "y": Block(LINEAR(6, 1), ["hidden", "input"])},
    inputs=(2,),
    output="y",
)
SAID = {
    "Digraph(vertices=53, arcs=2700, inputs=3, outputs=2, depth=1)": Digraph.complete(
        50, 3, outputs=(0, 1)
    ),
    "Digraph(vertices=3, arcs=2, inputs=1, outputs=1, depth=2)": Digraph.from_edges(
        [("u", "a"), ("a", "b")], inputs=["u"], outputs=["b"], bias=False, storage="sparse"
    ),
    "Layered(blocks=2, neurons=5, arcs=3, inputs={'input': (2,)}, outputs={'y': (1,)}, depth=2)": (
        SKIP
    ),
}


@pytest.mark.parametrize("text", SAID)
def test_a_network_says_its_counts(text):
    assert repr(SAID[text]) == text
    assert repr(SharedWeights(SAID[text], 4)) == f"SharedWeights({text}, streams=4)"


def test_the_counts_of_a_digraph_are_those_of_its_networkx_graph():
    network = Digraph.random(30, 4, density=0.2)
    graph = network.to_networkx()
    bias = 1  # a vertex of its own there
    counts = f"vertices={len(graph) - bias}, arcs={graph.number_of_edges()}, inputs=4, "
    assert counts in repr(network)


def test_a_learner_says_what_it_is_made_of_in_one_line():
    learner = Learner(Digraph.layered([2, 50, 1]), Cost(SquaredError()))
    text = repr(learner)
    assert "\n" not in text
    for part in (learner.network, learner.cost, learner.law):
        assert " ".join(repr(part).split()) in text
    assert text.endswith("hops=7, settle=4, duration=7)")


def test_a_tree_of_other_leaves_has_a_repr_too():
    for network in SAID.values():
        assert repr(jax.tree.map(lambda _: None, network))
        assert repr(eqx.filter(network, lambda _: False))
        assert repr(jax.tree.map(lambda a: object(), network))
