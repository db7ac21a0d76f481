"""Review of recent inputs: a ring of the last rows, some of which stand beside each new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..learner.reservoir import BESIDE
from .encode import Rows
from .neighbours import Kept

DRAWS = 8  # random numbers kept for a row: two blocks of Philox


class Review:
    """The last rows that were learned, as they came, and a draw of seven of them for each new one.

    Review of recent inputs is the papers' own remedy against forgetting [NLP, section 5]. A row
    is drawn uniformly from those kept, by a generator that counts rows: the draw hangs on the seed
    and on the number of the row, not on how the stream is cut.

    **Arguments:** `most`: rows to keep; 0 keeps none, ever. `seed`; `state`: of a review, to go on
    from, with its `arrays`.
    """

    def __init__(
        self,
        most: int,
        seed: int,
        state: Mapping[str, Any] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ):
        self.most, self.seed = most, seed
        self.count = int(state["count"]) if state else 0  # rows that were learned
        kept = arrays or {}
        self._numbers = kept.get("numbers", np.zeros((0, 0)))
        self._fixed = kept.get("fixed", np.zeros((0, 0), np.float32))
        self._targets = kept.get("targets", np.zeros(0))

    @property
    def streams(self) -> int:
        """How many rows the networks see at once: the new one, and those beside it."""
        return 1 + BESIDE if self.most else 1

    def beside(self, rows: Rows, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Takes rows in; returns numbers, fixed inputs and targets of those beside each.

        **Arguments:** `rows` of a piece; `targets`: `(T,)`.

        **Returns:** `(T, 7, D)`, `(T, 7, F)`, `(T, 7)`. Before there is any, a target is NaN.
        """
        new = len(targets)
        numbers, fixed = rows.numbers, np.asarray(rows.fixed, np.float32)
        if not self.most:
            return numbers[:, None][:, :0], fixed[:, None][:, :0], targets[:, None][:, :0]
        self._make_room(numbers.shape[1], fixed.shape[1], min(self.most, self.count + new))
        number = self.count + np.arange(new)[:, None]  # of the new row
        drawn = number - 1 - self._draw(new) % np.maximum(np.minimum(number, self.most), 1)
        here = drawn >= self.count  # within this piece
        old, own = np.maximum(drawn, 0) % self.most, np.maximum(drawn - self.count, 0)
        old = np.minimum(old, len(self._targets) - 1)
        found = [
            np.where(here[(...,) + (None,) * (a.ndim - 1)], a[own], ring[old])
            for a, ring in (
                (numbers, self._numbers),
                (fixed, self._fixed),
                (targets, self._targets),
            )
        ]
        found[2] = np.where(number > 0, found[2], np.nan)
        last = slice(max(0, new - self.most), None)
        place = number[last, 0] % self.most
        self._numbers[place], self._fixed[place] = numbers[last], fixed[last]
        self._targets[place] = targets[last]
        self.count += new
        return found[0], found[1], found[2]

    def last(self, rows: int) -> Kept:
        """Returns the last rows of those that are kept, at most so many, the oldest first."""
        rows = min(rows, len(self._targets))
        place = (self.count - rows + np.arange(rows)) % max(self.most, 1)
        return Kept(self._numbers[place], self._fixed[place], self._targets[place])

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep, beside the arrays."""
        return {"count": self.count}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows that are kept."""
        return {"numbers": self._numbers, "fixed": self._fixed, "targets": self._targets}

    def _draw(self, rows: int) -> np.ndarray:
        """Returns seven random numbers for each of the next rows, `(rows, 7)`."""
        generator = np.random.Philox(key=self.seed, counter=self.count * DRAWS // 4)
        drawn = generator.random_raw(rows * DRAWS).reshape(rows, DRAWS)
        return (drawn[:, :BESIDE] >> np.uint64(1)).astype(np.int64)

    def _make_room(self, numbers: int, fixed: int, rows: int) -> None:
        self._numbers = padded(self._numbers, rows, numbers, np.nan)
        self._fixed = padded(self._fixed, rows, fixed, 0)
        self._targets = np.pad(self._targets, (0, rows - len(self._targets)))


def padded(a: np.ndarray, rows: int, width: int, value: float) -> np.ndarray:
    """Returns a table with so many rows and columns, the new ones filled with a value."""
    room = [(0, rows - a.shape[0]), (0, width - a.shape[1])]
    return np.pad(a, room, constant_values=value) if room != [(0, 0), (0, 0)] else a
