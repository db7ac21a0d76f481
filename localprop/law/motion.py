"""How masses under friction become hops: integrators of $m(\\ddot y + \\theta\\dot y) = -U_y$.

Every integrator drifts for a part of the hop, feels the force once, and drifts for the rest.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree, Scalar

from ..errors import ConfigError
from .base import squares


class AbstractMotion(eqx.Module):
    """One-step methods for masses under friction, with one force per hop."""

    @abc.abstractmethod
    def lead(self) -> float:
        """Returns the part of the hop that passes before the force is felt, in [0, 1)."""

    @abc.abstractmethod
    def gains(self, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        """Returns `(keep, push)` of the kick $p \\leftarrow \\text{keep}\\cdot p -
        \\text{push}\\cdot U_y$."""

    def before(self, y: PyTree, p: PyTree, mass: PyTree, tau: Any) -> PyTree:
        """Lets $y$ drift with $\\dot y = p/m$ until the force is felt."""
        return y if self.lead() == 0 else _drift(y, p, mass, self.lead() * tau)

    def kick(self, p: PyTree, force: PyTree, dissipation: Any, tau: Any) -> PyTree:
        """Returns the momentum after the hop, for the force $U_y$."""
        keep, push = self.gains(dissipation, tau)
        return jax.tree.map(lambda p, f: keep * p - push * f, p, force)

    def after(self, y: PyTree, p: PyTree, mass: PyTree, tau: Any) -> PyTree:
        """Lets $y$ drift for the rest of the hop."""
        return _drift(y, p, mass, (1 - self.lead()) * tau)


class SemiImplicitEuler(AbstractMotion):
    """$p \\leftarrow (p - \\tau U_y)/(1 + \\theta\\tau)$, then $y \\leftarrow y + \\tau p/m$.

    Order 1 [STLP; laws.md, section 9]. Friction is taken at the end of the hop, so that it may be
    as strong as one likes: for $m \\to 0$ with $\\theta m = 1/c$ this becomes
    $y \\leftarrow y - c\\tau U_y$.

    !!! example

        ```python
        >>> from localprop import SemiImplicitEuler
        >>> SemiImplicitEuler().gains(dissipation=1.0, tau=1.0)  # keep, push
        (0.5, 0.5)

        ```
    """

    def lead(self) -> float:
        return 0.0

    def gains(self, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        keep = 1 / (1 + dissipation * tau)
        return keep, tau * keep


class Splitting(AbstractMotion):
    """Drift for τ/2, damped kick solved exactly, drift for τ/2 (Strang); order 2.

    $p \\leftarrow e^{-\\theta\\tau}p - \\frac{1-e^{-\\theta\\tau}}{\\theta}U_y$. Without friction
    it is the leapfrog. Its order is that of inertial neurons and constant masses.

    !!! example

        ```python
        >>> from localprop import Splitting
        >>> keep, push = Splitting().gains(dissipation=1.0, tau=1.0)
        >>> print(f"{keep:.4f} {push:.4f}")  # exp(-1) and the rest
        0.3679 0.6321

        ```
    """

    def lead(self) -> float:
        return 0.5

    def gains(self, dissipation: Any, tau: Any) -> tuple[Any, Any]:
        z = jnp.asarray(-dissipation * tau, jnp.result_type(float))
        # expm1(z)/z is finite without friction, unlike the textbook form.
        ratio = jnp.where(z == 0, 1, jnp.expm1(z) / jnp.where(z == 0, 1, z))
        return jnp.exp(z), tau * ratio


class AbstractNeurons(eqx.Module):
    """How neurons move under the force $U_x$."""

    @abc.abstractmethod
    def check(self, motion: AbstractMotion) -> None:
        """Raises `ConfigError` for an integrator that does not fit."""

    @abc.abstractmethod
    def before(self, motion: AbstractMotion, x: PyTree, p: PyTree, tau: Any) -> PyTree:
        """Returns the state at which the force is felt."""

    @abc.abstractmethod
    def after(
        self, motion: AbstractMotion, x: PyTree, p: PyTree, force: PyTree, stiffness: Any, tau: Any
    ) -> tuple[PyTree, PyTree]:
        """Returns state and momentum at the end of the hop."""

    @abc.abstractmethod
    def kinetic(self, p: PyTree) -> Scalar:
        """Returns $m_x|\\dot x|^2/2$."""

    @abc.abstractmethod
    def dissipated(self, p: PyTree, force: PyTree) -> Scalar:
        """Returns the power lost to friction, $\\theta_x m_x|\\dot x|^2$."""


class Inertial(AbstractNeurons):
    """Neurons with mass and friction, $m_x(\\ddot x + \\theta_x\\dot x) = -U_x$ [STLP].

    **Arguments:** `mass`: $m_x > 0$, in units of cost × time² per squared state; `dissipation`:
    $\\theta_x \\ge 0$, per unit of time.

    **Raises:** `ConfigError` otherwise.

    !!! example

        ```python
        >>> from localprop import Inertial, LeastAction
        >>> LeastAction(neurons=Inertial(mass=0.5, dissipation=2.0)).neurons.mass
        0.5

        ```
    """

    mass: float = 1.0
    dissipation: float = 1.0

    def __check_init__(self):
        if isinstance(self.mass, int | float) and not self.mass > 0:
            raise ConfigError(
                f"mass of neurons is {self.mass}; it must be above 0 (the limit 0 is Overdamped)"
            )
        if isinstance(self.dissipation, int | float) and not self.dissipation >= 0:
            raise ConfigError(f"dissipation of neurons is {self.dissipation}; it must be 0 or more")

    def check(self, motion: AbstractMotion) -> None:
        del motion

    def before(self, motion: AbstractMotion, x: PyTree, p: PyTree, tau: Any) -> PyTree:
        return motion.before(x, p, self._masses(x), tau)

    def after(
        self, motion: AbstractMotion, x: PyTree, p: PyTree, force: PyTree, stiffness: Any, tau: Any
    ) -> tuple[PyTree, PyTree]:
        del stiffness
        p = motion.kick(p, force, self.dissipation, tau)
        return motion.after(x, p, self._masses(x), tau), p

    def kinetic(self, p: PyTree) -> Scalar:
        return squares(p) / (2 * self.mass)

    def dissipated(self, p: PyTree, force: PyTree) -> Scalar:
        del force
        return 2 * self.dissipation * self.kinetic(p)

    def _masses(self, x: PyTree) -> PyTree:
        return jax.tree.map(lambda _: self.mass, x)


class Overdamped(AbstractNeurons):
    """The limit $m_x \\to 0$ with $\\theta_x m_x = 1/c$: gradient flow, $\\dot x = -c U_x$.

    $x \\leftarrow x - \\frac{1-e^{-c\\kappa\\tau}}{\\kappa}U_x$, with the neuron's own pull
    $\\kappa x$ towards its drive solved exactly. The momentum is 0. This is the relaxation of
    predictive coding.

    **Arguments:** `speed`: $c > 0$, per unit of time and of stiffness.

    **Raises:** `ConfigError` otherwise, and with `Splitting`: a flow of first order needs two
    forces per hop for order 2.

    !!! example

        ```python
        >>> from localprop import LeastAction, Overdamped
        >>> LeastAction(neurons=Overdamped(speed=1.2)).neurons.speed
        1.2

        ```
    """

    speed: float = 0.5

    def __check_init__(self):
        if isinstance(self.speed, int | float) and not self.speed > 0:
            raise ConfigError(f"speed of overdamped neurons is {self.speed}; it must be above 0")

    def check(self, motion: AbstractMotion) -> None:
        if motion.lead() != 0:
            raise ConfigError(
                "overdamped neurons move by Euler steps; take SemiImplicitEuler(), or give the "
                "neurons a mass with Inertial()"
            )

    def before(self, motion: AbstractMotion, x: PyTree, p: PyTree, tau: Any) -> PyTree:
        del motion, p, tau
        return x

    def after(
        self, motion: AbstractMotion, x: PyTree, p: PyTree, force: PyTree, stiffness: Any, tau: Any
    ) -> tuple[PyTree, PyTree]:
        del motion
        gain = -jnp.expm1(-self.speed * stiffness * tau) / stiffness
        moved = jax.tree.map(lambda x, f: x - gain * f, x, force)
        return moved, jax.tree.map(jnp.zeros_like, p)

    def kinetic(self, p: PyTree) -> Scalar:
        del p
        return jnp.zeros(())

    def dissipated(self, p: PyTree, force: PyTree) -> Scalar:
        del p
        return self.speed * squares(force)


def _drift(y: PyTree, p: PyTree, mass: PyTree, time: Any) -> PyTree:
    return jax.tree.map(lambda y, p, m: y + time * p / m, y, p, mass)
