"""Who is wired to whom: the digraph as every network declares it, in numbers for the audit."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, PyTree

from ..errors import ConfigError
from ..network import AbstractNetwork, Digraph, FeedbackWeights, Layered, SharedWeights

# A weight that serves all arcs into its block at once.
ALL_PARENTS = -1


class Wiring(NamedTuple):
    """A network's declared digraph.

    **Fields:**

    - `names`: of the vertices: inputs, the constant input, neurons or blocks.
    - `parents`: `parents[i, j]` where there is an arc $j \\to i$.
    - `outputs`: whether a vertex is an output.
    - `state`: a tree like `x`, the vertex of every number.
    - `synapse`: a tree like `w`, for every number which synapse it belongs to.
    - `heads`, `tails`: the vertices of every synapse; a tail is `ALL_PARENTS` where a block's
      parameters serve all its arcs.
    - `forward`: how many of the synapses are forward ones; those behind them are their feedback.
    - `sample`: a tree like `u`, the vertex of every number. `target`: the same for `z`.
    """

    names: tuple[str, ...]
    parents: Bool[np.ndarray, "V V"]
    outputs: Bool[np.ndarray, " V"]
    state: PyTree
    synapse: PyTree
    heads: np.ndarray
    tails: np.ndarray
    sample: PyTree
    target: np.ndarray
    forward: int | None = None

    def synapse_name(self, s: int) -> str:
        """Returns `tail -> head`, of a feedback weight `head -> tail`."""
        head, tail = self.names[self.heads[s]], self.tails[s]
        tail = "(parents)" if tail == ALL_PARENTS else self.names[tail]
        back = self.forward is not None and s >= self.forward
        return f"{head} -> {tail}, back" if back else f"{tail} -> {head}"


@singledispatch
def wiring(network: AbstractNetwork) -> Wiring:
    """Returns the digraph that a network declares; register other kinds of network here.

    **Raises:** `ConfigError` for a kind of network that declares none.
    """
    raise ConfigError(
        f"{type(network).__name__} declares no arcs; tell the audit by "
        f"@localprop.wiring.wiring.register for {type(network).__name__}"
    )


@wiring.register
def _(network: Digraph) -> Wiring:
    arcs, bias = network.arcs, int(network.bias)
    first = network.inputs + bias
    names = (
        *network.vertices[: network.inputs],
        *("1",) * bias,
        *network.vertices[network.inputs :],
    )
    tails, heads = arcs.tails_and_heads()
    parents = np.zeros((len(names), len(names)), bool)
    parents[heads + first, tails] = True
    outputs = np.zeros(len(names), bool)
    outputs[network.outputs + first] = True
    x, w = jax.eval_shape(network.init, jax.random.key(0))
    learned = {} if network.learned is None else w
    w = w["arcs"] if learned else w
    if w.ndim == 1:
        synapse, all_heads, all_tails = np.arange(len(tails)), heads, tails
    else:  # places of the matrix without an arc are synapses too, wired to nothing but themselves
        synapse = np.arange(w.size).reshape(w.shape)
        all_heads, all_tails = (a.ravel() for a in np.indices(w.shape))
    if learned:  # a neuron's own speed is a synapse of its own, which knows its drive
        each, kinds, first_own = np.arange(arcs.neurons), network.learned or (), len(all_heads)
        own = {k: first_own + i * arcs.neurons + each for i, k in enumerate(kinds)}
        synapse = {"arcs": synapse, **own}
        all_heads = np.concatenate([all_heads, *(each for _ in kinds)])
    all_tails = np.pad(all_tails, (0, len(all_heads) - len(all_tails)), constant_values=ALL_PARENTS)
    return Wiring(
        tuple(str(n) for n in names),
        parents,
        outputs,
        np.broadcast_to(first + np.arange(arcs.neurons), x.shape),
        synapse,
        all_heads + first,
        all_tails,
        np.arange(network.inputs),
        first + np.asarray(network.outputs),
    )


@wiring.register
def _(network: Layered) -> Wiring:
    names = (*network.inputs, *network.wiring)
    place = {name: k for k, name in enumerate(names)}
    parents = np.zeros((len(names), len(names)), bool)
    for name, block in network.wiring.items():
        parents[place[name], [place[p] for p in block.parents]] = True
    readouts = network.output_blocks or (network.output_block,)
    outputs = np.isin(np.arange(len(names)), [place[name] for name in readouts])
    x, w = jax.eval_shape(network.init, jax.random.key(0))
    blocks = list(network.wiring)
    full = lambda tree, k: jax.tree.map(lambda a: np.full(a.shape, k), tree)  # noqa: E731
    sample: Any = {name: np.full(shape, place[name]) for name, shape in network.inputs.items()}
    if len(sample) == 1:
        (sample,) = sample.values()
    return Wiring(
        names,
        parents,
        outputs,
        {name: full(a, place[name]) for name, a in x.items()},
        {name: full(w[name], k) for k, name in enumerate(blocks)},
        np.array([place[name] for name in blocks]),
        np.full(len(blocks), ALL_PARENTS),
        sample,
        np.full(x[network.output_block].shape, place[network.output_block]),
    )


@wiring.register
def _(network: SharedWeights) -> Wiring:
    # A vertex is all its copies, one per stream.
    inner = wiring(network.network)
    copies = lambda a: np.broadcast_to(a, (network.streams, *np.shape(a)))  # noqa: E731
    return inner._replace(
        state=jax.tree.map(copies, inner.state),
        sample=jax.tree.map(copies, inner.sample),
        target=copies(inner.target),
    )


@wiring.register
def _(network: FeedbackWeights) -> Wiring:
    # A feedback weight lies between the same two vertices, and is a synapse of its own.
    inner = wiring(network.network)
    synapses = len(inner.heads)
    behind = jax.tree.map(lambda a: a + synapses, inner.synapse)
    return inner._replace(
        synapse={"forward": inner.synapse, "feedback": behind},
        heads=np.tile(inner.heads, 2),
        tails=np.tile(inner.tails, 2),
        forward=synapses,
    )


def example(labels: PyTree, key: Any) -> PyTree:
    """Returns random numbers in the shape of a tree of labels."""
    leaves, structure = jax.tree.flatten(labels)
    keys = jax.random.split(key, max(len(leaves), 1))
    return structure.unflatten(
        [jax.random.normal(k, np.shape(a)) for k, a in zip(keys, leaves, strict=False)]
    )
