"""Rows that bring nothing new: numbers, truth values and texts of columns that are all known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.columns import LARGEST, ColumnKind
from .encode import LEVEL_ROLE, MISSING, VOICE, Encoder
from .levels import MOST

PLAIN = {float, int, bool}


class Usual:
    """How rows become numbers as long as they bring nothing new.

    First come the columns that are scaled, in the order of the encoder, then those of text: of
    each value the number of the input that it switches on.

    **Arguments:** `encoder`; `kinds`: of all columns.

    **Raises:** `LookupError` where a row may always bring something new.

    **Fields:** `names` of the columns; `scaled`: how many are; `column`, `value`, `voice`: of each
    input that no scale changes, by which value of which column it is switched on, NaN for a gap,
    and to what; `gaps`: whether a gap is nothing new, by column; `closed`: whether a value is that
    switches on no input.
    """

    def __init__(self, encoder: Encoder, kinds: Mapping[str, ColumnKind]):
        layout, levels = encoder.layout, encoder.levels
        texts = sorted(name for name, kind in kinds.items() if kind is ColumnKind.TEXT)
        self._encoder, self._texts = encoder, set(texts)
        self.names, self.scaled = [*layout.numbers, *texts], len(layout.numbers)
        if set(self.names) != set(kinds):
            raise LookupError("a column of words, or of which nothing is known")
        for k, name in enumerate(layout.numbers):
            kind = kinds[name]
            watched = kind is ColumnKind.NUMBER and name not in levels.own
            if kind not in layout.kinds.get(name, ()) or watched or not encoder.windows.met(k):
                raise LookupError(f"column '{name}' may yet come to more inputs")
        places = {name: k for k, name in enumerate(self.names)}
        values = {
            (name, LEVEL_ROLE.format(value)): value
            for name, own in levels.own.items()
            for value in own
        }
        marks = []
        for key, number in layout.fixed.items():
            name, role = key
            if role == MISSING:
                marks.append((places[name], np.nan, 1.0))
            elif key in values:
                marks.append((places[name], values[key], VOICE))
            elif kinds[name] is ColumnKind.TEXT:
                marks.append((places[name], number, 1.0))
            else:
                raise LookupError(f"an input '{role}' of column '{name}'")
        table = np.array(marks, float).reshape(len(marks), 3)
        self.column = table[:, 0].astype(np.int64)
        self.value, self.voice = table[:, 1].copy(), table[:, 2].copy()
        self.gaps = np.array([(name, MISSING) in layout.fixed for name in self.names], bool)
        self.closed = np.array([0 < len(levels.own.get(n, ())) < MOST for n in self.names], bool)

    @property
    def marks(self) -> tuple[np.ndarray, ...]:
        """What `check` takes beside a row: of inputs and of columns."""
        return self.column, self.value, self.voice, self.gaps, self.closed

    def read(self, x: Any, into: np.ndarray) -> bool:
        """Writes the values of a row in the order of `names`; returns whether they are usual."""
        if type(x) is not dict or len(x) != len(self.names):
            return False
        try:
            values = [x[name] for name in self.names]
            if self._texts or not set(map(type, values)) <= PLAIN:
                values = [*map(self._number, self.names, values)]
            into[:] = values
        except (LookupError, TypeError, OverflowError, UnicodeError):
            return False
        return True

    def _number(self, name: str, value: Any) -> float:
        """Returns a value as a number; raises where that takes more."""
        if value is None:
            return np.nan
        if name in self._texts:
            key = name, self._encoder.role_of(name, value)
            return self._encoder.layout.fixed[key] if value else np.nan
        if not isinstance(value, float | int):
            raise TypeError
        return float(value)


def check(
    given: Any,
    column: Any,
    value: Any,
    voice: Any,
    gaps: Any,
    closed: Any,
    numbers: Any,
    fixed: Any,
    kept: Any,
) -> int:
    """Writes numbers, and inputs that no scale changes; returns -1 if the row is usual, else 0."""
    scaled = numbers.shape[1]
    for d in range(len(given)):
        x = given[d]
        if d < scaled:
            x = x if abs(x) <= LARGEST else np.nan
            numbers[0, d] = x
        known = x == x
        if closed[d] and known:
            known = False
            for f in range(len(column)):
                known = known or (column[f] == d and value[f] == x)
            if not known:
                return 0
        if not known and not gaps[d]:
            return 0
    for f in range(len(column)):
        d = column[f]
        x = numbers[0, d] if d < scaled else given[d]
        here = x == value[f] if value[f] == value[f] else x != x
        fixed[0, f] = voice[f] if here else 0.0
        kept[0, f] = fixed[0, f]
    return -1
