"""Two ways to store the arcs of a digraph of neurons, behind one interface.

Both compute the activations $a_i = \\sum_{j \\in pa(i)} w_{ij} s_j$, where the sources
$s = (u, 1, x)$ are the inputs, the constant input (if any) and the neurons, in this order.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

# Above this share of possible arcs a matrix product beats gather and scatter.
DENSE_FROM = 0.1


class AbstractArcs(eqx.Module):
    """The arcs of a digraph with `sources` possible tails and `neurons` possible heads."""

    sources: eqx.AbstractVar[int]
    neurons: eqx.AbstractVar[int]

    @abc.abstractmethod
    def place(self, values: Array) -> Array:
        """Lays one value per arc, in the order of `tails_and_heads`, out as weights are stored."""

    @abc.abstractmethod
    def take(self, values: Any) -> np.ndarray:
        """Returns one value per arc of what `place` laid out."""

    @abc.abstractmethod
    def tails_and_heads(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tail (a source) and the head (a neuron) of every arc, sorted by head."""

    @abc.abstractmethod
    def of_heads(self, values: Any) -> Any:
        """Returns one value per neuron for each of its arcs, as weights are stored or broadcast."""

    @abc.abstractmethod
    def of_tails(self, s: Float[Array, " sources"]) -> Array:
        """Returns the value of every arc's source, as weights are stored or broadcast."""

    @abc.abstractmethod
    def only(self, values: Array) -> Array:
        """Returns values that are stored as weights are, 0 where there is no arc."""

    @abc.abstractmethod
    def weigh(self, w: Array, s: Float[Array, " sources"]) -> Float[Array, " neurons"]:
        """Returns the activations $a = W s$."""


class DenseArcs(AbstractArcs):
    """Weights as a matrix `(neurons, sources)`; entries without an arc are zero for ever."""

    mask: Bool[np.ndarray, "neurons sources"] | None
    sources: int = eqx.field(static=True)
    neurons: int = eqx.field(static=True)

    def __init__(self, tails: np.ndarray, heads: np.ndarray, sources: int, neurons: int):
        mask = np.zeros((neurons, sources), dtype=bool)
        mask[heads, tails] = True
        self.mask = None if mask.all() else mask
        self.sources, self.neurons = sources, neurons

    def place(self, values: Array) -> Array:
        tails, heads = self.tails_and_heads()
        return jnp.zeros((self.neurons, self.sources), values.dtype).at[heads, tails].set(values)

    def take(self, values: Any) -> np.ndarray:
        tails, heads = self.tails_and_heads()
        return np.asarray(values)[heads, tails]

    def tails_and_heads(self) -> tuple[np.ndarray, np.ndarray]:
        mask = np.ones((self.neurons, self.sources), bool) if self.mask is None else self.mask
        heads, tails = np.nonzero(mask)
        return tails, heads

    def of_heads(self, values: Any) -> Any:
        return values[:, None]

    def of_tails(self, s: Float[Array, " sources"]) -> Array:
        return s[None]

    def only(self, values: Array) -> Array:
        return values if self.mask is None else jnp.where(self.mask, values, 0)

    def weigh(self, w: Array, s: Float[Array, " sources"]) -> Float[Array, " neurons"]:
        # The mask stands inside the drive so that the force on a missing arc is zero as well.
        return (w if self.mask is None else jnp.where(self.mask, w, 0)) @ s


class SparseArcs(AbstractArcs):
    """Weights as one number per arc, arcs sorted by head."""

    tails: Int[np.ndarray, " arcs"]
    heads: Int[np.ndarray, " arcs"]
    sources: int = eqx.field(static=True)
    neurons: int = eqx.field(static=True)

    def __init__(self, tails: np.ndarray, heads: np.ndarray, sources: int, neurons: int):
        order = np.lexsort((tails, heads))
        self.tails = np.asarray(tails, dtype=np.int32)[order]
        self.heads = np.asarray(heads, dtype=np.int32)[order]
        self.sources, self.neurons = sources, neurons

    def place(self, values: Array) -> Array:
        return values

    def take(self, values: Any) -> np.ndarray:
        return np.asarray(values)

    def tails_and_heads(self) -> tuple[np.ndarray, np.ndarray]:
        return self.tails, self.heads

    def of_heads(self, values: Any) -> Any:
        return values[self.heads]

    def of_tails(self, s: Float[Array, " sources"]) -> Array:
        return s[self.tails]

    def only(self, values: Array) -> Array:
        return values

    def weigh(self, w: Array, s: Float[Array, " sources"]) -> Float[Array, " neurons"]:
        return jax.ops.segment_sum(
            w * s[self.tails], self.heads, num_segments=self.neurons, indices_are_sorted=True
        )


def store(
    tails: np.ndarray, heads: np.ndarray, sources: int, neurons: int, storage: str
) -> AbstractArcs:
    """Chooses the storage: `"dense"`, `"sparse"`, or by density for `"auto"`."""
    kinds: dict[str, Any] = {"dense": DenseArcs, "sparse": SparseArcs}
    if storage == "auto":
        storage = "dense" if len(tails) >= DENSE_FROM * sources * neurons else "sparse"
    return kinds[storage](tails, heads, sources, neurons)
