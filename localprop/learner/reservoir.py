"""What a learner keeps of its stream to see again: a fair sample of all that was."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, UInt32

from ..errors import ConfigError, StreamError
from ..network import (
    AbstractNetwork,
    Digraph,
    FeedbackWeights,
    Layered,
    SharedWeights,
    of_one_stream,
)
from .samples import Samples

BESIDE = 7  # samples that are seen again beside each new one
MOST = 2**31 - 2  # samples that are counted; beyond, each takes a place as often as that one
GENERATOR = "threefry2x32"  # of two whole numbers, whatever JAX is told to draw with


class Reservoir(eqx.Module):
    """Samples of the stream, each that had a label as likely to be among them as any other.

    Sample $n$ takes a place with the chance $N/n$, that of a random one (Vitter 1985, algorithm
    R). So what is kept does not grow, and the oldest are in it as the latest are.

    **Fields:** `u`: inputs, a list of arrays `(N, ...)`; `z`: targets; `weight`: of the losses;
    `seen`: how many samples with a label came; `draws`: where the generator of the draws is.
    """

    u: list[Array]
    z: Array
    weight: Float[Array, " N"]
    seen: Int[Array, ""]
    draws: UInt32[Array, " two"]

    @classmethod
    def begin(cls, network: AbstractNetwork, size: int, key: PRNGKeyArray) -> Reservoir:
        """Returns an empty one for samples of a network.

        **Raises:** `ConfigError` for a network that does not say what its inputs are.
        """
        while isinstance(network, SharedWeights | FeedbackWeights):
            network = network.network
        if isinstance(network, Digraph):
            shapes = [(network.inputs,)]
        elif isinstance(network, Layered):
            shapes = [shape for _, shape in sorted(network.inputs.items())]
        else:
            kind = type(network).__name__
            raise ConfigError(f"review needs a Digraph or a Layered network, not {kind}")
        answer = lambda k: network.output(network.init(k)[0])  # pyright: ignore  # noqa: E731
        z = jax.eval_shape(answer, key).shape
        return cls(
            [jnp.zeros((size, *shape)) for shape in shapes],
            jnp.zeros((size, *z)),
            jnp.zeros(size),
            jnp.zeros((), jnp.int32),
            jax.random.bits(jax.random.fold_in(key, 1), (2,), jnp.uint32),
        )

    def beside(self, live: Samples) -> Samples:
        """Returns the live samples, `(S, ...)`, and behind them those that are seen again.

        They are drawn with replacement; before there is any, their targets are NaN.

        **Raises:** `StreamError` for samples of other shapes than the network's.
        """
        drawn = jax.random.randint(
            self._keys()[0], (BESIDE,), 0, jnp.clip(self.seen, 1, len(self.weight))
        )
        leaves, structure = jax.tree.flatten(live.u)
        _check(leaves, self.u, "inputs")
        _check([live.z], [self.z], "targets")
        join = lambda new, old: jnp.concatenate([new, old[drawn]])  # noqa: E731
        z = join(live.z, self.z)
        z = z.at[-BESIDE:].set(jnp.where(self.seen > 0, z[-BESIDE:], jnp.nan))
        u = structure.unflatten([*map(join, leaves, self.u)])
        return live._replace(u=u, z=z, weight=join(live.weight, self.weight))

    def after(self, live: Samples) -> Reservoir:
        """Returns it after these samples, `(S, ...)`; one that taught nothing leaves no trace."""
        _, places, following = self._keys()
        taught = ~jnp.all(jnp.isnan(live.z), axis=tuple(range(1, live.z.ndim)))
        taught = taught & (live.weight != 0)
        kept, seen = [*self.u, self.z, self.weight], self.seen
        rows = [*jax.tree.leaves(live.u), live.z, live.weight]
        for k, key in enumerate(jax.random.split(places, len(taught))):
            place = jax.random.randint(key, (), 0, seen + 1)
            place = jnp.where(seen < len(self.weight), seen, place)
            enters = taught[k] & (place < len(self.weight))
            kept = [_put(a, row[k], place, enters) for a, row in zip(kept, rows, strict=True)]
            seen = jnp.minimum(seen + taught[k], MOST)
        *u, z, weight = kept
        return Reservoir(u, z, weight, seen, jax.random.key_data(following))

    def _keys(self) -> Array:
        """Returns keys for the draw, for the places of new samples, and for what follows."""
        return jax.random.split(jax.random.wrap_key_data(self.draws, impl=GENERATOR), 3)


def presented(network: AbstractNetwork) -> SharedWeights:
    """Returns the network on all that is shown at once: what is live, and what is seen again."""
    return SharedWeights(of_one_stream(network), (network.streams or 1) + BESIDE)


def live(network: AbstractNetwork, sample: Samples) -> Samples:
    """Returns a sample with the axis of streams, which a single one has not, and its weights."""
    u, z = _with_axis(network, (sample.u, sample.z))
    weight = jnp.broadcast_to(1.0 if sample.weight is None else sample.weight, z.shape[:1])
    return Samples(u, z, sample.duration, weight=weight)


def with_rest(network: AbstractNetwork, states: PyTree) -> PyTree:
    """Returns what is of the live streams, and behind it zeros for those that are seen again."""
    add = lambda a: jnp.pad(a, [(0, BESIDE)] + [(0, 0)] * (a.ndim - 1))  # noqa: E731
    return jax.tree.map(add, _with_axis(network, states))


def without_rest(network: AbstractNetwork, shown: PyTree) -> PyTree:
    """Returns what is of the live streams alone, as the network has it."""
    streams = network.streams
    return jax.tree.map(lambda a: a[0] if streams is None else a[:streams], shown)


def _with_axis(network: AbstractNetwork, tree: PyTree) -> PyTree:
    axis = () if network.streams is not None else (None,)
    return jax.tree.map(lambda a: jnp.asarray(a)[axis], tree)


def _check(given: list[Any], kept: list[Array], name: str) -> None:
    found, expected = ([jnp.shape(a)[1:] for a in arrays] for arrays in (given, kept))
    if found != expected:
        raise StreamError(
            f"{name} of a sample have shape {', '.join(map(str, found))}, and review keeps "
            f"{', '.join(map(str, expected))}, as the network has them"
        )


def _put(kept: Array, row: Array, place: Array, enters: Array) -> Array:
    """Returns the array with a row at its place, or as it was."""
    # Not a scatter, which copies the array on some machines.
    place = jnp.minimum(place, len(kept) - 1)
    return jax.lax.dynamic_update_index_in_dim(kept, jnp.where(enters, row, kept[place]), place, 0)
