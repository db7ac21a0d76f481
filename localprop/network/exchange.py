"""Digraphs in and out of NetworkX."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GraphError

if TYPE_CHECKING:
    import networkx as nx

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
    import networkx as nx  # which takes time to import

    if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
        raise GraphError("the graph must be a networkx.DiGraph: directed, without double arcs")
    noted: dict[str, Any] = graph.graph.get("localprop", {})
    kept = {"bias": noted.get("bias", True), "bias_scale": noted.get("bias_scale", 0.0)}
    settings = {**kept, **settings}
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
    settings.setdefault("learn_speed", noted.get("learn_speed", False))
    silent = [(a, b) for a, b, flag in graph.edges(data="silent") if flag]
    settings.setdefault("silent", silent)
    for name in ("activation", "speed", "frequency"):
        values = nx.get_node_attributes(graph, name)
        if values:
            settings[name] = values
    settings.setdefault("fixed", fixed)
    return graph, tuple(inputs or ()), tuple(outputs or ()), settings


def write_networkx(
    vertices: Sequence[Hashable],
    arcs: Sequence[tuple[Hashable, Hashable]],
    *,
    inputs: int,
    outputs: Sequence[int],
    activations: Sequence[Any],
    speed: Any,
    fixed_weights: np.ndarray | None,
    bias: bool,
    bias_scale: float,
    frequency: Any = None,
    learn_speed: bool = False,
    silent: np.ndarray | None = None,
) -> nx.DiGraph:
    """Returns a digraph with names, activations, speeds and fixed arcs as attributes.

    **Arguments:** `vertices`: names, the `inputs` inputs first; `arcs`: pairs of them; `outputs`:
    numbers among the neurons; `activations`, `speed`: of the neurons; `fixed_weights`: per arc, NaN
    for one that is held where it begins, infinite for one that learns; `bias`, `bias_scale`;
    `frequency`: of the neurons, or `None`; `learn_speed`; `silent`: which arcs are.
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(vertices)
    graph.add_edges_from(arcs)
    neurons = vertices[inputs:]
    speeds = np.broadcast_to(speed, len(neurons)).tolist()
    nx.set_node_attributes(graph, dict(zip(neurons, activations, strict=True)), "activation")
    nx.set_node_attributes(graph, dict(zip(neurons, speeds, strict=True)), "speed")
    if frequency is not None:
        turns = np.broadcast_to(frequency, len(neurons)).tolist()
        nx.set_node_attributes(graph, dict(zip(neurons, turns, strict=True)), "frequency")
    if silent is not None:
        quiet = {arc: True for arc, flag in zip(arcs, silent.tolist(), strict=True) if flag}
        nx.set_edge_attributes(graph, quiet, "silent")
    if fixed_weights is not None:
        held = zip(arcs, fixed_weights.tolist(), strict=True)
        fixed = {arc: None if np.isnan(w) else w for arc, w in held if w != np.inf}
        nx.set_edge_attributes(graph, fixed, "fixed")
    graph.graph["localprop"] = {
        "inputs": tuple(vertices[:inputs]),
        "outputs": tuple(neurons[i] for i in outputs),
        "bias": bias,
        "bias_scale": bias_scale,
        "learn_speed": learn_speed,
    }
    return graph
