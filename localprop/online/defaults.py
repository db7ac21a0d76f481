"""Settings with which a table is learned when nobody tunes anything.

Measured on a dozen streams; none is fitted to one data set.
"""

from __future__ import annotations

from ..law import AbstractLaw, Adaptive, LeastAction, untuned_law

OUTPUT_SCALE = 0.0  # new classes start with zero weights; the first ones are no exception
BIAS_SCALE = 0.8  # hidden neurons bend at different places from the start
# Successive windows of one series overlap, so successive errors repeat each other.
FORECAST_RATE = 1e-4


# Least action feels the target in its outputs at once, and wants gentler classes.
ACTION_RATES = {"classification": 2.5e-4, "regression": 4e-4, "forecast": 1e-4}
ACTION_DISSIPATIONS = {"classification": 0.3, "regression": 0.5, "forecast": 0.5}
ACTION_DECAY, ACTION_FLOOR = 3e-4, 3e-5


def law_for(name: str, task: str) -> AbstractLaw:
    """Returns the law of that name with its settings for a task."""
    if name == "least-action":
        mass = Adaptive(ACTION_RATES[task], ACTION_DECAY, ACTION_FLOOR)
        return LeastAction(mass=mass, dissipation=ACTION_DISSIPATIONS[task])
    return untuned_law(rate=FORECAST_RATE) if task == "forecast" else untuned_law()
