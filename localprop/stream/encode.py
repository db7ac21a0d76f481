"""From the columns of a table to the inputs of a network, as they arrive."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from .moments import Moments
from .table import Column, ColumnKind

CLIP = 5.0  # standardised values beyond this are clipped
OWN_VALUES = 32  # distinct values of a text column that get an input of their own
BUCKETS = 8  # inputs shared by all further values
CYCLES = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.2425 * 86_400.0}


class Encoder:
    """Gives every number, category and gap of a table its input.

    Numbers, booleans and timestamps are standardised with the running mean and deviation of their
    column; timestamps also give the phases of day, week and year; values of text columns switch
    on an input each, up to 32, and hashed ones beyond; a missing value is the mean, and switches
    on an input that says so. Inputs are added as the stream needs them and keep their places.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.stream.encode import Encoder
        >>> from localprop.stream.table import Column, ColumnKind
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
        self._places: dict[tuple[str, str], int] = {}  # (column, role) -> input
        self._own_values: dict[str, int] = {}

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in order."""
        return [f"{column} {role}".strip() for column, role in self._places]

    def encode(self, columns: Mapping[str, Column], rows: int) -> np.ndarray:
        """Takes a piece of the table in and returns its inputs, `(rows, inputs)`."""
        parts: dict[int, np.ndarray] = {}
        for name, column in columns.items():
            if column.kind is ColumnKind.UNDECIDED:
                continue  # all missing so far: nothing to say, not even that it is missing
            if column.kind is ColumnKind.TEXT:
                self._categories(name, column, parts)
            else:
                self._numbers(name, column, parts)
        u = np.zeros((rows, len(self._places)))
        for place, values in parts.items():
            u[:, place] = values
        return u

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        moments = {name: m.state() for name, m in self.moments.items()}
        return {"inputs": list(self._places), "moments": moments}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Encoder:
        """Returns the encoder whose `state` this was."""
        encoder = cls()
        for column, role in state["inputs"]:
            encoder._place(column, role)
        encoder.moments = {name: Moments(**m) for name, m in state["moments"].items()}
        return encoder

    def _place(self, column: str, role: str) -> int:
        key = (column, role)
        if key not in self._places:
            self._places[key] = len(self._places)
            if role.startswith("= "):
                self._own_values[column] = self._own_values.get(column, 0) + 1
        return self._places[key]

    def _numbers(self, name: str, column: Column, parts: dict[int, np.ndarray]) -> None:
        moments = self.moments.setdefault(name, Moments())
        parts[self._place(name, "")] = moments.standardise(column.values, CLIP)
        missing = ~np.isfinite(column.values)
        if column.kind is ColumnKind.TIME:
            seconds = np.where(missing, 0.0, column.values)
            for cycle, length in CYCLES.items():
                angle = 2 * np.pi * np.mod(seconds, length) / length
                for wave in (np.sin, np.cos):
                    place = self._place(name, f"({wave.__name__} of {cycle})")
                    parts[place] = np.where(missing, 0.0, wave(angle))
        self._missing(name, missing, parts)

    def _categories(self, name: str, column: Column, parts: dict[int, np.ndarray]) -> None:
        codes = column.values
        for code, value in enumerate(column.categories):
            place = self._place_of_value(name, value)
            here = parts.setdefault(place, np.zeros(len(codes)))
            here[codes == code] = 1.0
        self._missing(name, codes < 0, parts)

    def _place_of_value(self, column: str, value: str) -> int:
        known = (column, f"= {value}") in self._places
        if known or self._own_values.get(column, 0) < OWN_VALUES:
            return self._place(column, f"= {value}")
        return self._place(column, f"in bucket {zlib.crc32(value.encode()) % BUCKETS}")

    def _missing(self, name: str, missing: np.ndarray, parts: dict[int, np.ndarray]) -> None:
        role = "is missing"
        if missing.any() or (name, role) in self._places:
            parts[self._place(name, role)] = missing.astype(float)
