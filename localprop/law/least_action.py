"""Least action: neurons and weights as coordinates of one mechanical system."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError
from ..network import AbstractNetwork
from ..network.base import plain_speeds
from .base import (
    AbstractLaw,
    Phase,
    output_loss,
    rest,
    shares,
    squares,
    stream_losses,
    total,
    weigh,
    weight_force,
)
from .integrator import ExponentialEuler
from .mass import AbstractMass, Constant, as_mass
from .motion import AbstractMotion, AbstractNeurons, Inertial, SemiImplicitEuler


class ActionEnergies(eqx.Module):
    """Energies and powers of a phase under `LeastAction`.

    With several streams, the mean over those that have a label, or over all where none has.

    **Fields:**

    - `loss`: $L$.
    - `lagrangian`: $T - U$. `hamiltonian`: the mechanical energy $E = T + U$.
    - `neuron_kinetic`, `weight_kinetic`: $m_x|\\dot x|^2/2$, $m_w|\\dot w|^2/2$; their sum is $T$.
    - `connection`: $\\frac\\kappa2|x-D|^2$. `cost`: $\\ell = kV + L$. Their sum is $U$.
    - `dissipated`: $\\theta_x m_x|\\dot x|^2 + \\theta_w m_w|\\dot w|^2$, energy per unit of time.
    - `exchanged`: $\\partial_t U = U_u\\dot u + L_z\\dot z$, the power that the environment spends.
    """

    loss: Scalar
    lagrangian: Scalar
    hamiltonian: Scalar
    neuron_kinetic: Scalar
    weight_kinetic: Scalar
    connection: Scalar
    cost: Scalar
    dissipated: Scalar
    exchanged: Scalar


class LeastAction(AbstractLaw):
    """Neurons and weights as masses that move in one potential, with friction [STLP].

    $$m_x(\\ddot x + \\theta_x\\dot x) = -U_x, \\qquad m_w(\\ddot w + \\theta_w\\dot w) = -U_w,
      \\qquad U = \\tfrac\\kappa2|x - D(x, w, u)|^2 + k V(w) + L(x_O, z)$$

    The mismatch $\\epsilon = -\\kappa(x - D)$ of a neuron with its drive is the error signal: at
    rest it obeys $\\epsilon = D_x^\\top\\epsilon + L_x$, backpropagation's own equation. With it

    $$U_x = D_x^\\top\\epsilon + L_x - \\epsilon, \\qquad U_w = D_w^\\top\\epsilon + k V_w$$

    and both products come from one vector-Jacobian product of the drive. A phase's `costate` is
    the neurons' momentum $m_x\\dot x$, its `momentum` the weights', $m_w\\dot w$.

    With $\\theta_x = \\theta_w = \\theta$ and constant masses these are the Euler-Lagrange
    equations of the action $\\int (T - U)\\,e^{\\theta t}\\,dt$. With two frictions, as
    `localprop learn --law least-action` has them (1.0, and 1.0 or 0.5), there is no common
    $e^{\\theta t}$ and no such action (laws.md, section 9). benchmarks/equal_friction.md tells what
    one friction scores.

    The target pulls at the outputs themselves. So the learner's settle hops present a sample
    *without* its target, and the prediction, the drive of the outputs, is read at their end.
    With no target the least potential is $U = 0$, at $x = D$; settle hops and predictions relax
    to it as the forward network does, $\\dot x_i = c_i(D_i - x_i)$ with the network's own speed,
    and end at rest. After settle hops the target needs at least two more to reach a weight.

    With several streams, weights feel the mean of $U_w$ over those that have a label; where none
    has one, over all.

    **Arguments:**

    - `stiffness`: $\\kappa > 0$.
    - `neurons`: how neurons move, `Inertial` or, in the limit of no mass, `Overdamped`.
    - `mass`: $m_w$ of the weights; a number means `Constant`.
    - `dissipation`: $\\theta_w \\ge 0$ of the weights, per unit of time; that of the neurons is
      their own, `neurons.dissipation`.
    - `motion`: `SemiImplicitEuler()` or `Splitting()`.

    **Raises:** `ConfigError` for numbers that make no sense.

    !!! example

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from localprop import Cost, Digraph, LeastAction, SquaredError
        >>> network, cost = Digraph.layered([1, 1]), Cost(SquaredError())
        >>> law = LeastAction(stiffness=1.0, mass=1e9)
        >>> phase = law.init(network, cost, jax.random.key(0))
        >>> u, z = jnp.array([0.0]), jnp.array([1.0])
        >>> for _ in range(50):
        ...     phase = law.hop(network, cost, phase, u, z, tau=1.0)
        >>> phase.x.round(3)  # between the drive 0 and the target 1
        Array([0.5], dtype=float32)

        ```
    """

    # Measured: within its stability limit a low stiffness carries the error farther in few hops,
    # and inertia farther than the overdamped limit (benchmarks/least_action.md).
    stiffness: float = 0.3
    neurons: AbstractNeurons = Inertial(mass=0.6, dissipation=1.0)
    mass: AbstractMass = eqx.field(converter=as_mass, default=Constant(20.0))
    dissipation: float = 1.0
    motion: AbstractMotion = SemiImplicitEuler()

    def __check_init__(self):
        if isinstance(self.stiffness, int | float) and not self.stiffness > 0:
            raise ConfigError(f"stiffness is {self.stiffness}; it must be above 0")
        if isinstance(self.dissipation, int | float) and not self.dissipation >= 0:
            raise ConfigError(f"dissipation is {self.dissipation}; it must be 0 or more")
        self.neurons.check(self.motion)

    def init(self, network: AbstractNetwork, cost: Cost, key: PRNGKeyArray) -> Phase:
        del cost
        plain_speeds(network, "LeastAction()")
        return rest(network, self.mass, key)

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
        del lapse  # see check_clock
        neurons, motion = self.neurons, self.motion
        x = neurons.before(motion, phase.x, phase.costate, tau)
        w = motion.before(phase.w, phase.momentum, self.mass.value(phase.mass, phase.w), tau)

        middle = eqx.tree_at(lambda p: (p.x, p.w), phase, (x, w))
        _, U_x, U_w = self._forces(network, cost, middle, u, z)
        mass = self.mass.update(phase.mass, U_w, tau)

        x, costate = neurons.after(motion, x, phase.costate, U_x, self.stiffness, tau)
        momentum = motion.kick(phase.momentum, U_w, self.dissipation, tau)
        w = motion.after(w, momentum, self.mass.value(mass, phase.w), tau)
        return Phase(x, costate, w, momentum, mass, phase.time + tau, phase.hop + 1)

    def relax(self, network: AbstractNetwork, phase: Phase, u: PyTree, tau: Any) -> Phase:
        drive = network.drive(phase.x, phase.w, u)
        x = ExponentialEuler().step(network.speeds(), phase.x, drive, tau)
        at_rest = jax.tree.map(jnp.zeros_like, phase.costate)
        return eqx.tree_at(lambda p: (p.x, p.costate), phase, (x, at_rest))

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
        del lapse  # see check_clock
        del cost, z
        phase = self.relax(network, phase, u, tau)
        return eqx.tree_at(lambda p: (p.time, p.hop), phase, (phase.time + tau, phase.hop + 1))

    def output(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> Array:
        # The state of an output is pulled towards past targets; its drive is the prediction.
        return network.output(network.drive(phase.x, phase.w, u))

    def settle_hops(self, depth: int, hops: int) -> int:
        # After `depth` hops x = D: all mismatch that is seen then comes from the target. A stream
        # presented for fewer hops must be slow; there the error lives in the state from sample to
        # sample, and settling would wipe it out.
        return depth if hops >= 2 * depth else 0

    def error(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> PyTree:
        drive = network.drive(phase.x, phase.w, u)
        return jax.tree.map(lambda D, x: self.stiffness * (D - x), drive, phase.x)

    def blind_hops(self, settle: int) -> int:
        # Only settle hops withhold the target.
        return settle

    def energies(
        self,
        network: AbstractNetwork,
        cost: Cost,
        phase: Phase,
        u: PyTree,
        z: Array,
        u_rate: Array | None = None,
        z_rate: Array | None = None,
    ) -> ActionEnergies:
        """Returns the energies, whose balance is

        $$\\dot E = -\\theta_x m_x|\\dot x|^2 - \\theta_w m_w|\\dot w|^2 + \\partial_t U .$$

        **Arguments:** as for `hop`; `u_rate`, `z_rate`: $\\dot u$ and $\\dot z$, where the
        environment moves smoothly; by default it is held.
        """
        share = shares(network, z)
        root = None if share is None else jnp.sqrt(share)  # all that is weighed is a square
        mismatch, U_x, _ = self._forces(network, cost, phase, u, z)
        connection = self.stiffness / 2 * squares(weigh(root, mismatch))
        loss = output_loss(network, cost, phase.x, z)
        rate = cost.penalty(phase.w) + loss
        mass = self.mass.value(phase.mass, phase.w)
        T_w = total(jax.tree.map(lambda p, m: p**2 / m, phase.momentum, mass)) / 2
        T_x = self.neurons.kinetic(weigh(root, phase.costate))
        friction = self.neurons.dissipated(weigh(root, phase.costate), weigh(root, U_x))

        def potential(u: PyTree, z: Array) -> Scalar:
            drive = network.drive(phase.x, phase.w, u)
            mismatch = jax.tree.map(jnp.subtract, phase.x, drive)
            held = self.stiffness / 2 * squares(weigh(root, mismatch))
            return held + output_loss(network, cost, phase.x, z)

        zeros = lambda tree: jax.tree.map(jnp.zeros_like, tree)  # noqa: E731
        rates = (zeros(u) if u_rate is None else u_rate, zeros(z) if z_rate is None else z_rate)
        slopes = jax.grad(potential, argnums=(0, 1))(u, z)
        exchanged = total(jax.tree.map(jnp.multiply, slopes, rates))
        return ActionEnergies(
            loss=loss,
            lagrangian=T_x + T_w - connection - rate,
            hamiltonian=T_x + T_w + connection + rate,
            neuron_kinetic=T_x,
            weight_kinetic=T_w,
            connection=connection,
            cost=rate,
            dissipated=friction + 2 * self.dissipation * T_w,
            exchanged=exchanged,
        )

    def _forces(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: PyTree, z: Array
    ) -> tuple[PyTree, PyTree, PyTree]:
        """Returns the mismatch $x - D$, $U_x$ of every stream, and $U_w$, the mean over those that
        have a label."""
        drive, pull = jax.vjp(lambda x, w: network.drive(x, w, u), phase.x, phase.w)
        error = jax.tree.map(lambda x, d: -self.stiffness * (x - d), phase.x, drive)
        dx, force = pull(error)
        if (share := shares(network, z)) is not None:
            force = pull(weigh(share, error))[1]
        losses = lambda x: stream_losses(network, cost, network.readouts(x), z)  # noqa: E731
        loss_x = jax.grad(lambda x: jnp.sum(losses(x)))(phase.x)
        U_x = jax.tree.map(lambda back, out, own: back + out - own, dx, loss_x, error)
        mismatch = jax.tree.map(jnp.subtract, phase.x, drive)
        return mismatch, U_x, weight_force(network, cost, phase.w, force)
