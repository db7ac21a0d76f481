"""Targets for tracking: functions of time, made or read from a file."""

from __future__ import annotations

import abc
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import ConfigError, StreamError

Times = Float[np.ndarray, " times"]


class AbstractSignal(abc.ABC):
    """A target $z(t)$ for one output neuron."""

    name: str

    @property
    @abc.abstractmethod
    def span(self) -> float:
        """How long to track it if nobody says, in units of time."""

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Returns numbers and words from which the signal can be made again."""

    @abc.abstractmethod
    def __call__(self, t: Times) -> Times:
        """Returns $z$ at the times `t`, in float64."""


@dataclass(frozen=True)
class Sine(AbstractSignal):
    """$z(t) = A \\sin\\omega t$, for six periods [NLP, Figures 1-2].

    **Arguments:** `omega`: radians per unit of time, above 0; `amplitude`: $A > 0$; below 1, it
    can be reached by a tanh neuron.

    **Raises:** `ConfigError` for a value that is not above 0.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.tracking.signals import Sine
        >>> Sine(omega=np.pi, amplitude=0.5)(np.array([0.0, 0.5]))
        array([0. , 0.5])

        ```
    """

    omega: float = 0.02
    amplitude: float = 0.5
    name: str = "sine"

    def __post_init__(self):
        _above_zero(omega=self.omega, amplitude=self.amplitude)

    @property
    def span(self) -> float:
        return 6 * 2 * np.pi / self.omega

    def settings(self) -> dict[str, Any]:
        return {"signal": self.name, "omega": self.omega, "amplitude": self.amplitude}

    def __call__(self, t: Times) -> Times:
        return self.amplitude * np.sin(self.omega * np.asarray(t, np.float64))


@dataclass(frozen=True)
class Patched(AbstractSignal):
    """Patches of cosines and of constants, one after the other [NLP, Figure 3].

    A patch lasts 0.3 to 1.2 base periods $2\\pi/\\omega$, uniformly. With equal chances it is
    $A\\cos(\\omega t + \\psi)$ with $\\psi$ uniform in $[0, 2\\pi)$, or a constant, uniform in
    $[-A, A]$. A new patch begins with a jump.

    **Arguments:** `omega`: radians per unit of time, above 0; `amplitude`: $A > 0$; `seed`.

    **Raises:** `ConfigError` for a value that is not above 0.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.tracking.signals import Patched
        >>> z = Patched(omega=0.02, amplitude=0.6)(np.arange(2000.0))
        >>> bool(np.abs(z).max() <= 0.6)
        True

        ```
    """

    omega: float = 0.02
    amplitude: float = 0.6
    seed: int = 0
    name: str = "patched"

    def __post_init__(self):
        _above_zero(omega=self.omega, amplitude=self.amplitude)

    @property
    def span(self) -> float:
        return 6 * 2 * np.pi / self.omega

    def settings(self) -> dict[str, Any]:
        shape = {"omega": self.omega, "amplitude": self.amplitude}
        return {"signal": self.name, **shape, "signal_seed": self.seed}

    def __call__(self, t: Times) -> Times:
        t = np.asarray(t, np.float64)
        rng = np.random.default_rng(self.seed)
        z, start = np.zeros_like(t), 0.0
        while start <= t.max(initial=-1.0):
            end = start + rng.uniform(0.3, 1.2) * 2 * np.pi / self.omega
            level, phase = rng.uniform(-1, 1), rng.uniform(0, 2 * np.pi)
            is_cosine = rng.random() < 0.5
            here = (t >= start) & (t < end)
            z[here] = np.cos(self.omega * t[here] + phase) if is_cosine else level
            start = end
        return self.amplitude * z


@dataclass(frozen=True)
class Column(AbstractSignal):
    """A column of numbers, one per unit of time, each held until the next.

    The values are shifted and scaled to fill $[-A, A]$, because a tanh neuron cannot leave
    $(-1, 1)$. Read one from a CSV file with `read_column`.

    **Arguments:** `values`: at least two, finite and not all the same; `amplitude`: $A > 0$;
    `name`: said in reports.

    **Raises:** `ConfigError`.
    """

    values: Float[np.ndarray, " rows"]
    amplitude: float = 0.5
    name: str = "column"

    def __post_init__(self):
        _above_zero(amplitude=self.amplitude)
        if len(self.values) < 2 or not np.isfinite(self.values).all():
            raise ConfigError(f"{self.name}: give two or more finite values to track")
        if np.ptp(self.values) == 0:
            raise ConfigError(f"{self.name}: all values are the same; there is nothing to track")

    @property
    def span(self) -> float:
        return float(len(self.values))

    def settings(self) -> dict[str, Any]:
        return {"signal": self.name, "amplitude": self.amplitude}

    def __call__(self, t: Times) -> Times:
        low, high = self.values.min(), self.values.max()
        rows = np.clip(np.floor(np.asarray(t)).astype(np.int64), 0, len(self.values) - 1)
        return self.amplitude * (2 * (self.values[rows] - low) / (high - low) - 1)


def read_column(file: str | Path, column: str | None = None, amplitude: float = 0.5) -> Column:
    """Returns a column of a CSV file with a header as a target.

    **Arguments:** `file`; `column`: its name, by default the last; `amplitude`: as of `Column`.

    **Raises:** `StreamError` with file, line and column; `ConfigError` as `Column`.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            values = _numbers(csv.reader(lines), str(file), column)
    except OSError as e:
        raise StreamError(f"cannot be read: {e.strerror}", file=str(file)) from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise StreamError("is not a CSV file in UTF-8", file=str(file)) from e
    return Column(np.asarray(values, np.float64), amplitude, name=str(file))


def _numbers(rows, file: str, column: str | None) -> list[float]:
    header = next(rows, None)
    if not header:
        raise StreamError("is empty; its first line must name the columns", file=file)
    column = header[-1] if column is None else column
    if column not in header:
        known = ", ".join(header)
        raise StreamError(f"no such column; there are {known}", file=file, column=column)
    place, values = header.index(column), []
    for row in rows:
        if not row:
            continue
        text = row[place] if place < len(row) else ""
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise StreamError(
                f"'{text}' is not a finite number", file=file, line=rows.line_num, column=column
            )
        values.append(value)
    return values


def _above_zero(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < np.inf:
            raise ConfigError(f"{name} of the signal is {value}; give a finite one above 0")
