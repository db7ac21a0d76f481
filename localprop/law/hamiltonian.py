"""Hamilton's equations of learning, made causal by a policy."""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError
from ..network import AbstractNetwork
from .base import AbstractLaw, Energies, Phase, output_loss, prefix_map
from .integrator import AbstractIntegrator, ExponentialEuler
from .mass import AbstractMass, Constant, as_mass
from .policy import AbstractPolicy, CostateReversal


class Hamiltonian(AbstractLaw):
    """Hamilton's equations with the policy's signs $s_x$ for state, $s_p$ for costate.

    $$\\dot x_i = s_x c_i (D_i - x_i), \\qquad
      \\dot\\lambda_i = s_p c_i (\\lambda_i - (D_x^\\top\\lambda)_i - L_{x_i})
                           - \\theta\\lambda_i,$$
    $$\\dot\\pi = s_p (D_w^\\top\\lambda + k V_w) - \\theta\\pi, \\qquad \\dot w = s_x \\pi / m$$

    in the error costate $\\lambda_i = c_i p_x^i/(c\\varphi)$ and the momentum
    $\\pi = -p_w/(c\\varphi)$ of NLP's eqs. 11-14. Both products come from one vector-Jacobian
    product of the drive.

    !!! example

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from localprop import Constant, Cost, Digraph, Hamiltonian, SquaredError
        >>> network, cost = Digraph.layered([1, 1]), Cost(SquaredError())
        >>> law = Hamiltonian(mass=Constant(2.0), dissipation=0.5)
        >>> phase = law.init(network, cost, jax.random.key(0))
        >>> u, z = jnp.array([0.0]), jnp.array([1.0])
        >>> for _ in range(3):
        ...     phase = law.hop(network, cost, phase, u, z, tau=1.0)
        >>> phase.costate  # of the output: the loss gradient x - z
        Array([-1.], dtype=float32)

        ```
    """

    policy: AbstractPolicy = CostateReversal()
    mass: AbstractMass = eqx.field(converter=as_mass, default=Constant(1.0))
    dissipation: float = 0.0
    integrator: AbstractIntegrator = ExponentialEuler()
    weights: Literal["semi-implicit", "explicit"] = eqx.field(static=True, default="semi-implicit")

    def __check_init__(self):
        if isinstance(self.dissipation, int | float) and not self.dissipation >= 0:
            raise ConfigError(f"dissipation is {self.dissipation}; it must be 0 or more")
        if self.weights not in ("semi-implicit", "explicit"):
            raise ConfigError(f"weights '{self.weights}': take semi-implicit or explicit")

    def init(self, network: AbstractNetwork, cost: Cost, key: PRNGKeyArray) -> Phase:
        del cost
        x, w = network.init(key)
        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
        return Phase(
            x, zeros(x), w, zeros(w), self.mass.init(w), jnp.zeros(()), jnp.zeros((), jnp.int32)
        )

    def relax(self, network: AbstractNetwork, phase: Phase, u: Array, tau: Any) -> Phase:
        sign, _ = self.policy.signs(phase)
        drive = network.drive(phase.x, phase.w, u)
        x = self._step_neurons(network, phase.x, drive, sign, 0.0, tau)
        return eqx.tree_at(lambda p: p.x, phase, x)

    def hop(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: Array, z: Array, tau: Any
    ) -> Phase:
        s_x, s_p = self.policy.signs(phase)
        drive, pull = jax.vjp(lambda x, w: network.drive(x, w, u), phase.x, phase.w)
        dx, dw = pull(phase.costate)
        loss_x = jax.grad(lambda x: output_loss(network, cost, x, z))(phase.x)
        error = jax.tree.map(jnp.add, dx, loss_x)
        force = self._force(network, cost, phase.w, dw)

        x = self._step_neurons(network, phase.x, drive, s_x, 0.0, tau)
        costate = self._step_neurons(network, phase.costate, error, -s_p, self.dissipation, tau)
        mass = self.mass.update(phase.mass, force, tau)
        momentum = jax.tree.map(
            lambda p, f: (1 - self.dissipation * tau) * p + s_p * tau * f, phase.momentum, force
        )
        moving = momentum if self.weights == "semi-implicit" else phase.momentum
        w = jax.tree.map(
            lambda w, p, m: w + s_x * tau * p / m, phase.w, moving, self.mass.value(mass, phase.w)
        )
        return Phase(x, costate, w, momentum, mass, phase.time + tau, phase.hop + 1)

    def blind_hops(self, settle: int) -> int:
        # The target enters the costate in the first hop; in the second, or in the first after the
        # settle hops, that costate moves the weights; the outputs feel it one hop later.
        return max(settle + 1, 2)

    def energies(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: Array, z: Array
    ) -> Energies:
        """Returns $\\mathcal L = |\\pi|^2/2m + \\ell$ and
        $\\mathcal H = \\ell + \\lambda\\cdot(D - x) - |\\pi|^2/2m$, averaged over streams."""
        streams = network.streams or 1
        loss = output_loss(network, cost, phase.x, z) / streams
        rate = cost.penalty(phase.w) + loss
        mass = self.mass.value(phase.mass, phase.w)
        kinetic = _total(jax.tree.map(lambda p, m: p**2 / m, phase.momentum, mass)) / 2
        drive = network.drive(phase.x, phase.w, u)
        power = jax.tree.map(lambda p, d, x: p * (d - x), phase.costate, drive, phase.x)
        return Energies(loss, kinetic + rate, rate + _total(power) / streams - kinetic)

    def _force(self, network: AbstractNetwork, cost: Cost, w: PyTree, dw: PyTree) -> PyTree:
        """Returns $D_w^\\top\\lambda + k V_w$, averaged over streams, 0 where mass is infinite."""
        if network.streams is not None:
            dw = jax.tree.map(lambda f: f / network.streams, dw)
        decay = cost.penalty_gradient(w)
        force = dw if decay is None else jax.tree.map(jnp.add, dw, decay)
        if network.plastic is None:
            return force
        return prefix_map(lambda free, f: jnp.where(free, f, 0), network.plastic, force)

    def _step_neurons(
        self, network: AbstractNetwork, y: PyTree, f: PyTree, sign: Any, theta: Any, tau: Any
    ) -> PyTree:
        """Moves a leaky quantity of the neurons towards `f`."""

        def step(speed, y, f):
            keep, pull = self.integrator.gains(speed, sign, theta, tau)
            # At infinite speed y becomes f to the last bit.
            return f if isinstance(keep, float) and keep == 0.0 else keep * y + pull * f

        return prefix_map(step, network.speed, y, f)


def _total(tree: PyTree) -> Scalar:
    return sum((jnp.sum(a) for a in jax.tree.leaves(tree)), start=jnp.zeros(()))
