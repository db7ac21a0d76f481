"""Columns of numbers that take few values: which these are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

JUDGED = 64  # values of a column by which it is judged
FEWEST, MOST = 3, 16  # how many are few; of two, the size says which it is
ROOM = 48  # values of all columns together

Met = tuple[int, list[float]]  # row, values that are new after it


class Levels:
    """The values of each column that takes three to sixteen: numbers that may as well be names.

    A column is judged by its first 64 values. One that takes few has an input for each of them
    from the next row on, and for further values from the row after the first, up to 16, and 48 for
    all columns together. What a row brings is known after it, so a row can be predicted with what
    is known before it.

    **Arguments:** `state`, or `None` to begin.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.levels import Levels
        >>> levels, weekday = Levels(), np.arange(100) % 7 * 1.0
        >>> levels.learn({"day": weekday, "size": np.linspace(0, 1, 100)})[0]
        (63, 'day', 0.0)
        >>> levels.own["day"]
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

        ```
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        state = state or {"own": {}, "watched": {}}
        # By column; without any where they are too many or too few, or there was no room for them.
        self.own: dict[str, list[float]] = {n: list(v) for n, v in state["own"].items()}
        # How many values came of those that are not judged yet, and which, sorted.
        self._watched: dict[str, tuple[int, list[float]]] = {
            n: (int(count), list(values)) for n, (count, values) in state["watched"].items()
        }

    def learn(self, columns: Mapping[str, np.ndarray]) -> list[tuple[int, str, float]]:
        """Takes rows in; returns what has an input after which row, as row, column and value.

        **Arguments:** `columns`: `(T,)` each, NaN where missing; always in the same order.
        """
        met = [(row, name, new) for name, x in columns.items() for row, new in self._met(name, x)]
        room = ROOM - sum(map(len, self.own.values()))
        found = []
        for row, name, new in sorted(met, key=lambda each: each[0]):
            begins, own = name not in self.own, self.own.setdefault(name, [])
            if len(new) <= room and (begins or 0 < len(own) < MOST):
                own += new
                room -= len(new)
                found += [(row, name, value) for value in new]
        return found

    @property
    def everywhere(self) -> list[tuple[str, float]]:
        """Returns the values that have an input, each with its column."""
        return [(name, value) for name, values in self.own.items() for value in values]

    def follows(self, column: str) -> bool:
        """Whether a column has such values, or may yet be found to."""
        return bool(self.own.get(column, True))

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"own": self.own, "watched": self._watched}

    def _met(self, name: str, values: np.ndarray) -> Iterator[Met]:
        """Yields the values that are new in a column, first those by which it was judged."""
        known = self.own.get(name)
        if known is not None and not known:
            return
        rows = np.flatnonzero(np.isfinite(values))
        if known is None:
            count, seen = self._watched.pop(name, (0, []))
            first, rows = np.split(rows, [JUDGED - count])
            known = np.unique(np.concatenate([seen, values[first] + 0.0])).tolist()
            count += len(first)
            if count < JUDGED and len(known) <= MOST:
                self._watched[name] = count, known
                return
            if not FEWEST <= len(known) <= MOST:
                self.own[name] = []
                return
            yield int(first[-1]), known
        distinct, first = np.unique(values[rows] + 0.0, return_index=True)  # -0.0 is 0.0
        for k in np.argsort(first):
            if distinct[k] not in known:
                yield int(rows[first[k]]), [float(distinct[k])]
