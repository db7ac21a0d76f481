"""What every law of motion offers to the learner."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError, StreamError
from ..forked import as_numbers, from_numbers
from ..network import AbstractNetwork
from ..network.uncompiled import zeros, zeros_like
from .mass import AbstractMass


class Phase(eqx.Module):
    """All that is carried from one instant to the next.

    **Fields:**

    - `x`: state of the vertices.
    - `costate`: the variable conjugate to `x`, a tree like it. For `Hamiltonian`, the error
      costate $\\lambda_i = c_i p_x^i / (c\\varphi)$; with several streams, or review, that of the
      mean loss.
    - `w`: weights.
    - `momentum`: the variable conjugate to `w`, $\\pi = m \\dot w$.
    - `mass`: what the mass remembers; `None` for a constant mass.
    - `time`: since the start, in the stream's own unit, to the precision of one float: float32
      holds still after 2²⁴ equal hops. Nothing reads it but `SignFlip(omega=...)`, which counts
      it modulo its own period.
    - `hop`: how many hops were made (it wraps around after 2³¹).
    - `trace`: what states owe to their own incoming weights; `None` without `Traces`, or where no
      neuron takes time.
    - `average`: the running mean of the weights; `None` without `Learner(average=...)`.
    - `review`: samples that are seen again; `None` without `Learner(review=...)`.
    """

    x: PyTree
    costate: PyTree
    w: PyTree
    momentum: PyTree
    mass: PyTree
    time: Float[Array, ""]
    hop: Int[Array, ""]
    trace: PyTree = None
    average: PyTree = None
    review: PyTree = None

    def __reduce__(self) -> tuple[Any, tuple]:
        """Pickles and copies by numbers: an array of JAX's own could wait for ever in a fork."""
        fields = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return _phase, jax.tree.map(as_numbers, fields)


def _phase(*fields: Any) -> Phase:
    return Phase(*jax.tree.map(from_numbers, fields))


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

    def check_clock(self) -> None:
        """Raises `ConfigError` where neurons cannot have a time of their own."""
        raise ConfigError(
            f"{type(self).__name__} has one time for all; clock='sample' is for Hamiltonian with a "
            "policy that relaxes forward"
        )

    def felt_at_once(self) -> bool:
        """Whether errors are those of the instant, which cross no arc into a neuron that takes
        time."""
        return False

    @abc.abstractmethod
    def hop(
        self,
        network: AbstractNetwork,
        cost: Cost,
        phase: Phase,
        u: PyTree,
        z: Array,
        tau: Any,
        lapse: Any = None,
    ) -> Phase:
        """Moves everything for one hop of length `tau` under input `u` and target `z`.

        **Arguments:** `lapse`: how long it lasts for neurons that take time, where that differs.
        """

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
        self,
        network: AbstractNetwork,
        cost: Cost,
        phase: Phase,
        u: PyTree,
        z: Array,
        tau: Any,
        lapse: Any = None,
    ) -> Phase:
        """Moves the neurons for one hop, with weights and momentum held still."""


def rest(network: AbstractNetwork, mass: AbstractMass, key: PRNGKeyArray) -> Phase:
    """Returns the phase at rest, with random weights."""
    x, w = network.init(key)
    still = lambda tree: jax.tree.map(zeros_like, tree)  # noqa: E731
    time, hops = zeros(()), zeros((), jnp.int32)
    return Phase(x, still(x), w, still(w), mass.init(w), time, hops)


def pull_back(
    network: AbstractNetwork,
    cost: Cost,
    phase: Phase,
    u: PyTree,
    z: Array,
    costate: PyTree,
    credit: Callable[[PyTree], PyTree] = lambda force: force,
) -> tuple[PyTree, PyTree, PyTree]:
    """Returns $D$, $D_x^\\top\\lambda + L_x$ and $D_w^\\top\\lambda + k V_w$ for the costate
    $\\lambda$, by one vector-Jacobian product of the drive; of its force on the weights `credit`
    makes another, if given.

    The last, the force on the weights, is 0 where mass is infinite. With several streams $L$ is
    the mean of `output_loss`, so that the force, a sum over streams, is a mean as well.
    """
    drive, pull = jax.vjp(lambda x, w: network.drive(x, w, u), phase.x, phase.w)
    dx, force = pull(costate)
    loss_x = jax.grad(lambda x: output_loss(network, cost, x, z))(phase.x)
    error = jax.tree.map(jnp.add, dx, loss_x)
    return drive, error, weight_force(network, cost, phase.w, credit(force))


def weight_force(network: AbstractNetwork, cost: Cost, w: PyTree, force: PyTree) -> PyTree:
    """Returns a force on the weights with that of the regulariser, 0 where mass is infinite."""
    decay = cost.penalty_gradient(w)
    if decay is not None:
        force = jax.tree.map(jnp.add, force, decay)
    if network.plastic is not None:
        force = prefix_map(lambda free, f: jnp.where(free, f, 0), network.plastic, force)
    return force


def output_loss(network: AbstractNetwork, cost: Cost, x: PyTree, z: Array) -> Scalar:
    """Returns $L(x_O, z)$ of all readouts, the mean over the streams that have a label."""
    return answer_loss(network, cost, network.readouts(x), z)


def answer_loss(network: AbstractNetwork, cost: Cost, output: Any, z: Array) -> Scalar:
    """Returns the loss $L$ of an output, or of readouts, that were read before."""
    share = shares(network, z)
    losses = stream_losses(network, cost, output, z)
    return losses if share is None else jnp.sum(share * losses)


def stream_losses(network: AbstractNetwork, cost: Cost, output: Any, z: Array) -> Array:
    """Returns the loss of an output, one per stream where there are several; of readouts by name,
    the sum of the losses of each."""
    if isinstance(output, dict):
        each = [stream_losses(network, cost.of(name), y, z) for name, y in output.items()]
        return sum(each[1:], start=each[0])
    if network.streams is None:
        losses = cost.target_loss(output, z)
    else:
        losses = jax.vmap(cost.target_loss)(output, z)
    return losses if cost.weight is None else cost.weight * losses


def shares(network: AbstractNetwork, z: Array) -> Array | None:
    """Returns how much each stream counts, `(streams,)`, or `None` for a single stream.

    Those that have a label share alike and the others count nothing; where none has one, all
    share alike.
    """
    if network.streams is None:
        return None
    if z.shape[:1] != (network.streams,):
        raise StreamError(
            f"the target of a sample of {network.streams} streams has shape {z.shape}; its first "
            "axis, the second of a piece, is the stream"
        )
    known = ~jnp.all(jnp.isnan(z), axis=tuple(range(1, z.ndim)))
    known = known | ~jnp.any(known)
    return known / jnp.sum(known)


def weigh(share: Array | None, tree: PyTree) -> PyTree:
    """Returns the numbers of every stream times its share; without streams, the tree itself."""
    if share is None:
        return tree
    return jax.tree.map(lambda a: a * share.reshape(-1, *(1,) * (a.ndim - 1)), tree)


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
