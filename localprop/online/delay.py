"""Rows as they were a fixed number of rows ago."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .encode import Rows
from .review import padded


class Delay:
    """Hands every row back as many rows later, when its target has come.

    **Arguments:** `rows`: how many; `arrays`: of a delay, to go on from.
    """

    def __init__(self, rows: int, arrays: Mapping[str, np.ndarray] | None = None):
        kept = arrays or {}
        self._numbers = kept.get("numbers", np.full((rows, 0), np.nan))
        self._fixed = kept.get("fixed", np.zeros((rows, 0), np.float32))

    def push(self, rows: Rows) -> Rows:
        """Takes rows in; returns those of so many rows before, to be scaled as these are."""
        new, width = len(rows.numbers), rows.numbers.shape[1]
        numbers = padded(self._numbers, len(self._numbers), width, np.nan)
        fixed = padded(self._fixed, len(self._fixed), rows.fixed.shape[1], 0)
        numbers = np.concatenate([numbers, rows.numbers])
        fixed = np.concatenate([fixed, np.asarray(rows.fixed, np.float32)])
        self._numbers, self._fixed = numbers[new:], fixed[new:]
        return Rows(numbers[:new], fixed[:new], rows.scales)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows that wait."""
        return {"numbers": self._numbers, "fixed": self._fixed}
