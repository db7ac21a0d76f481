"""What every network offers to a law."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..errors import ConfigError


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

    @property
    def trace_speed(self) -> Any:
        """The speed of the vertex that every trace belongs to, a prefix of `own_slopes`."""
        raise ConfigError(_no_traces(self))

    def zero_traces(self, x: PyTree, w: PyTree) -> PyTree:
        """Returns the traces at rest, `None` where no vertex takes time."""
        del x, w
        raise ConfigError(_no_traces(self))

    def own_slopes(self, x: PyTree, w: PyTree, u: PyTree) -> PyTree:
        """Returns the slopes of every drive by its own incoming weights, $\\sigma'_i x_j$."""
        raise ConfigError(_no_traces(self))

    def own_force(self, costate: PyTree, trace: PyTree) -> PyTree:
        """Returns $\\lambda_i e_{ij}$ of every weight, a tree like `w`."""
        raise ConfigError(_no_traces(self))

    def credited(self, own: PyTree, direct: PyTree) -> PyTree:
        """Returns the `own_force` where a vertex takes time, elsewhere the `direct` one."""
        raise ConfigError(_no_traces(self))


def _no_traces(network: AbstractNetwork) -> str:
    return (
        f"{type(network).__name__} keeps no traces; take a Digraph or a Layered network, or a law "
        "without traces"
    )
