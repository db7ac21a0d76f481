"""Policies: how the boundary conditions in the future become initial conditions.

A policy is two signs, one for the state equations (of $x$ and $w$) and one for the costate
equations (of $\\lambda$ and $\\pi$) [NLP, section 4]; a gain on the costates generalises them.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..errors import ConfigError
from ..network import AbstractNetwork
from .base import Phase, squares

Sign: TypeAlias = float | Array


class AbstractPolicy(eqx.Module):
    """Gives the two signs at a phase."""

    @abc.abstractmethod
    def signs(self, phase: Phase) -> tuple[Sign, Sign]:
        """Returns the signs of the state equations and of the costate equations, or their gains."""

    def friction(self, dissipation: Any) -> Any:
        """Returns the friction of the costates, per unit of time, for a dissipation $\\theta$."""
        return dissipation

    def relaxes(self) -> bool:
        """Returns whether neurons and errors always relax, so that their speed may be infinite."""
        return False

    def check(self, network: AbstractNetwork) -> None:
        """Raises `ConfigError` for a network whose equations the policy would get wrong."""
        del network

    def later(self, time: Array, tau: Any) -> Array:
        """Returns the time after a hop; a policy may count it modulo a period of its own."""
        return time + tau


class CostateReversal(AbstractPolicy):
    """State forward, costate reversed in time [NLP, eqs. 18-19]: everything relaxes.

    The practical law for streams: the state always runs forward.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cost, CostateReversal, Digraph, Hamiltonian, SquaredError
        >>> law = Hamiltonian(CostateReversal())
        >>> phase = law.init(Digraph.complete(2), Cost(SquaredError()), jax.random.key(0))
        >>> law.policy.signs(phase)
        (1.0, -1.0)

        ```
    """

    def signs(self, phase: Phase) -> tuple[float, float]:
        del phase
        return 1.0, -1.0

    def relaxes(self) -> bool:
        return True


class FastCostates(AbstractPolicy):
    """State forward, costates reversed, $g$ times as fast as the state, with a horizon $h$.

    $$\\dot\\lambda_i = g\\bigl[c_i\\bigl((D_x^\\top\\lambda)_i + L_{x_i} - \\lambda_i\\bigr)
                          - (\\theta + \\tfrac1h)\\lambda_i\\bigr], \\qquad
      \\dot\\pi = -g\\bigl[D_w^\\top\\lambda + kV_w + (\\theta + \\tfrac1h)\\pi\\bigr]$$

    Reversed costates add up the past where they should foresee the future, and lag; a controller
    that lags overshoots. On a linear plant without friction no two constant signs are stable.
    Costates that are fast do not lag, and a horizon lets them forget (laws.md, section 13: where
    each policy is stable; benchmarks/stability.md: on what share of random plants). On every plant
    of one state that is stable by itself a large enough gain is stable, on most of several; most
    plants that are unstable by themselves stay out of reach.

    The limit of $g \\to \\infty$ is $\\lambda$ of the fixed point, discounted by
    $c_i/(c_i + \\theta + 1/h)$ per arc, and the gradient flow
    $\\dot w = -\\frac{1}{m(\\theta + 1/h)}(D_w^\\top\\lambda + kV_w)$. At infinite speed
    $\\lambda$ is that fixed point in any case, without discount: the policy is then costate
    reversal with the mass $m/g$ and the dissipation $g(\\theta + 1/h)$.

    **Arguments:**

    - `gain`: $g \\ge 1$. In a hop of length τ momentum is followed well while
      $g(\\theta + 1/h)\\tau < 1$; beyond, friction ends it in a hop.
    - `horizon`: $h > 0$, in units of time; infinite for none but $1/\\theta$. A quarter of the
      plant's own time constant does well; a longer one holds more unstable plants and costs more.

    **Raises:** `ConfigError` for values out of range.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cost, Digraph, FastCostates, Hamiltonian, SquaredError
        >>> law = Hamiltonian(FastCostates(gain=10.0, horizon=2.0), dissipation=0.5)
        >>> phase = law.init(Digraph.complete(2), Cost(SquaredError()), jax.random.key(0))
        >>> law.policy.signs(phase), law.policy.friction(law.dissipation)
        ((1.0, -10.0), 10.0)

        ```
    """

    # Measured: of the possible saving the most on random plants (benchmarks/stability.md).
    gain: float = 5.0
    horizon: float = 0.25

    def __check_init__(self):
        if isinstance(self.gain, int | float) and not 1 <= self.gain < float("inf"):
            raise ConfigError(f"gain of the costates is {self.gain}; give 1 or more, and finite")
        if isinstance(self.horizon, int | float) and not self.horizon > 0:
            raise ConfigError(f"horizon of the costates is {self.horizon}; it must be above 0")

    def signs(self, phase: Phase) -> tuple[Sign, Sign]:
        del phase
        return 1.0, -1.0 * self.gain  # an integer too becomes a float, as infinite speeds need

    def friction(self, dissipation: Any) -> Any:
        return self.gain * (dissipation + 1 / self.horizon)

    def relaxes(self) -> bool:
        return True


class Cauchy(AbstractPolicy):
    """State and costate forward: the plain solution from initial conditions [NLP, Example 1].

    It is unstable, and kept as the negative control.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cauchy, Cost, Digraph, Hamiltonian, SquaredError
        >>> law = Hamiltonian(Cauchy())
        >>> network = Digraph.complete(2, speed=1.0)
        >>> phase = law.init(network, Cost(SquaredError()), jax.random.key(0))
        >>> law.policy.signs(phase)
        (1.0, 1.0)

        ```
    """

    def signs(self, phase: Phase) -> tuple[float, float]:
        del phase
        return 1.0, 1.0


class SignFlip(AbstractPolicy):
    """State and costate forward together, then backward together [NLP, eq. 23].

    $s(t)$ changes sign every $P$ hops, or is $\\mathrm{sign}\\cos\\bar\\omega t$. Under the
    exact flow this stabilises nothing; under explicit Euler one pair of steps moves by
    $-\\tau^2 (F_y F + F_t)$, which contracts saddles. Hence take `ExplicitEuler()` and
    `weights="explicit"`: semi-implicit weights diverge.

    **Arguments:** one of

    - `period`: $P \\ge 1$, hops between flips; 1, every hop, if neither is given.
    - `omega`: $\\bar\\omega > 0$, radians per unit of time. The phase's time is then counted modulo
      the period $2\\pi/\\bar\\omega$, so that the flips go on however long the stream is.

    **Raises:** `ConfigError` for both, or for a value out of range.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cost, Digraph, Hamiltonian, SignFlip, SquaredError
        >>> policy = SignFlip(period=2)
        >>> phase = Hamiltonian(policy).init(
        ...     Digraph.complete(2, speed=1.0), Cost(SquaredError()), jax.random.key(0)
        ... )
        >>> float(policy.signs(phase)[0])
        1.0

        ```
    """

    period: int | None = eqx.field(static=True)
    omega: float | None

    def __init__(self, period: int | None = None, *, omega: float | None = None):
        if period is not None and omega is not None:
            raise ConfigError("a sign flip has a period in hops or an omega, not both")
        if period is None and omega is None:
            period = 1
        whole = isinstance(period, Integral) and 1 <= period < 2**31  # as hops are counted
        if period is not None and not whole:
            raise ConfigError(
                f"period {period} of the sign flip; give a whole number of hops from 1 to 2^31 - 1"
            )
        if isinstance(omega, int | float) and not 0 < omega < float("inf"):
            raise ConfigError(f"omega {omega} of the sign flip; it must be above 0 and finite")
        self.period, self.omega = period, omega

    def signs(self, phase: Phase) -> tuple[Sign, Sign]:
        if self.omega is not None:
            return _both(jnp.cos(self.omega * phase.time) >= 0)
        assert self.period is not None
        return _both((phase.hop // self.period) % 2 == 0)

    def later(self, time: Array, tau: Any) -> Array:
        # A sum that grows for ever loses the hops to rounding, in float32 after 2²⁴ of them.
        return time + tau if self.omega is None else (time + tau) % (2 * jnp.pi / self.omega)


class HamiltonianTrack(AbstractPolicy):
    """Forward inside a bounded set of phase space, backward outside [NLP, eq. 24].

    $s = +1$ where $|x|^2 + |w|^2 + |p_x|^2 + |p_w|^2 \\le R$, else $-1$, in the paper's raw
    costates $p_x = \\varphi\\lambda$, $p_w = -c\\varphi\\pi$ of neurons of one speed $c$. The
    dissipation is taken as $\\varphi = 1$, as in the paper's tracking experiments: with
    $\\varphi = e^{\\theta t}$ raw costates leave every ball. Anything else is a predicate.

    **Arguments:**

    - `radius`: $R > 0$, the bound on the sum of squares (not its root).
    - `predicate`: `phase -> bool`, the bounded set in place of the ball.
    - `speed`: $c > 0$ of the network, per unit of time; it weighs the momentum in the ball.

    **Raises:** `ConfigError` unless exactly one of `radius` and `predicate` is given; a law's
    `init` for a ball and a network of another speed, or of several.

    !!! example

        ```python
        >>> import jax
        >>> from localprop import Cost, Digraph, Hamiltonian, HamiltonianTrack, SquaredError
        >>> policy = HamiltonianTrack(radius=100.0)
        >>> phase = Hamiltonian(policy).init(
        ...     Digraph.complete(2, speed=1.0), Cost(SquaredError()), jax.random.key(0)
        ... )
        >>> float(policy.signs(phase)[1])
        1.0

        ```
    """

    radius: float | None
    predicate: Callable[[Phase], Array] | None
    speed: float

    def __init__(
        self,
        radius: float | None = None,
        *,
        predicate: Callable[[Phase], Array] | None = None,
        speed: float = 1.0,
    ):
        if (radius is None) == (predicate is None):
            raise ConfigError("a Hamiltonian track needs a radius or a predicate, and not both")
        for name, value in {"radius": radius, "speed": speed}.items():
            if isinstance(value, int | float) and not 0 < value < float("inf"):
                raise ConfigError(f"{name} of the Hamiltonian track is {value}; give one above 0")
        self.radius, self.predicate, self.speed = radius, predicate, speed

    def check(self, network: AbstractNetwork) -> None:
        leaves = [np.ravel(c) for c in jax.tree.leaves(network.speeds())]
        speeds = np.unique(np.concatenate(leaves))
        if self.radius is None or np.allclose(speeds, self.speed, rtol=1e-6, atol=0):
            return
        if len(speeds) > 1:
            raise ConfigError(
                f"the Hamiltonian track's ball is one of neurons of one speed, and the network has "
                f"speeds from {speeds[0]:g} to {speeds[-1]:g}; give the bounded set as a predicate"
            )
        raise ConfigError(
            f"the Hamiltonian track has speed {self.speed:g} and the network {speeds[0]:g}; give "
            f"HamiltonianTrack(radius, speed={speeds[0]:g})"
        )

    def signs(self, phase: Phase) -> tuple[Sign, Sign]:
        if self.predicate is not None:
            return _both(self.predicate(phase))
        assert self.radius is not None
        neurons = squares(phase.x) + squares(phase.costate)
        weights = squares(phase.w) + self.speed**2 * squares(phase.momentum)
        return _both(neurons + weights <= self.radius)


def _both(forward: Array) -> tuple[Array, Array]:
    sign = jnp.where(forward, 1.0, -1.0)
    return sign, sign
