"""What every network offers to a law."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray, PyTree


class AbstractNetwork(eqx.Module):
    """A digraph whose vertices relax towards their drive.

    Vertex $i$ obeys $\\dot x_i = c_i (D_i(x, w, u) - x_i)$ [NLP, eqs. 5-7]. A law needs nothing
    of a network but `drive` and its vector-Jacobian product, so neurons, layers and whole
    blocks are served alike.

    **Fields:**

    - `speed`: $c_i$, per unit of time, in (0, ∞]; a number, or a tree that is a prefix of `x`.
    - `plastic`: which weights may move: `None` for all, or a tree that is a prefix of `w` with
      `True`/`False` or boolean arrays as leaves. The others have infinite mass.
    - `depth`: hops after which an input is felt at the outputs: the longest way in a digraph
      without cycles, where the outputs have settled then; else the shortest.
    - `streams`: how many streams share the weights, as a leading axis of `x` and `u`; `None`
      for a single stream without that axis.
    """

    speed: eqx.AbstractVar[Any]
    plastic: eqx.AbstractVar[Any]
    depth: eqx.AbstractVar[int]
    streams: eqx.AbstractVar[int | None]

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """Returns the state at rest and random weights, `(x, w)`."""

    @abc.abstractmethod
    def drive(self, x: PyTree, w: PyTree, u: PyTree) -> PyTree:
        """Returns $D(x, w, u)$, a tree like `x`, every vertex reading only its parents."""

    @abc.abstractmethod
    def output(self, x: PyTree) -> Array:
        """Returns the state of the output vertices."""
