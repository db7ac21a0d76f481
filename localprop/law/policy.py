"""Policies: how the boundary conditions in the future become initial conditions.

A policy is two signs, one for the state equations (of $x$ and $w$) and one for the costate
equations (of $\\lambda$ and $\\pi$) [NLP, section 4].
"""

from __future__ import annotations

import abc

import equinox as eqx

from .base import Phase


class AbstractPolicy(eqx.Module):
    """Gives the two signs at a phase."""

    @abc.abstractmethod
    def signs(self, phase: Phase) -> tuple[float, float]:
        """Returns the signs of the state equations and of the costate equations."""


class CostateReversal(AbstractPolicy):
    """State forward, costate reversed in time [NLP, eqs. 18-19]: everything relaxes.

    The practical law for streams: the state always runs forward.

    !!! example

        ```python
        >>> from localprop import CostateReversal
        >>> CostateReversal().signs(None)
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
        >>> from localprop import Cauchy
        >>> Cauchy().signs(None)
        (1.0, 1.0)

        ```
    """

    def signs(self, phase: Phase) -> tuple[float, float]:
        del phase
        return 1.0, 1.0
