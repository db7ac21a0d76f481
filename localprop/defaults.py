"""Settings with which a table is learned when nobody tunes anything.

One set for every task, measured on a dozen streams; none is fitted to one data set.
"""

from __future__ import annotations

from .law import AbstractLaw, Adaptive, Hamiltonian, LeastAction

OUTPUT_SCALE = 0.0  # new classes start with zero weights; the first ones are no exception
BIAS_SCALE = 0.8  # hidden neurons bend at different places from the start
DECAY, FLOOR, DISSIPATION = 5e-4, 3e-4, 0.7  # per hop
RATE = 4e-4
# Successive windows of one series overlap, so successive errors repeat each other.
FORECAST_RATE = 1e-4


def law_for(name: str, task: str) -> AbstractLaw:
    """Returns the law of that name with its settings for a task."""
    if name == "least-action":
        return LeastAction()
    rate = FORECAST_RATE if task == "forecast" else RATE
    return Hamiltonian(mass=Adaptive(rate, DECAY, FLOOR), dissipation=DISSIPATION)
