"""The law for those who tune nothing: an adaptive mass and friction, per hop."""

from __future__ import annotations

from .hamiltonian import Hamiltonian
from .mass import Adaptive

# Measured on streams of unrelated rows and slow ones, in their own units and standardised
# (benchmarks/defaults.md); none is fitted to one.
MASS, DISSIPATION = Adaptive(), 0.7


def untuned_law(hop: float = 1.0, rate: float = MASS.rate) -> Hamiltonian:
    """Returns the law whose steps do not grow with inputs, targets or costs.

    A constant mass $m$ is stable only below a learning rate $\\tau^2/m$ that falls with the
    squares of inputs and weights, which nobody knows ahead. Under an adaptive mass a weight moves
    per hop by at most $\\eta/\\sqrt{1 - e^{-r}}$, divided by the friction $\\theta$, whatever
    comes in: it cannot diverge faster than linearly.

    **Arguments:** `hop`: length $\\tau$ of a hop, in the stream's unit of time. The settings are
    those of hops of length 1, in other units, so that a hop moves the weights by the same;
    `rate`: of hops of length 1.
    """
    mass = Adaptive(rate / hop**2, MASS.decay / hop, MASS.floor)
    return Hamiltonian(mass=mass, dissipation=DISSIPATION / hop)
