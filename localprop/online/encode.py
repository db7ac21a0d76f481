"""From the columns of a table to the inputs of a network, as they arrive."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..table.table import Column, ColumnKind
from .moments import Moments, standardised

CLIP = 5.0  # standardised values beyond this are clipped
OWN_VALUES = 32  # distinct values of a text column that get an input of their own
TEXT_ROOM = 8  # inputs that a text column probably comes to
BUCKETS = 8  # inputs shared by all further values
CYCLES = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.2425 * 86_400.0}
WAVES = {np.sin: "(sin of {})", np.cos: "(cos of {})"}
CYCLE_ROLES = [role.format(cycle) for cycle in CYCLES for role in WAVES.values()]


Key = tuple[str, str]  # column, role
Part = tuple[int, Key, np.ndarray]  # first row, key, values


class Encoder:
    """Gives every number, category and gap of a table its input.

    Numbers, booleans and timestamps are standardised with the running mean and deviation of their
    column; timestamps also give the phases of day, week and year; values of text columns switch
    on an input each, up to 32, and hashed ones beyond; a missing value is the mean, and switches
    on an input that says so. Inputs are added as the stream needs them and keep their places.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.encode import Encoder
        >>> from localprop.table.table import Column, ColumnKind
        >>> encoder = Encoder()
        >>> encoder.encode({"a": Column(ColumnKind.NUMBER, np.array([1.0, 3.0, np.nan]))}, 3)
        array([[0., 0.],
               [1., 0.],
               [0., 1.]])
        >>> encoder.inputs
        ['a', 'a is missing']

        ```
    """

    def __init__(self) -> None:
        self.moments: dict[str, Moments] = {}
        self._places: dict[Key, int] = {}  # -> input
        self._own_values: dict[str, int] = {}  # of the text columns that have had a value

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in order."""
        return [f"{column} {role}".strip() for column, role in self._places]

    def expect(self, kinds: Mapping[str, ColumnKind]) -> int:
        """Gives numbers, booleans and times their inputs ahead; returns with how many to begin.

        Hence a network can begin with random weights for all of them, for a few values of each
        text column, whose inputs follow as they appear, and for one input of each column that
        nothing is known of.

        **Arguments:** `kinds`: of the columns as the first row alone shows them.
        """
        for name, kind in kinds.items():
            if kind not in (ColumnKind.TEXT, ColumnKind.UNDECIDED):
                for role in ("", *(CYCLE_ROLES if kind is ColumnKind.TIME else ())):
                    self._places.setdefault((name, role), len(self._places))
        room = {ColumnKind.TEXT: TEXT_ROOM, ColumnKind.UNDECIDED: 1}
        return len(self._places) + sum(room.get(kind, 0) for kind in kinds.values())

    def encode(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """Takes a piece of the table in and returns its inputs, `(rows, inputs)`."""
        found = [part for name, column in columns.items() for part in self._parts(name, column)]
        # By first use, so that places do not depend on how the stream is cut into pieces.
        for _, key, _ in sorted(found, key=lambda part: part[0]):
            self._places.setdefault(key, len(self._places))
        u = np.zeros((rows, len(self._places)))
        for _, key, values in found:
            u[:, self._places[key]] += values
        return u

    def look(self, columns: Mapping[str, Column], rows: int, width: int) -> np.ndarray:
        """Returns the inputs of each row as if it were the next one, `(rows, width)`.

        Nothing is taken in, and no row changes the inputs of another. What would get a new input
        by and by gets it here in each row by itself, as long as there are `width`.
        """
        u = np.zeros((rows, max(width, len(self._places))))
        new = np.full(rows, len(self._places))  # the next free input, row by row
        for name, column in columns.items():
            for key, active, values in self._glances(name, column):
                if key in self._places:
                    u[:, self._places[key]] += values
                    continue
                here = np.flatnonzero(active & (new < u.shape[1]))
                u[here, new[here]] = values[here]
                new += active
        return u[:, :width]

    def columns_of_inputs(self) -> list[str]:
        """Returns the column that each input belongs to, in order."""
        return [column for column, _ in self._places]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        moments = {name: m.state() for name, m in self.moments.items()}
        return {"inputs": list(self._places), "moments": moments}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Encoder:
        """Returns the encoder whose `state` this was."""
        encoder = cls()
        for k, (column, role) in enumerate(state["inputs"]):
            encoder._places[column, role] = k
            encoder._count(column, role)
        encoder.moments = {name: Moments(**m) for name, m in state["moments"].items()}
        return encoder

    def _parts(self, name: str, column: Column) -> Iterator[Part]:
        """Yields the inputs that this column has in this piece."""
        text = column.kind is ColumnKind.TEXT
        known = column.known
        begun = name in self._own_values or name in self.moments
        if not begun and not known.any():
            return  # all missing so far: nothing to say, not even that it is missing
        first = 0 if begun else int(np.argmax(known))
        if text:
            yield from self._categories(name, column)
        else:
            yield from self._numbers(name, column, known, first)
        missing = ~known
        missing[:first] = False
        if missing.any():
            yield int(np.argmax(missing)), (name, "is missing"), missing.astype(float)

    def _numbers(self, name: str, column: Column, known: np.ndarray, first: int) -> Iterator[Part]:
        moments = self.moments.setdefault(name, Moments())
        yield first, (name, ""), moments.standardise(column.values, CLIP)
        if column.kind is ColumnKind.TIME:
            for role, wave in _waves(column.values, known):
                yield first, (name, role), wave

    def _categories(self, name: str, column: Column) -> Iterator[Part]:
        self._own_values.setdefault(name, 0)
        for code, value in enumerate(column.categories):
            here = column.values == code
            yield int(np.argmax(here)), (name, self._role(name, value)), here.astype(float)

    def _glances(self, name: str, column: Column) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yields key, rows in which it is met, and values of what `_parts` would yield."""
        known = column.known
        begun = name in self._own_values or name in self.moments
        if column.kind is ColumnKind.TEXT:
            for code, value in enumerate(column.categories):
                here = column.values == code
                yield (name, self._role_of(name, value)), here, here.astype(float)
        else:
            values = column.values
            mean, deviation = self.moments.get(name, Moments()).look(values)
            met = known | begun
            yield (name, ""), met, standardised(values, mean, deviation, CLIP)
            if column.kind is ColumnKind.TIME:
                for role, wave in _waves(values, known):
                    yield (name, role), met, wave
        if begun:
            yield (name, "is missing"), ~known, (~known).astype(float)

    def _role(self, column: str, value: str) -> str:
        role = self._role_of(column, value)
        if (column, role) not in self._places:
            self._count(column, role)
        return role

    def _role_of(self, column: str, value: str) -> str:
        own = f"= {value}"
        if (column, own) in self._places or self._own_values.get(column, 0) < OWN_VALUES:
            return own
        return f"in bucket {zlib.crc32(value.encode()) % BUCKETS}"

    def _count(self, column: str, role: str) -> None:
        if role.startswith("= "):
            self._own_values[column] = self._own_values.get(column, 0) + 1


def _waves(seconds: np.ndarray, known: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the phases of day, week and year, 0 where the time is missing."""
    seconds = np.where(known, seconds, 0.0)
    for cycle, length in CYCLES.items():
        angle = 2 * np.pi * np.mod(seconds, length) / length
        for wave, role in WAVES.items():
            yield role.format(cycle), np.where(known, wave(angle), 0.0)
