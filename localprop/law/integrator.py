"""How the continuous equations of neurons and costates become hops.

For one hop of length τ an integrator turns a rate equation with a leak,
$\\dot y = s\\,c\\,(f - y) - \\theta y$, into two numbers: $y \\leftarrow \\text{keep}\\cdot y +
\\text{pull}\\cdot f$, with the sign $s$ of the policy. The costate relaxes with $-s$, because its
equation has the opposite sign.

A complex speed $c = \\nu - i\\omega$ turns as it leaks: $y$ is then a pair of real and imaginary
part, along an axis of its own, and both numbers are complex.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..errors import ConfigError
from .base import prefix_map


class AbstractIntegrator(eqx.Module):
    """One-step methods for equations with a leak."""

    @abc.abstractmethod
    def gains(self, speed: Any, sign: Any, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        """Returns `(keep, pull)` for $\\dot y = s c (f - y) - \\theta y$ over a time `tau`."""

    def step(
        self,
        speed: Any,
        y: PyTree,
        f: PyTree,
        tau: Any,
        sign: Any = 1.0,
        dissipation: Any = 0.0,
        axis: int = 0,
    ) -> PyTree:
        """Moves a leaky quantity of the neurons towards `f`; `speed` is a tree prefix of it.

        Where it is complex, `y` and `f` are pairs of numbers, along `axis`.
        """

        def move(speed: Any, y: Any, f: Any) -> Any:
            if jnp.iscomplexobj(speed):
                if is_still(tau) and isinstance(speed, np.ndarray) and np.isfinite(speed).all():
                    return y
                keep, pull = self.gains(speed, sign, dissipation, tau)
                y, f = jnp.moveaxis(y, axis, 0), jnp.moveaxis(f, axis, 0)
                parts = zip(_turned(keep, y), _turned(pull, f), strict=True)
                # Not a stack: mapped over streams, it would transpose what may be large.
                return jnp.concatenate([jnp.expand_dims(a + b, axis) for a, b in parts], axis)
            if is_still(tau) and isinstance(speed, float) and speed != jnp.inf:
                return y
            keep, pull = self.gains(speed, sign, dissipation, tau)
            # At infinite speed y becomes f to the last bit.
            return f if isinstance(keep, float) and keep == 0.0 else keep * y + pull * f

        return prefix_map(move, speed, y, f)


class ExponentialEuler(AbstractIntegrator):
    """The leak exactly, the drive held over the hop: unconditionally stable.

    $y \\leftarrow e^{-(sc+\\theta)\\tau} y + \\frac{sc}{sc+\\theta}(1 - e^{-(sc+\\theta)\\tau}) f$.
    At infinite speed, $y \\leftarrow f$: one arc per hop, whatever θ (laws.md, section 5).

    **Raises:** `ConfigError`, in a hop, for an infinite speed under a policy that runs backward.

    !!! example

        ```python
        >>> from localprop import ExponentialEuler
        >>> keep, pull = ExponentialEuler().gains(speed=2.0, sign=1.0, dissipation=0.0, tau=0.5)
        >>> print(f"{keep:.4f} {pull:.4f}")  # exp(-1) and the rest
        0.3679 0.6321

        ```
    """

    def gains(self, speed: Any, sign: Any, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        if isinstance(speed, float) and speed == jnp.inf:
            _check_forward(sign)
            return 0.0, 1.0
        finite = jnp.where(jnp.isinf(speed), 1, speed)
        leak = sign * finite + dissipation
        keep = jnp.where(jnp.isinf(speed), 0, jnp.exp(-leak * tau))
        # The share of the drive first: c τ may overflow where (1 - keep) c / leak does not.
        share = sign * finite / jnp.where(leak == 0, 1, leak) * -jnp.expm1(-leak * tau)
        pull = jnp.where(leak == 0, sign * finite * tau, share)
        return keep, jnp.where(jnp.isinf(speed), 1, pull)


class ExplicitEuler(AbstractIntegrator):
    """$y \\leftarrow y + \\tau (s c (f - y) - \\theta y)$, as in NLP's Algorithm 1.

    Its own error is what makes the sign-flip policies converge; it needs $c\\tau$ well below 2.

    **Raises:** `ConfigError`, in a hop, for an infinite speed.

    !!! example

        ```python
        >>> from localprop import ExplicitEuler
        >>> ExplicitEuler().gains(speed=2.0, sign=1.0, dissipation=0.0, tau=0.25)
        (0.5, 0.5)

        ```
    """

    def gains(self, speed: Any, sign: Any, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        if isinstance(speed, float) and speed == jnp.inf:
            raise ConfigError(
                "explicit Euler needs a finite speed; give the network speed=..., or take "
                "ExponentialEuler()"
            )
        return 1 - tau * (sign * speed + dissipation), tau * sign * speed


def conjugate(speeds: PyTree) -> PyTree:
    """Returns the speeds at which costates relax: the transpose of a turn is the turn back."""
    return jax.tree.map(lambda c: c.conj() if jnp.iscomplexobj(c) else c, speeds)


def _turned(gain: Array, pair: Array) -> tuple[Array, Array]:
    """Returns the product of a complex number and a pair, part by part."""
    # In real numbers: pairs of large arrays would be copied to be complex.
    re, im = (part.astype(pair.dtype) for part in (jnp.real(gain), jnp.imag(gain)))
    return re * pair[0] - im * pair[1], im * pair[0] + re * pair[1]


def is_still(tau: Any) -> bool:
    """Whether a hop is known ahead to take no time, so that only infinite speed moves in it."""
    return isinstance(tau, float) and bool(tau == 0.0)


def _check_forward(sign: Any) -> None:
    if not isinstance(sign, float) or sign < 0:
        raise ConfigError(
            "infinite speed can only relax forward; with this policy give the network a finite "
            "speed=..."
        )
