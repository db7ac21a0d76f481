"""Hamilton's equations of learning, made causal by a policy."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from ..cost import Cost
from ..errors import ConfigError
from ..network import AbstractNetwork
from ..network.base import plain_speeds
from .base import AbstractLaw, Energies, Phase, output_loss, pull_back, rest, total
from .integrator import AbstractIntegrator, ExplicitEuler, ExponentialEuler, conjugate, is_still
from .mass import AbstractMass, Constant, as_mass
from .policy import AbstractPolicy, CostateReversal, HamiltonianTrack
from .traces import Traces


class Hamiltonian(AbstractLaw):
    """Hamilton's equations with the policy's signs $s_x$ for state, $s_p$ for costate.

    $$\\dot x_i = s_x c_i (D_i - x_i), \\qquad
      \\dot\\lambda_i = s_p c_i (\\lambda_i - (D_x^\\top\\lambda)_i - L_{x_i})
                           - \\theta\\lambda_i,$$
    $$\\dot\\pi = s_p (D_w^\\top\\lambda + k V_w) - \\theta\\pi, \\qquad \\dot w = s_x \\pi / m$$

    in the error costate $\\lambda_i = c_i p_x^i/(c\\varphi)$ and the momentum
    $\\pi = -p_w/(c\\varphi)$ of NLP's eqs. 11-14. Both products come from one vector-Jacobian
    product of the drive.

    In a hop of length τ, $\\pi \\leftarrow \\max(0, 1 - \\theta\\tau)\\,\\pi + s_p\\tau f$: beyond
    $\\theta\\tau = 1$, where a plain Euler step would throw it back, friction ends the motion.

    The integrator takes θ into the costate's exponent, $e^{-(c_i + \\theta)\\tau}$, where laws.md,
    section 5, writes $-\\theta\\tau\\lambda$: the leak is linear, so it can be solved exactly. With
    costates reversed the fixed point is $c_i/(c_i + \\theta)$ of the error that arrives, so that a
    settled λ is backpropagation's with that factor for every neuron on every path to the outputs
    (laws.md, section 6). For $c \\to \\infty$ it is that error itself: θ leaves the costate, and λ
    is backpropagation's.

    Unit mass and no friction, the defaults, are the bare equations, and diverge on nearly every
    stream. To learn one give an adaptive mass and friction, or give `Learner` no law at all.

    **Arguments:**

    - `policy`: gives $s_x$ and $s_p$; `CostateReversal()`, `FastCostates()`, `SignFlip()`,
      `HamiltonianTrack(R)`, `Cauchy()`.
    - `mass`: $m$, in units of force × time² per weight; a number means `Constant`.
    - `dissipation`: $\\theta \\ge 0$, per unit of time.
    - `integrator`: `ExponentialEuler()` or `ExplicitEuler()`, for neurons and costates.
    - `traces`: `Traces()`, for neurons that take time; `None`: the force is that of the present.
    - `weights`: whether $w$ moves with the new momentum, `"semi-implicit"`, or the old one,
      `"explicit"`.

    **Raises:** `ConfigError` for numbers that make no sense, and by `init` for an infinite speed
    under a policy that reverses equations, or for a network that the policy does not fit.

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
    traces: Traces | None = None

    def __check_init__(self):
        if isinstance(self.dissipation, int | float) and not self.dissipation >= 0:
            raise ConfigError(f"dissipation is {self.dissipation}; it must be 0 or more")
        if self.weights not in ("semi-implicit", "explicit"):
            raise ConfigError(f"weights '{self.weights}': take semi-implicit or explicit")

    def init(self, network: AbstractNetwork, cost: Cost, key: PRNGKeyArray) -> Phase:
        del cost
        if self.traces is not None:
            self.check_clock()
            if self.traces.instantaneous and isinstance(self.integrator, ExplicitEuler):
                raise ConfigError(
                    "an instantaneous costate has infinite speed, which explicit Euler cannot "
                    "follow; take ExponentialEuler(), or Traces('reversed')"
                )
        if network.learns_speeds and self.traces is None:
            raise ConfigError(
                "a speed is learned by its trace; give Hamiltonian(traces=Traces()), or hold speeds"
            )
        for part, follows in (
            (self.policy, self.policy.relaxes()),
            (self.integrator, not isinstance(self.integrator, ExplicitEuler)),
        ):
            if not follows:
                plain_speeds(network, f"{type(part).__name__}()")
        if not self.policy.relaxes() and any(
            np.isinf(c).any() for c in jax.tree.leaves(network.speeds())
        ):
            raise ConfigError(
                f"{type(self.policy).__name__} reverses equations, and an infinite speed can only "
                "relax forward; give the network a finite speed=..."
            )
        self.policy.check(network)
        phase = rest(network, self.mass, key)
        if self.traces is None:
            return phase
        return dataclasses.replace(phase, trace=network.zero_traces(phase.x, phase.w))

    def check_clock(self) -> None:
        if not self.policy.relaxes():
            raise ConfigError(
                f"{type(self.policy).__name__} runs states backward, which can neither be traced "
                "nor have a time of their own; take CostateReversal()"
            )

    def felt_at_once(self) -> bool:
        return self.traces is not None and self.traces.instantaneous

    def relax(self, network: AbstractNetwork, phase: Phase, u: PyTree, tau: Any) -> Phase:
        # Forward whatever the policy: backward is no prediction.
        drive = network.drive(phase.x, phase.w, u)
        speeds = _speeds(network, phase.w, tau)
        x = self.integrator.step(speeds, phase.x, drive, tau, axis=_pair_axis(network))
        return eqx.tree_at(lambda p: p.x, phase, x)

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
        s_x, s_p = self.policy.signs(phase)
        friction = self.policy.friction(self.dissipation)
        lapse = tau if lapse is None else lapse
        move, given = self.integrator.step, (network, cost, phase, u, z)
        step = partial(move, axis=_pair_axis(network))
        trace, speed = phase.trace, conjugate(network.speeds(phase.w))
        if self.traces is None:
            drive, error, force = pull_back(*given, phase.costate)
        else:
            if trace is not None and not is_still(lapse):
                move = partial(move, tau=lapse)
                trace = network.advance_traces(trace, phase.x, phase.w, u, move)
            felt = self.traces.felt(network, phase.costate)
            credit = partial(self.traces.force, network, phase.costate, trace, phase.w)
            drive, error, force = pull_back(*given, felt, credit)
            speed = np.inf if self.traces.instantaneous else speed

        speeds = _speeds(network, phase.w, lapse)
        x = step(speeds, phase.x, drive, lapse, s_x)
        costate = step(speed, phase.costate, error, tau, -s_p, friction)
        mass = self.mass.update(phase.mass, force, tau)
        keep = jnp.maximum(1 - friction * tau, 0)  # friction stops, it does not reverse
        momentum = jax.tree.map(lambda p, f: keep * p + s_p * tau * f, phase.momentum, force)
        moved = momentum if self.weights == "semi-implicit" else phase.momentum
        w = jax.tree.map(
            lambda w, p, m: w + s_x * tau * p / m, phase.w, moved, self.mass.value(mass, phase.w)
        )
        time = self.policy.later(phase.time, tau)
        return Phase(x, costate, w, momentum, mass, time, phase.hop + 1, trace)

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
        after = self.hop(network, cost, phase, u, z, tau, lapse)
        # What only the weights need is dead code here, and the compiler drops it.
        return eqx.tree_at(
            lambda p: (p.w, p.momentum, p.mass),
            after,
            (phase.w, phase.momentum, phase.mass),
            is_leaf=lambda leaf: leaf is None,
        )

    def output(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> Array:
        del u
        return network.output(phase.x)

    def settle_hops(self, depth: int, hops: int) -> int:
        # Until the error has arrived, or at least until the output has felt the input.
        return next((settle for settle in (2 * depth, depth - 1) if hops > settle), 0)

    def error(self, network: AbstractNetwork, phase: Phase, u: PyTree) -> PyTree:
        del network, u
        return phase.costate

    def blind_hops(self, settle: int) -> int:
        if isinstance(self.policy, HamiltonianTrack):
            return 1  # its sign is made of costates too, and moves every state in the second hop
        # The target enters the costate in the first hop; in the second, or in the first after the
        # settle hops, that costate moves the weights; the outputs feel it one hop later.
        return max(settle + 1, 2)

    def energies(
        self, network: AbstractNetwork, cost: Cost, phase: Phase, u: PyTree, z: Array
    ) -> Energies:
        """Returns $\\mathcal L = |\\pi|^2/2m + \\ell$ and
        $\\mathcal H = \\ell + \\lambda\\cdot(D - x) - |\\pi|^2/2m$, with the mean loss over the
        streams that have a label."""
        loss = output_loss(network, cost, phase.x, z)
        rate = cost.penalty(phase.w) + loss
        mass = self.mass.value(phase.mass, phase.w)
        kinetic = total(jax.tree.map(lambda p, m: p**2 / m, phase.momentum, mass)) / 2
        drive = network.drive(phase.x, phase.w, u)
        power = jax.tree.map(lambda p, d, x: p * (d - x), phase.costate, drive, phase.x)
        return Energies(loss, kinetic + rate, rate + total(power) - kinetic)


def _speeds(network: AbstractNetwork, w: PyTree, lapse: Any) -> PyTree:
    """Returns the speeds of the states; where no time passes, all that counts is which are finite,
    and that is known from the beginning."""
    return network.speeds() if is_still(lapse) else network.speeds(w)


def _pair_axis(network: AbstractNetwork) -> int:
    """Returns the axis of a state along which a pair lies: the first, behind that of streams."""
    return 0 if network.streams is None else 1
