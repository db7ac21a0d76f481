"""Digraphs in and out of NetworkX."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from ..errors import GraphError

if TYPE_CHECKING:
    from .digraph import Digraph

# The name of the constant input of value 1, whose arcs carry the biases.
BIAS = "1"


def read_networkx(
    graph: nx.Graph,
    inputs: Sequence[Hashable] | None,
    outputs: Sequence[Hashable] | None,
    settings: dict[str, Any],
) -> tuple[nx.DiGraph, tuple[Hashable, ...], tuple[Hashable, ...], dict[str, Any]]:
    """Returns the graph without the constant input, its inputs, its outputs, and the settings.

    **Raises:** `GraphError` for a graph that is no digraph, or a vertex without arcs.
    """
    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise GraphError("the graph must be a networkx.DiGraph: directed, without double arcs")
    noted: dict[str, Any] = graph.graph.get("localprop", {})
    settings = {"bias": noted.get("bias", True), **settings}
    fixed = nx.get_edge_attributes(graph, "fixed")
    if noted.get("bias"):
        graph = nx.DiGraph(nx.restricted_view(graph, [BIAS], []))
    roots = [v for v in graph if graph.in_degree(v) == 0]
    leaves = [v for v in graph if graph.out_degree(v) == 0]
    inputs = noted.get("inputs", roots) if inputs is None else inputs
    outputs = noted.get("outputs", leaves) if outputs is None else outputs
    lone = [v for v in graph if graph.degree(v) == 0]
    if lone:
        raise GraphError(f"vertex {lone[0]!r} dangles: it has neither parent nor child")
    for name in ("activation", "speed"):
        values = nx.get_node_attributes(graph, name)
        if values:
            settings[name] = values
    settings.setdefault("fixed", fixed)
    return graph, tuple(inputs or ()), tuple(outputs or ()), settings


def write_networkx(digraph: Digraph) -> nx.DiGraph:
    """Returns the digraph with names, activations, speeds and fixed arcs as attributes."""
    graph = nx.DiGraph()
    graph.add_nodes_from(digraph.vertices)
    graph.add_edges_from(digraph.edges())
    neurons = digraph.vertices[digraph.inputs :]
    speeds = np.broadcast_to(digraph.speed, len(neurons)).tolist()
    nx.set_node_attributes(
        graph, dict(zip(neurons, digraph.activations, strict=True)), "activation"
    )
    nx.set_node_attributes(graph, dict(zip(neurons, speeds, strict=True)), "speed")
    if digraph.fixed_weights is not None:
        held = zip(digraph.edges(), digraph.fixed_weights.tolist(), strict=True)
        fixed = {arc: None if np.isnan(w) else w for arc, w in held if w != np.inf}
        nx.set_edge_attributes(graph, fixed, "fixed")
    graph.graph["localprop"] = {
        "inputs": digraph.vertices[: digraph.inputs],
        "outputs": tuple(neurons[i] for i in digraph.outputs),
        "bias": digraph.bias,
    }
    return graph
