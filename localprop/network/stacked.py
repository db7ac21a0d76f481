"""A chain of equal layers as one block, so that what is compiled does not grow with its length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from .base import AbstractNetwork
from .layered import Layered


class Stacked(AbstractNetwork):
    """A `Layered` network in which equal layers that follow each other are one block.

    $D_k = \\sigma(W_k x_{k-1} + b_k)$ for all $k$ of a chain at once, by one batched product:
    within a hop every layer reads what was before it. State and weights of a chain are those of
    its layers along a new axis, under the name of the first.

    **Arguments:** `network`; `chains`: as `equal_layers` finds them.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Layered
        >>> from localprop.network.stacked import Stacked, equal_layers
        >>> network = Layered.dense([2, 8, 8, 8, 8, 1])
        >>> stacked = Stacked(network, equal_layers(network))
        >>> {name: a.shape for name, a in stacked.init(jax.random.key(0))[0].items()}
        {'hidden1': (8,), 'hidden2': (3, 8), 'output': (1,)}

        ```
    """

    network: Layered
    speed: dict[str, float] = eqx.field(static=True)
    plastic: dict[str, Any] | None = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    chains: tuple[tuple[str, ...], ...] = eqx.field(static=True)
    streams: None = eqx.field(static=True, default=None)

    def __init__(self, network: Layered, chains: tuple[tuple[str, ...], ...]):
        self.network, self.chains, self.depth = network, chains, network.depth
        self.speed = self._firsts(network.speed)
        self.plastic = None if network.plastic is None else self._firsts(network.plastic)

    def stack(self, tree: Mapping[str, PyTree], axis: int = 0) -> dict[str, PyTree]:
        """Returns what is given for every block with that of each chain along a new axis."""
        join = lambda *arrays: jnp.stack(arrays, axis)  # noqa: E731
        joined = {c[0]: jax.tree.map(join, *(tree[name] for name in c)) for c in self.chains}
        return {**self._firsts(tree), **joined}

    def unstack(self, tree: Mapping[str, PyTree], axis: int = 0) -> dict[str, PyTree]:
        """Returns what `stack` was given."""
        layer = lambda part, k: jax.tree.map(  # noqa: E731
            lambda a: jax.lax.index_in_dim(a, k, axis, keepdims=False), part
        )
        apart = {n: layer(tree[c[0]], k) for c in self.chains for k, n in enumerate(c)}
        return {name: apart[name] if name in apart else tree[name] for name in self.network.wiring}

    def init(self, key: PRNGKeyArray) -> tuple[dict[str, Array], dict[str, PyTree]]:
        x, w = self.network.init(key)
        return self.stack(x), self.stack(w)

    def drive(self, x: dict[str, Array], w: dict[str, PyTree], u: Any) -> dict[str, Array]:
        network, chains = self.network, {chain[0]: chain for chain in self.chains}
        sources = {**network._inputs(u), **self._read(x)}

        def drive(name: str) -> Array:
            if name not in chains:
                return network._drive_block(name, sources, w[name])
            (parent,) = network.wiring[name].parents
            before = jnp.concatenate([sources[parent][None], x[name][:-1]])
            return jax.vmap(lambda w, s: network._drive_block(name, {parent: s}, w))(
                w[name], before
            )

        return {name: drive(name) for name in x}

    def output(self, x: dict[str, Array]) -> Array:
        return self.network.output(self._read(x))

    def readouts(self, x: dict[str, Array]) -> Any:
        return self.network.readouts(self._read(x))

    def speeds(self, w: Any = None) -> dict[str, Any]:
        return self._firsts(self.network.speeds(w))

    @property
    def learns_speeds(self) -> bool:
        return self.network.learns_speeds

    def _firsts(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what is given for every block without that of a chain's later layers."""
        later = {name for chain in self.chains for name in chain[1:]}
        return {name: part for name, part in tree.items() if name not in later}

    def _read(self, x: dict[str, Array]) -> dict[str, Array]:
        """Returns the states that are read from outside of a chain, by name."""
        lasts = {chain[-1]: x[chain[0]][-1] for chain in self.chains}
        firsts = {chain[0] for chain in self.chains}
        return {**{name: a for name, a in x.items() if name not in firsts}, **lasts}


def equal_layers(network: Layered) -> tuple[tuple[str, ...], ...]:
    """Returns the chains of equal linear layers, each the only parent of the next and read by
    nothing else."""
    outputs = network.output_blocks or (network.output_block,)
    readers: dict[str, list[str]] = {name: [] for name in network.wiring}
    for name, block in network.wiring.items():
        for parent in block.parents:
            readers.setdefault(parent, []).append(name)
    looks = {name: _look(network, name) for name in network.wiring}

    def follows(name: str, other: str) -> bool:
        only = readers[name] == [other] and name not in outputs and name != other
        alone = network.wiring[other].parents == (name,)
        return only and alone and looks[name] is not None and looks[name] == looks[other]

    chains: list[list[str]] = []
    for name, other in pairwise(network.wiring):
        if not follows(name, other):
            continue
        if chains and chains[-1][-1] == name:
            chains[-1].append(other)
        elif len(network.wiring[name].parents) == 1:
            chains.append([name, other])
    return tuple(map(tuple, chains))


def _look(network: Layered, name: str) -> tuple | None:
    """Returns all that two layers share whose drives are one batched product, `None` for a block
    that is no plain layer."""
    module, block = network._skeleton(name), network.wiring[name]
    plastic = True if network.plastic is None else network.plastic[name]
    if type(module) is not eqx.nn.Linear or block.silent or plastic is not True:
        return None
    if not isinstance(block.speed, float):
        return None
    shapes = tuple((a.shape, str(a.dtype)) for a in jax.tree.leaves(eqx.filter(module, _is_array)))
    sizes = (module.in_features, module.out_features, module.use_bias)
    known: tuple[Callable, ...] = (block.activation, block.join)
    return (*sizes, shapes, *known, block.speed)


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
