"""Checks of a digraph that need nothing but its arcs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ..errors import GraphError


def check_sizes(sizes: Sequence[int]) -> None:
    """Raises `GraphError` for layers that cannot follow each other."""
    if len(sizes) < 2 or min(sizes) < 1:
        raise GraphError(f"layers {list(sizes)}: give at least two sizes of 1 or more")


def check_arcs(
    vertices: Sequence[Hashable],
    tails: np.ndarray,
    heads: np.ndarray,
    inputs: int,
    outputs: Sequence[int],
    bias: bool,
) -> None:
    """Raises `GraphError`, naming the vertex, for a digraph that cannot work.

    An input has no parents; a neuron has at least one; a vertex without children is an output;
    no arc is there twice. Whether inputs reach the outputs is found by `hops_to_outputs`.
    """
    neurons = len(vertices) - inputs
    if len(set(vertices)) < len(vertices):
        twice = next(v for k, v in enumerate(vertices) if v in vertices[:k])
        raise GraphError(f"vertex {twice!r} is there twice; give every vertex one name")
    if neurons < 1:
        raise GraphError("the digraph has no neurons; give at least one arc to a neuron")
    into_input = np.flatnonzero(heads < inputs)
    if len(into_input):
        k = int(into_input[0])
        raise GraphError(
            f"input {vertices[int(heads[k])]!r} has the parent {vertices[int(tails[k])]!r}; "
            "inputs carry the stream and have no parents: remove the arc"
        )
    _, first, counts = np.unique(
        tails * len(vertices) + heads, return_index=True, return_counts=True
    )
    if np.any(counts > 1):
        k = int(first[np.argmax(counts > 1)])
        tail, head = vertices[int(tails[k])], vertices[int(heads[k])]
        raise GraphError(f"arc {tail!r} -> {head!r} is there twice")
    if len(outputs) == 0:
        raise GraphError("no output vertex; name at least one neuron as output")
    for i in outputs:
        if not 0 <= i < neurons:
            raise GraphError(f"output {i} is not one of the {neurons} neurons, counted from 0")
        if list(outputs).count(i) > 1:
            raise GraphError(f"output {vertices[inputs + i]!r} is named twice")
    _check_dangling(vertices, tails, heads, inputs, outputs, bias)


def _check_dangling(vertices, tails, heads, inputs, outputs, bias) -> None:
    has_parent = np.isin(np.arange(len(vertices)), heads)
    has_child = np.isin(np.arange(len(vertices)), tails)
    is_output = np.isin(np.arange(len(vertices)) - inputs, outputs)
    for k, name in enumerate(vertices):
        # A lone neuron with a bias is a legitimate network: it learns a constant.
        alone = len(vertices) == 1 and bias
        if k >= inputs and not has_parent[k] and not alone:
            raise GraphError(
                f"vertex {name!r} dangles: it has no parent; give it one, or make it an input"
            )
        if not has_child[k] and not is_output[k]:
            raise GraphError(
                f"vertex {name!r} dangles: it has no child and is no output, so nothing would "
                "ever teach it; give it a child, or make it an output"
            )


def hops_to_outputs(
    vertices: Sequence[Hashable],
    tails: np.ndarray,
    heads: np.ndarray,
    inputs: int,
    outputs: Sequence[int],
) -> int:
    """Returns the hops after which an input is felt at the outputs.

    In a digraph without cycles, the longest way: after so many hops at infinite speed the outputs
    have settled. With cycles, the shortest way to the farthest output; nothing has settled then.
    Without inputs, 1.

    **Raises:** `GraphError`, naming the vertex, for an output that no input reaches.
    """
    if inputs == 0:
        return 1
    n = len(vertices)
    distance = _distances(n, tails, heads, inputs)
    for i in outputs:
        if not np.isfinite(distance[inputs + i]):
            raise GraphError(
                f"output {vertices[inputs + i]!r} cannot be reached from any input; "
                "add a chain of arcs that leads to it"
            )
    levels = _levels(n, tails, heads)
    hops = distance if levels is None else levels
    return int(max(hops[inputs + i] for i in outputs))


def hops_within_sample(
    n: int, tails: np.ndarray, heads: np.ndarray, slow: np.ndarray
) -> int | None:
    """Returns the longest way to any of `n` vertices where some move in a sample's first hop only.

    They hold still from then on, and what reaches them on the way is read by the next sample. So
    every way begins at an input or with one of them. `None` where the others go in circles.

    **Arguments:** `tails`, `heads`; `slow`: which vertices move once, truth values.
    """
    levels = _levels(n + 1, np.where(slow[heads], n, tails), heads)  # as if by one more input
    return None if levels is None else int(levels.max())


def has_cycle(n: int, tails: np.ndarray, heads: np.ndarray) -> bool:
    """Returns whether some way through the `n` vertices leads back to where it began."""
    return _levels(n, tails, heads) is None


def _distances(n: int, tails: np.ndarray, heads: np.ndarray, inputs: int) -> np.ndarray:
    """Returns the shortest way from an input to every vertex, infinite where there is none.

    `scipy.sparse.csgraph` does the same, and takes a fifth of a second to import.
    """
    order = np.argsort(tails)
    children, starts = heads[order], np.searchsorted(tails[order], np.arange(n + 1))
    distance, reached, hops = np.full(n, np.inf), np.arange(inputs), 0
    while len(reached):
        distance[reached] = hops
        first, many = starts[reached], starts[reached + 1] - starts[reached]
        # Places of all their children, one vertex after the other.
        places = np.arange(many.sum()) + np.repeat(first - (np.cumsum(many) - many), many)
        found = np.unique(children[places])
        reached, hops = found[np.isinf(distance[found])], hops + 1
    return distance


def _levels(n: int, tails: np.ndarray, heads: np.ndarray) -> np.ndarray | None:
    """Returns the longest way to every vertex, or `None` for a digraph with a cycle."""
    waiting = np.bincount(heads, minlength=n)
    levels = np.zeros(n, dtype=np.int64)
    ready, level, seen = waiting == 0, 0, 0
    while ready.any():
        levels[ready] = level
        seen += int(ready.sum())
        waiting = waiting - np.bincount(heads[ready[tails]], minlength=n)
        waiting[ready] = -1
        ready, level = waiting == 0, level + 1
    return levels if seen == n else None
