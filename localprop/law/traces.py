"""Traces: what the state of a neuron owes to its own incoming weights."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PyTree

from ..errors import ConfigError
from ..network import AbstractNetwork
from .base import prefix_map

COSTATES = ("instantaneous", "reversed")


class Traces(eqx.Module):
    """The sensitivity of every state to its own incoming weights, which follows its own leak.

    $$\\dot e_{ij} = c_i(\\sigma'_i x_j - e_{ij}), \\qquad f_{ij} = \\lambda_i e_{ij}$$

    in place of $f_{ij} = \\lambda_i\\sigma'_i x_j$ (Zucchet et al., *Online learning of long-range
    dependencies*, 2023; laws.md, section 15). So an error is credited to the weights that brought
    what is remembered, however long ago. It is one number per arc into a neuron that takes time,
    local in space and in time. At $c_i = \\infty$ it would be $\\sigma'_i x_j$: there nothing is
    carried, and nothing changes.

    **Arguments:** `costate`: `"instantaneous"`, $\\lambda$ is the error of this instant, which
    crosses only arcs into neurons of infinite speed, because the others feel nothing at once; or
    `"reversed"`, $\\lambda$ relaxes at the neuron's own speed, as without traces.

    **Raises:** `ConfigError` for another costate; by `init` of the law, for a network that keeps no
    traces, a policy that runs states backward, and explicit Euler with an instantaneous costate.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cost, Digraph, Hamiltonian, Learner, SquaredError, Traces
        >>> network = Digraph.complete(3, inputs=1, speed=0.1)
        >>> law = Hamiltonian(mass=100.0, dissipation=0.7, traces=Traces())
        >>> learner = Learner(network, Cost(SquaredError()), law, hops=1, settle=0)
        >>> phase = learner.init(jax.random.key(0))
        >>> phase.trace.shape == phase.w.shape
        True

        ```
    """

    costate: str = eqx.field(static=True, default="instantaneous")

    def __check_init__(self):
        if self.costate not in COSTATES:
            raise ConfigError(f"costate '{self.costate}': take one of {', '.join(COSTATES)}")

    @property
    def instantaneous(self) -> bool:
        """Whether costates are those of the present instant."""
        return self.costate == "instantaneous"

    def felt(self, network: AbstractNetwork, costate: PyTree) -> PyTree:
        """Returns the costates whose error reaches the parents now, a tree like `x`."""
        if not self.instantaneous:
            return costate
        return prefix_map(lambda c, p: jnp.where(jnp.isinf(c), p, 0.0), network.speeds(), costate)

    def force(
        self, network: AbstractNetwork, costate: PyTree, trace: PyTree, w: PyTree, direct: PyTree
    ) -> PyTree:
        """Returns $\\lambda_i e_{ij}$ for neurons that take time, for others the direct force."""
        if trace is None:
            return direct
        return network.credited(network.own_force(costate, trace, w), direct)
