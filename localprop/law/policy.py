"""Policies: how the boundary conditions in the future become initial conditions.

A policy is two signs, one for the state equations (of $x$ and $w$) and one for the costate
equations (of $\\lambda$ and $\\pi$) [NLP, section 4].
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ..errors import ConfigError
from .base import Phase, squares

Sign: TypeAlias = float | Array


class AbstractPolicy(eqx.Module):
    """Gives the two signs at a phase."""

    @abc.abstractmethod
    def signs(self, phase: Phase) -> tuple[Sign, Sign]:
        """Returns the signs of the state equations and of the costate equations."""

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
    - `speed`: $c > 0$, per unit of time; it weighs the momentum in the ball.

    **Raises:** `ConfigError` unless exactly one of `radius` and `predicate` is given.

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
