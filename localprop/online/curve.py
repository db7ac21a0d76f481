"""Sums along a stream, in at most so many points: neighbours are merged as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .compiled import compiled

POINTS = 256  # most points of a curve; more are merged in pairs


class Curve:
    """Sums of some quantities over successive stretches of a stream.

    Strictly in the order of the stream, so that no bit hangs on how it is cut.

    **Arguments:** `quantities`: how many there are; `width`: samples per point; `points`:
    `[samples, sum, sum, …]`, with which to begin; `totals`: the same over all samples, `None` to
    add the points up.
    """

    def __init__(
        self,
        quantities: int,
        width: int = 1,
        points: Sequence[Sequence[float]] = (),
        totals: Sequence[float] | None = None,
    ):
        self._table = np.zeros((POINTS, 1 + quantities))
        self._table[: len(points)] = np.reshape(points, (-1, 1 + quantities))
        self._size = np.array([width, len(points)])
        self._totals = np.array(self._table.sum(axis=0) if totals is None else totals, float)

    @property
    def width(self) -> int:
        """Samples per point."""
        return int(self._size[0])

    @property
    def points(self) -> list[list[float]]:
        """`[samples, sum, sum, …]` of each point."""
        return self._table[: self._size[1]].tolist()

    @property
    def totals(self) -> list[float]:
        """`[samples, sum, sum, …]` over all samples."""
        return self._totals.tolist()

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on: width and number of points, points, totals."""
        return self._size, self._table, self._totals

    def extend(self, values: np.ndarray) -> None:
        """Takes in samples, `(quantities, T)`."""
        compiled(_extend)(np.ascontiguousarray(values, float), *self.carried)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the samples seen at the end of each point, and each quantity's mean in it.

        **Returns:** `(points,)`, `(quantities, points)`.
        """
        table = self._table[: self._size[1]].T
        return np.cumsum(table[0]), table[1:] / table[0]


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    Curve(1).extend(np.zeros((1, 1)))


def _extend(values: Any, size: Any, table: Any, totals: Any) -> None:
    for t in range(values.shape[1]):
        if size[1] == 0 or table[size[1] - 1, 0] >= size[0]:
            if size[1] == len(table):
                size[0] *= 2
                size[1] //= 2
                for k in range(size[1]):
                    for q in range(table.shape[1]):
                        table[k, q] = table[2 * k, q] + table[2 * k + 1, q]
            for q in range(table.shape[1]):
                table[size[1], q] = 0.0
            size[1] += 1
        last = table[size[1] - 1]
        last[0] += 1.0
        totals[0] += 1.0
        for q in range(len(values)):
            last[1 + q] += values[q, t]
            totals[1 + q] += values[q, t]
