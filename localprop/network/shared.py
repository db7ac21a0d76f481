"""Several streams that share one set of weights."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..errors import ConfigError, StreamError
from .base import AbstractNetwork, Move
from .uncompiled import placed


class SharedWeights(AbstractNetwork):
    """One network on several streams at once: `x` and `u` gain a leading axis, `w` does not.

    The law averages the loss, and with it the force on the weights, over the streams that have a
    label (laws.md, section 5): one that has none changes nothing in the others.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Digraph, SharedWeights
        >>> network = Digraph.layered([2, 3, 1])
        >>> x, w = SharedWeights(network, streams=8).init(jax.random.key(0))
        >>> x.shape, w.shape == network.init(jax.random.key(0))[1].shape
        ((8, 4), True)

        ```
    """

    network: AbstractNetwork
    speed: Any
    plastic: Any
    streams: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)

    def __init__(self, network: AbstractNetwork, streams: int):
        """**Arguments:** `network`; `streams`: how many, at least 1.

        **Raises:** `ConfigError` for less, or for a network that is shared already.
        """
        if streams < 1:
            raise ConfigError(f"streams is {streams}; give at least 1, or None for a plain stream")
        if network.streams is not None:
            raise ConfigError(
                f"the network shares its weights among {network.streams} streams already; pass the "
                "network of a single stream"
            )
        self.network, self.streams, self.depth = network, streams, network.depth
        self.speed, self.plastic = network.speed, network.plastic

    def init(self, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        x, w = self.network.init(key)
        wide = lambda shape: (self.streams, *shape)  # noqa: E731
        if any(isinstance(a, Tracer) for a in jax.tree.leaves(x)):
            return jax.tree.map(lambda a: jnp.broadcast_to(a, wide(a.shape)), x), w
        return jax.tree.map(lambda a: placed(np.broadcast_to(a, wide(a.shape)).copy()), x), w

    def drive(self, x: PyTree, w: PyTree, u: PyTree) -> PyTree:
        shapes = [jnp.shape(a) for a in jax.tree.leaves(u)]
        if wrong := [shape for shape in shapes if shape[:1] != (self.streams,)]:
            raise StreamError(
                f"a sample of {self.streams} streams has inputs of shape {wrong[0]}; their first "
                "axis, the second of a piece, is the stream"
            )
        return jax.vmap(self.network.drive, in_axes=(0, None, 0))(x, w, u)

    def output(self, x: PyTree) -> Array:
        return jax.vmap(self.network.output)(x)

    def readouts(self, x: PyTree) -> Any:
        return jax.vmap(self.network.readouts)(x)

    def speeds(self, w: PyTree = None) -> PyTree:
        return self.network.speeds(w)

    @property
    def learns_speeds(self) -> bool:
        return self.network.learns_speeds

    def zero_traces(self, x: PyTree, w: PyTree) -> PyTree:
        one = self.network.zero_traces(jax.tree.map(lambda a: a[0], x), w)
        return jax.tree.map(lambda a: jnp.tile(a, (self.streams,) + (1,) * a.ndim), one)

    def advance_traces(self, trace: PyTree, x: PyTree, w: PyTree, u: PyTree, move: Move) -> PyTree:
        one = lambda trace, x, u: self.network.advance_traces(trace, x, w, u, move)  # noqa: E731
        return jax.vmap(one)(trace, x, u)

    def own_force(self, costate: PyTree, trace: PyTree, w: PyTree) -> PyTree:
        own = jax.vmap(self.network.own_force, in_axes=(0, 0, None))(costate, trace, w)
        return jax.tree.map(lambda f: jnp.sum(f, axis=0), own)

    def credited(self, own: PyTree, direct: PyTree) -> PyTree:
        return self.network.credited(own, direct)

    def __repr__(self) -> str:
        return f"SharedWeights({self.network}, streams={self.streams})"


def of_one_stream(network: AbstractNetwork) -> AbstractNetwork:
    """Returns the network that streams share, or one that none do as it is."""
    return network.network if isinstance(network, SharedWeights) else network
