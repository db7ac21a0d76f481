"""Targets for tracking: functions of time, made or read from a file."""

from __future__ import annotations

import abc
import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from ..errors import ConfigError, StreamError
from ..plain_numbers import real_number
from .bounds import MOST_STEPS, check

Times = Float[np.ndarray, " times"]
MOST_CHARACTERS = 1_000_000  # of a row
PATCHES = 4096  # drawn at a time


class AbstractSignal(abc.ABC):
    """A target $z(t)$ for one output neuron.

    **Fields:** `name`: said in reports; `omega`: radians per unit of time, 0 if it does not
    oscillate by itself.
    """

    name: str
    omega: float = 0.0

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

    **Raises:** `ConfigError` for a value out of range.

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
        check(omega=self.omega, amplitude=self.amplitude)

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

    **Raises:** `ConfigError` for a value out of range.

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
        check(omega=self.omega, amplitude=self.amplitude, seed=self.seed)

    @property
    def span(self) -> float:
        return 6 * 2 * np.pi / self.omega

    def settings(self) -> dict[str, Any]:
        shape = {"omega": self.omega, "amplitude": self.amplitude}
        return {"signal": self.name, **shape, "signal_seed": self.seed}

    def __call__(self, t: Times) -> Times:
        t = np.asarray(t, np.float64)
        last, z = t.max(initial=-1.0), np.zeros_like(t)
        for starts, ends, levels, phases in self._patches():
            here = (t >= starts[0]) & (t < ends[-1])
            patch = np.searchsorted(ends, t[here], "right")
            cosine = np.cos(self.omega * t[here] + phases[patch])
            z[here] = np.where(np.isnan(levels[patch]), cosine, levels[patch])
            if ends[-1] > last:
                return self.amplitude * z
        raise AssertionError("patches have no end")

    def _patches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yields starts, ends, levels (NaN of cosines) and phases, many patches at a time."""
        rng, start = np.random.default_rng(self.seed), 0.0
        while True:
            length, level, phase, chance = rng.random((PATCHES, 4)).T
            lasting = (0.3 + (1.2 - 0.3) * length) * 2 * np.pi / self.omega
            bounds = np.cumsum([start, *lasting])
            levels = np.where(chance < 0.5, np.nan, -1 + 2 * level)
            yield bounds[:-1], bounds[1:], levels, 2 * np.pi * phase
            start = bounds[-1]


@dataclass(frozen=True)
class Column(AbstractSignal):
    """A column of numbers, one per unit of time, each held until the next.

    The values are shifted and scaled to fill $[-A, A]$, because a tanh neuron cannot leave
    $(-1, 1)$. Read one from a CSV file with `read_column`.

    **Arguments:** `values`: two or more numbers, finite, not all the same, and no farther apart
    than the largest number; `amplitude`: $A > 0$; `name`: said in reports.

    **Raises:** `ConfigError`.
    """

    values: Any
    amplitude: float = 0.5
    name: str = "column"

    def __post_init__(self):
        check(amplitude=self.amplitude)
        values = np.asarray(self.values)
        if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iuf":
            raise ConfigError(f"{self.name}: give one column of two or more numbers to track")
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ConfigError(f"{self.name}: not all values are finite; leave those out")
        with np.errstate(over="ignore"):
            spread = np.ptp(values)
        if spread == 0:
            raise ConfigError(f"{self.name}: all values are the same; there is nothing to track")
        if spread == np.inf:
            raise ConfigError(
                f"{self.name}: values from {values.min():g} to {values.max():g} are too far apart "
                "to scale; divide them by a constant"
            )
        object.__setattr__(self, "values", values)

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
            values = _numbers(lines, str(file), column)
    except OSError as e:
        raise StreamError(f"cannot be read: {e.strerror}", file=str(file)) from e
    except (UnicodeDecodeError, csv.Error) as e:
        raise StreamError("is not a CSV file in UTF-8", file=str(file)) from e
    return Column(values, amplitude, name=str(file))


class _Lines:
    """The lines of a file, until those of one row grow too long to be a table's."""

    def __init__(self, lines: TextIO, file: str):
        self.lines, self.file, self.number, self.left = lines, file, 0, MOST_CHARACTERS

    def __iter__(self) -> Iterator[str]:
        while line := self.lines.readline(self.left):
            self.number += 1
            self.left -= len(line)
            if self.left == 0:
                raise StreamError(
                    f"a row has {MOST_CHARACTERS:,} characters or more; is it a CSV file?",
                    file=self.file,
                    line=self.number,
                )
            yield line


def _numbers(source: TextIO, file: str, column: str | None) -> np.ndarray:
    lines = _Lines(source, file)
    rows = csv.reader(lines)
    header = next(rows, None)
    if not header:
        raise StreamError("is empty; its first line must name the columns", file=file)
    column = header[-1] if column is None else column
    if column not in header:
        known = ", ".join(header)
        raise StreamError(f"no such column; there are {known}", file=file, column=column)
    place, values = header.index(column), array("d")
    for count, row in enumerate(rows, start=1):
        lines.left = MOST_CHARACTERS
        if count > MOST_STEPS:
            raise StreamError(
                f"has no end within {MOST_STEPS:,} rows, more than can be tracked; give a shorter "
                "file",
                file=file,
            )
        if row:
            text = row[place] if place < len(row) else ""
            values.append(_finite(text, file, lines.number, column))
    return np.asarray(values)


def _finite(text: str, file: str, line: int, column: str) -> float:
    try:
        value = real_number(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise StreamError(f"'{text}' is not a finite number", file=file, line=line, column=column)
    return value
