"""What every law of motion offers to the learner."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Scalar

from ..cost import Cost
from ..errors import StreamError
from ..network import AbstractNetwork
from .mass import AbstractMass


class Phase(eqx.Module):
    """All that is carried from one instant to the next.

    **Fields:**

    - `x`: state of the vertices.
    - `costate`: the variable conjugate to `x`, a tree like it. For `Hamiltonian`, the error
      costate $\\lambda_i = c_i p_x^i / (c\\varphi)$.
    - `w`: weights.
    - `momentum`: the variable conjugate to `w`, $\\pi = m \\dot w$.
    - `mass`: what the mass remembers; `None` for a constant mass.
    - `time`: since the start, in the stream's own unit, to the precision of one float: float32
      holds still after 2²⁴ equal hops. Nothing reads it but `SignFlip(omega=...)`, which counts
      it modulo its own period.
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
    def relax(self, network: AbstractNetwork, phase: Phase, u: PyTree, tau: Any) -> Phase:
        """Moves the state alone for one hop of length `tau`: prediction without learning."""

    @abc.abstractmethod
    def hop(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: PyTree, z: Array, tau: Any
    ) -> Phase:
        """Moves everything for one hop of length `tau` under input `u` and target `z`."""

    @abc.abstractmethod
    def energies(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: PyTree, z: Array
    ) -> Energies:
        """Returns loss, Lagrangian and Hamiltonian of a phase."""

    @abc.abstractmethod
    def blind_hops(self, settle: int) -> int:
        """Returns how many hops into a sample the outputs still know nothing of its target.

        Up to there the output is a prediction; `settle` is the number of settle hops.
        """

    @abc.abstractmethod
    def error(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> PyTree:
        """Returns the error at the vertices, a tree like `x`: $\\lambda$, or what stands for it.

        At rest it satisfies $\\lambda = D_x^\\top\\lambda + L_x$, so
        $D_u^\\top\\lambda$ is the slope of the loss at the inputs.
        """

    @abc.abstractmethod
    def output(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> Array:
        """Returns what the network answers under input `u` before it moves on."""

    @abc.abstractmethod
    def settle_hops(self, depth: int, hops: int) -> int:
        """Returns how many of a sample's hops should be settle hops if nobody says."""

    @abc.abstractmethod
    def settle(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: PyTree, z: Array, tau: Any
    ) -> Phase:
        """Moves the neurons for one hop, with weights and momentum held still."""


def rest(network: AbstractNetwork, mass: AbstractMass, key: PRNGKeyArray) -> Phase:
    """Returns the phase at rest, with random weights."""
    x, w = network.init(key)
    zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
    return Phase(x, zeros(x), w, zeros(w), mass.init(w), jnp.zeros(()), jnp.zeros((), jnp.int32))


def pull_back(
    network: AbstractNetwork,
    cost: Cost,
    phase: Phase,
    u: PyTree,
    z: Array,
    costate: Callable[[PyTree], PyTree],
) -> tuple[PyTree, PyTree, PyTree]:
    """Returns $D$, $D_x^\\top\\lambda + L_x$ and $D_w^\\top\\lambda + k V_w$ for the costate
    $\\lambda$ = `costate(D)`, by one vector-Jacobian product of the drive.

    The last, the force on the weights, is averaged over streams and 0 where mass is infinite.
    """
    drive, pull = jax.vjp(lambda x, w: network.drive(x, w, u), phase.x, phase.w)
    dx, force = pull(costate(drive))
    loss_x = jax.grad(lambda x: output_loss(network, cost, x, z))(phase.x)
    error = jax.tree.map(jnp.add, dx, loss_x)
    if network.streams is not None:
        force = jax.tree.map(lambda f: f / network.streams, force)
    decay = cost.penalty_gradient(phase.w)
    if decay is not None:
        force = jax.tree.map(jnp.add, force, decay)
    if network.plastic is not None:
        force = prefix_map(lambda free, f: jnp.where(free, f, 0), network.plastic, force)
    return drive, error, force


def output_loss(network: AbstractNetwork, cost: Cost, x: PyTree, z: Array) -> Scalar:
    """Returns $L(x_O, z)$, summed over streams."""
    return answer_loss(network, cost, network.output(x), z)


def answer_loss(network: AbstractNetwork, cost: Cost, output: Array, z: Array) -> Scalar:
    """Returns the loss $L$ of an output that was read before, summed over streams."""
    if network.streams is None:
        return cost.target_loss(output, z)
    if z.shape[:1] != (network.streams,):
        raise StreamError(
            f"the target of a sample of {network.streams} streams has shape {z.shape}; its first "
            "axis, the second of a piece, is the stream"
        )
    return jnp.sum(jax.vmap(cost.target_loss)(output, z))


def prefix_map(fn: Any, prefix: Any, *trees: PyTree) -> PyTree:
    """Maps `fn(p, *leaves)` over `trees`, where `p` is the leaf of a tree prefix."""
    return jax.tree.map(
        lambda p, *subtrees: jax.tree.map(lambda *leaves: fn(p, *leaves), *subtrees),
        prefix,
        *trees,
    )


def total(tree: PyTree) -> Scalar:
    """Returns the sum of all numbers of a tree."""
    return sum((jnp.sum(a) for a in jax.tree.leaves(tree)), start=jnp.zeros(()))


def squares(tree: PyTree) -> Scalar:
    """Returns the sum of the squares of all numbers of a tree."""
    return total(jax.tree.map(lambda a: a**2, tree))
