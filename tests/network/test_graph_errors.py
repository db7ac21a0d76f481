"""Every mistake in a graph raises `GraphError` and names the vertex."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from localprop import Block, ConfigError, Digraph, GraphError, Layered, SharedWeights, StreamError

linear = partial(partial, eqx.nn.Linear)
square = linear(2, 2)


def edges(*arcs, inputs=("u",), outputs=("y",), **settings):
    return lambda: Digraph.from_edges(arcs, inputs=inputs, outputs=outputs, **settings)


def layered(inputs=(2,), output="y", **blocks):
    return lambda: Layered(blocks, inputs=inputs, output=output)


# What was done wrong, how, and the words that must be in the message: the vertex above all.
MISTAKES = {
    "input has a parent": (edges(("u", "y"), ("y", "u")), "input 'u' has the parent 'y'"),
    "neuron without parent": (edges(("u", "y"), ("h", "y")), "'h' dangles: it has no parent"),
    "neuron without child": (edges(("u", "y"), ("u", "h")), "'h' dangles: it has no child"),
    "input without child": (
        edges(("u", "y"), inputs=["u", "v"]), "'v' dangles: it has no child"
    ),
    "unreachable output": (
        edges(("u", "y"), ("a", "b"), ("b", "a"), outputs=["y", "b"]), "output 'b' cannot be"
    ),
    "unreachable output amid others": (
        edges(("u", "y"), ("b", "a"), ("a", "b"), outputs=["y", "b"]), "output 'b' cannot be"
    ),
    "unknown output": (edges(("u", "y"), outputs=["q"]), "output 'q'"),
    "output is an input": (edges(("u", "y"), outputs=["u"]), "'u' is both an input and an output"),
    "no output": (edges(("u", "y"), outputs=[]), "no output"),
    "duplicate arc": (edges(("u", "y"), ("u", "y")), "'u' -> 'y' is there twice"),
    "unknown fixed arc": (edges(("u", "y"), fixed={("y", "u"): 1.0}), "fixed arc 'y' -> 'u'"),
    "fixed at infinity": (edges(("u", "y"), fixed={("u", "y"): np.inf}), "arc 'u' -> 'y'.* inf"),
    "fixed at minus infinity": (
        edges(("u", "y"), fixed={("u", "y"): -np.inf}), "arc 'u' -> 'y'.* -inf"
    ),
    "fixed at NaN": (edges(("u", "y"), fixed={("u", "y"): np.nan}), "arc 'u' -> 'y'.* nan"),
    "vertex named as the constant": (edges(("u", "1"), ("1", "y")), "vertex '1'"),
    "no arcs": (edges(outputs=["u"]), "'u'"),
    "unknown activation": (edges(("u", "y"), activation="tanhh"), "tanhh"),
    "activation of a stranger": (edges(("u", "y"), activation={"q": "tanh"}), "vertex 'q'"),
    "speed of an input": (edges(("u", "y"), speed={"u": 1.0}), "vertex 'u'"),
    "speed zero": (edges(("u", "y"), speed={"y": 0.0}), "speed 0.0 of vertex 'y'"),
    "speed below zero": (edges(("u", "y"), speed=-0.5), "speed -0.5 of vertex 'y'"),
    "speed NaN": (edges(("u", "y"), speed=float("nan")), "of vertex 'y'"),
    "too many speeds": (edges(("u", "y"), speed=[1.0, 2.0]), "2 values of speed for 1 neurons"),
    "vertex twice": (
        lambda: Digraph(["u", "y", "y"], np.array([0, 0]), np.array([1, 2]), inputs=1, outputs=[0]),
        "'y' is there twice",
    ),
    "output out of range": (lambda: Digraph.complete(3, 1, outputs=(3,)), "output 3"),
    "output before the first": (lambda: Digraph.complete(3, 1, outputs=(0, -1)), "output -1"),
    "output far out of range": (lambda: Digraph.complete(3, 1, outputs=(7,)), "output 7"),
    "output named twice": (lambda: Digraph.complete(3, 1, outputs=(1, 1)), "output 'x1'"),
    "no neurons": (lambda: Digraph.complete(0, 1), "0 neurons"),
    "one layer": (lambda: Digraph.layered([3]), r"\[3\]"),
    "empty layer": (lambda: Digraph.layered([3, 0, 1]), r"\[3, 0, 1\]"),
    "one dense layer": (lambda: Layered.dense([3]), r"\[3\]"),
    "empty dense layer": (lambda: Layered.dense([3, 0, 1]), r"\[3, 0, 1\]"),
    "density": (lambda: Digraph.random(3, 1, density=0.0), "density"),
    "undirected": (lambda: Digraph.from_networkx(nx.path_graph(3)), "DiGraph"),
    "lone vertex": (
        lambda: Digraph.from_networkx(nx.compose(nx.DiGraph([(0, 1)]), nx.empty_graph(["q"],
                                                 create_using=nx.DiGraph))),
        "'q' dangles",
    ),
    "block: unknown parent": (layered(y=Block(square, ["x"])), "'y' has the parent 'x'"),
    "block: no parent": (layered(h=Block(square, []), y=Block(square, ["input"])), "'h'"),
    "block: dangles": (
        layered(h=Block(square, ["input"]), y=Block(square, ["input"])), "'h' dangles"
    ),
    "block: unreachable output": (
        layered(
            y=Block(square, ["y"], shape=(2,)), h=Block(square, ["input", "y"]),
        ), "'h' dangles|'y' cannot be reached",
    ),
    "block: shape": (layered(y=Block(linear(3, 2), ["input"])), r"'y' does not .*'input' \(2,\)"),
    "block: parents do not join": (
        layered(
            inputs={"a": (2,), "b": (2, 2)}, y=Block(linear(4, 2), ["a", "b"])
        ), "'y' does not accept its parents 'a' .*'b'",
    ),
    "block: convolution of a vector": (
        layered(y=Block(partial(eqx.nn.Conv2d, 1, 1, 3), ["input"])), "'y' does not accept"
    ),
    "block: cycle without shape": (
        layered(h=Block(linear(4, 2), ["input", "y"]), y=Block(square, ["h"])),
        "'h' hangs on itself",
    ),
    "block: wrong declared shape": (
        layered(y=Block(square, ["input"], shape=(3,))), r"'y' declares shape \(3,\) but gives \(2"
    ),
    "block: output": (layered(output="q", y=Block(square, ["input"])), "output 'q'"),
    "block: name of an input": (
        layered(input=Block(square, ["input"]), y=Block(square, ["input"])), "'input' is both"
    ),
    "block: parent twice": (
        layered(y=Block(linear(4, 2), ["input", "input"])), "'input' -> 'y' is there twice"
    ),
    "block: speed": (layered(y=Block(square, ["input"], speed=-1.0)), "speed -1.0 of block 'y'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_graph_mistakes_name_the_vertex(mistake):
    build, words = MISTAKES[mistake]
    with pytest.raises(GraphError, match=words):
        build()


def test_samples_that_do_not_fit_are_stream_errors():
    network = Digraph.complete(3, 2)
    x, w = network.init(jax.random.key(0))
    with pytest.raises(StreamError, match="2 inputs"):
        network.drive(x, w, jnp.zeros(3))
    blocks = Layered({"y": Block(square, ["input"])}, inputs=(2,), output="y")
    x, w = blocks.init(jax.random.key(0))
    with pytest.raises(StreamError, match="input 'input'"):
        blocks.drive(x, w, jnp.zeros(3))
    with pytest.raises(StreamError, match=r"'input'.*nothing"):
        blocks.drive(x, w, {"image": jnp.zeros(2)})


def test_settings_that_make_no_sense():
    with pytest.raises(ConfigError, match="storage 'tree'"):
        Digraph.complete(3, 1, storage="tree")
    for streams in (0, -1):
        with pytest.raises(ConfigError, match="streams"):
            SharedWeights(Digraph.complete(3, 1), streams)
    with pytest.raises(ConfigError, match="among 2 streams already"):
        SharedWeights(SharedWeights(Digraph.complete(3, 1), 2), 2)
