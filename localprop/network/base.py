"""What every network offers to a law."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..errors import ConfigError

# Moves a leaky quantity of a speed towards another one, over the time that passes in a hop.
Move = Callable[[Any, PyTree, PyTree], PyTree]


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

    def readouts(self, x: PyTree) -> Any:
        """Returns what each readout says, by name, where there are several, each with a loss of its
        own; else the output."""
        return self.output(x)

    def speeds(self, w: PyTree = None) -> PyTree:
        """Returns the speeds by which states move, a prefix of `x`, under the weights `w`; without
        them those of the beginning. Complex ones are $c = \\nu - i\\omega$, of states that are
        pairs: real and imaginary part on a first axis of length 2."""
        del w
        return self.speed

    @property
    def learns_speeds(self) -> bool:
        """Whether speeds hang on weights."""
        return False

    def zero_traces(self, x: PyTree, w: PyTree) -> PyTree:
        """Returns the traces at rest, `None` where no vertex takes time."""
        del x, w
        raise ConfigError(_no_traces(self))

    def advance_traces(self, trace: PyTree, x: PyTree, w: PyTree, u: PyTree, move: Move) -> PyTree:
        """Returns the traces after a hop, in which states go from `x` towards their drive.

        Those of arcs move, as the state does, towards the slopes of the drive by the weights,
        $\\sigma'_i x_j$; those of learned speeds take the slopes of the hop itself.

        **Arguments:** `move(speed, y, f)`: `y` after the hop.
        """
        raise ConfigError(_no_traces(self))

    def own_force(self, costate: PyTree, trace: PyTree, w: PyTree) -> PyTree:
        """Returns $\\lambda_i e_{ij}$ of every weight, a tree like `w`."""
        raise ConfigError(_no_traces(self))

    def credited(self, own: PyTree, direct: PyTree) -> PyTree:
        """Returns the `own_force` where a vertex takes time, elsewhere the `direct` one."""
        raise ConfigError(_no_traces(self))


def plain_speeds(network: AbstractNetwork, who: str) -> PyTree:
    """Returns the speeds of a network, all real and none learned.

    **Raises:** `ConfigError` for others, which `who` cannot follow.
    """
    speeds = network.speeds()
    if network.learns_speeds or any(np.iscomplexobj(c) for c in jax.tree.leaves(speeds)):
        raise ConfigError(
            f"{who} has no equations for neurons that oscillate or learn their speed; take "
            "Hamiltonian() with CostateReversal() and ExponentialEuler(), or plain speeds"
        )
    return speeds


def as_rate(leak: Any, frequency: Any) -> Any:
    """Returns the complex speed $\\nu - i\\omega$."""
    if isinstance(leak, float | np.ndarray) and isinstance(frequency, float | np.ndarray):
        return np.asarray(leak) - 1j * np.asarray(frequency)
    return jax.lax.complex(*jnp.broadcast_arrays(jnp.asarray(leak), -jnp.asarray(frequency)))


def advance_speed_trace(
    trace: Array,
    x: Array,
    drive: Array,
    rate: Array,
    speeds: Callable[[Array], Any],
    move: Move,
) -> Array:
    """Returns the trace $Q$ of a learned number of a speed after the hop $\\Phi$ from `x` towards
    the `drive`: $aQ + \\partial\\Phi$, what is left of it and the slope of the hop itself (laws.md,
    section 15).

    **Arguments:** `rate`: the learned number; `speeds(rate)`: the speeds under it; `move`: as for
    `advance_traces`.
    """
    hop = lambda rate: move(speeds(rate), x, drive)  # noqa: E731
    _, slope = jax.jvp(hop, (rate,), (jnp.ones_like(rate),))
    return move(speeds(rate), trace, jnp.zeros_like(trace)) + slope


def _no_traces(network: AbstractNetwork) -> str:
    return (
        f"{type(network).__name__} keeps no traces; take a Digraph or a Layered network, or a law "
        "without traces"
    )
