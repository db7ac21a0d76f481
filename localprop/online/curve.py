"""Sums along a stream, in at most so many points: neighbours are merged as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

POINTS = 256  # most points of a curve; more are merged in pairs


@dataclass
class Curve:
    """Sums of some quantities over successive stretches of a stream.

    **Fields:** `width`: samples per point; `points`: `[samples, sum, sum, …]`.
    """

    width: int = 1
    points: list[list[float]] = field(default_factory=list)

    def extend(self, values: np.ndarray) -> None:
        """Takes in samples, `(quantities, T)`."""
        start, rows = 0, values.shape[1]
        while start < rows:
            if not self.points or self.points[-1][0] >= self.width:
                self._merge_if_full()
                room = (
                    POINTS - len(self.points) if rows > 1 else 0
                )  # a row by itself is added below
                whole = min((rows - start) // self.width, room)
                stop = start + whole * self.width
                self.points += self._whole(values[:, start:stop])
                start = stop
                if whole:
                    continue
                self.points.append([0.0] * (1 + len(values)))
            last = self.points[-1]
            stop = min(rows, start + self.width - int(last[0]))
            last[0] += stop - start
            # Strictly in order, as cumsum adds: a cut of the stream changes no bit.
            if rows == 1:
                last[1:] = _added(last[1:], values[:, 0].tolist())
            else:
                new = np.hstack([np.array(last[1:])[:, None], values[:, start:stop]])
                last[1:] = np.cumsum(new, axis=1)[:, -1].tolist()
            start = stop

    def means(self, quantities: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the samples seen at the end of each point, and each quantity's mean in it.

        **Returns:** `(points,)`, `(quantities, points)`.
        """
        table = np.array(self.points, dtype=float).reshape(-1, 1 + quantities).T
        return np.cumsum(table[0]), table[1:] / table[0]

    def _whole(self, values: np.ndarray) -> list[list[float]]:
        """Returns the points that samples make, which are as many as some points hold."""
        parts = values.reshape(len(values), values.shape[1] // self.width, self.width)
        sums = np.cumsum(parts, axis=2)[:, :, -1].T + 0.0  # -0.0 is 0.0, as in a sum from 0
        return [[float(self.width), *point] for point in sums.tolist()]

    def _merge_if_full(self) -> None:
        if len(self.points) < POINTS:
            return
        pairs = zip(self.points[::2], self.points[1::2], strict=True)
        self.points = [_added(p, q) for p, q in pairs]
        self.width *= 2


def _added(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]
