"""What the numbers of tracking may be: one rule for the command line and for Python."""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple, cast

import numpy as np

from ..errors import ConfigError

MOST_STEPS = 10_000_000
MOST_ARCS_MOVED = 10_000_000_000  # steps × arcs of the complete digraph
MOST_RECORDED = 100_000_000  # numbers of a trajectory


class Range(NamedTuple):
    """From `least` to `most`, both included, and one value `besides` that makes sense too."""

    least: float
    most: float
    besides: float | None = None
    whole: bool = False

    def check(self, name: str, value: object) -> None:
        """Raises `ConfigError` for a value outside, or one that is no number at all."""
        number = isinstance(value, Integral if self.whole else Real) and not isinstance(value, bool)
        if number and (value == self.besides or self.least <= cast(float, value) <= self.most):
            return
        form, kind = (",", "whole number") if self.whole else ("g", "number")
        besides = "" if self.besides is None else f", or {self.besides:g}"
        raise ConfigError(
            f"{name} is {value}; give a {kind} from {self.least:{form}} to {self.most:{form}}"
            f"{besides}"
        )


# Products such as q τ², r/c or p²/m of such numbers keep within single precision, 1e-38 to 1e38.
SCALE = Range(1e-9, 1e9)
RANGES = {
    **dict.fromkeys(("omega", "flip_omega", "amplitude", "radius", "q", "r", "dt"), SCALE),
    **dict.fromkeys(("rw", "rx"), Range(1e-9, 1e9, besides=0)),
    "speed": Range(1e-9, 1e9, besides=np.inf),
    "duration": Range(1e-9, 1e9 * MOST_STEPS),
    "period": Range(1, 2**31 - 1, whole=True),  # hops are counted in 32 bits
    "neurons": Range(1, 1000, whole=True),
    "buffer": Range(1, 1_000_000, whole=True),
    "frames": Range(1, 1_000_000, whole=True),
    "seed": Range(0, 2**32 - 1, whole=True),
}


def check(**numbers: object) -> None:
    """Looks whether numbers lie in the ranges of their names; `None` stands for a default.

    **Raises:** `ConfigError`.
    """
    for name, value in numbers.items():
        if value is not None:
            RANGES[name].check(name, value)


def check_turn(name: str, omega: float, dt: float) -> None:
    """Looks whether what turns by `omega` per unit of time can be told in steps of `dt`.

    **Raises:** `ConfigError` from half a period per step on, where it looks like something slower.
    """
    if omega * dt >= np.pi:
        raise ConfigError(
            f"{name} {omega:g} turns {omega * dt / (2 * np.pi):.3g} periods in a step of {dt:g}; "
            f"give a smaller {name}, or a shorter dt, for less than half a period"
        )


def count_steps(duration: float, dt: float, neurons: int) -> int:
    """Returns how many steps of `dt` a run has.

    **Raises:** `ConfigError` for fewer than three, and for more than can be waited for.
    """
    check(duration=duration)
    steps, most = round(duration / dt), min(MOST_STEPS, MOST_ARCS_MOVED // neurons**2)
    if steps < 3:
        raise ConfigError(
            f"duration {duration:g} is under three steps of {dt:g}; give a longer duration or a "
            "shorter dt"
        )
    if steps > most:
        raise ConfigError(
            f"duration {duration:g} is {steps:,} steps of {dt:g}; with {neurons} neurons more than "
            f"{most:,} would run for minutes to years: give a shorter duration, or a longer dt"
        )
    return steps


def check_trajectory(frames: int, neurons: int) -> None:
    """Looks whether a trace that keeps all weights has a bounded size.

    **Raises:** `ConfigError`.
    """
    if frames * neurons**2 > MOST_RECORDED:
        raise ConfigError(
            f"frames is {frames:,}: a trajectory of {neurons} neurons would have "
            f"{frames * neurons**2:,} weights, more than {MOST_RECORDED:,}; keep fewer frames"
        )
