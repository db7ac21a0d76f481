"""What every law of motion offers to the learner."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Scalar

from ..cost import Cost
from ..network import AbstractNetwork


class Phase(eqx.Module):
    """All that is carried from one instant to the next.

    **Fields:**

    - `x`: state of the vertices.
    - `costate`: the variable conjugate to `x`, a tree like it. For `Hamiltonian`, the error
      costate $\\lambda_i = c_i p_x^i / (c\\varphi)$.
    - `w`: weights.
    - `momentum`: the variable conjugate to `w`, $\\pi = m \\dot w$.
    - `mass`: what the mass remembers; `None` for a constant mass.
    - `time`: since the start, in the stream's own unit.
    - `hop`: how many hops were made (it wraps around after 2³¹).
    """

    x: PyTree
    costate: PyTree
    w: PyTree
    momentum: PyTree
    mass: PyTree
    time: Float[Array, ""]
    hop: Int[Array, ""]


class Energies(eqx.Module):
    """Scalars of a phase, divided by $c\\varphi$ so that they stay finite for ever."""

    loss: Scalar
    lagrangian: Scalar
    hamiltonian: Scalar


class AbstractLaw(eqx.Module):
    """How a network moves under a cost."""

    @abc.abstractmethod
    def init(self, network: AbstractNetwork, cost: Cost, key: PRNGKeyArray) -> Phase:
        """Returns the phase at rest, with random weights."""

    @abc.abstractmethod
    def relax(self, network: AbstractNetwork, phase: Phase, u: Array, tau: Any) -> Phase:
        """Moves the state alone for one hop of length `tau`: prediction without learning."""

    @abc.abstractmethod
    def hop(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: Array, z: Array, tau: Any
    ) -> Phase:
        """Moves everything for one hop of length `tau` under input `u` and target `z`."""

    @abc.abstractmethod
    def energies(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: Array, z: Array
    ) -> Energies:
        """Returns loss, Lagrangian and Hamiltonian of a phase."""

    @abc.abstractmethod
    def blind_hops(self, settle: int) -> int:
        """Returns how many hops into a sample the outputs still know nothing of its target.

        Up to there the output is a prediction; `settle` is the number of settle hops.
        """

    def settle(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: Array, z: Array, tau: Any
    ) -> Phase:
        """Like `hop`, with weights and momentum held still."""
        after = self.hop(network, cost, phase, u, z, tau)
        # What only the weights need is dead code here, and the compiler drops it.
        return eqx.tree_at(
            lambda p: (p.w, p.momentum, p.mass),
            after,
            (phase.w, phase.momentum, phase.mass),
            is_leaf=lambda leaf: leaf is None,
        )


def output_loss(network: AbstractNetwork, cost: Cost, x: PyTree, z: Array) -> Scalar:
    """Returns $L(x_O, z)$, summed over streams."""
    output = network.output(x)
    if network.streams is None:
        return cost.target_loss(output, z)
    return jnp.sum(jax.vmap(cost.target_loss)(output, z))


def prefix_map(fn: Any, prefix: Any, *trees: PyTree) -> PyTree:
    """Maps `fn(p, *leaves)` over `trees`, where `p` is the leaf of a tree prefix."""
    return jax.tree.map(
        lambda p, *subtrees: jax.tree.map(lambda *leaves: fn(p, *leaves), *subtrees),
        prefix,
        *trees,
    )
