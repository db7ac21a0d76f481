"""Review of recent inputs: a ring of the last rows, some of which stand beside each new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..learner.reservoir import BESIDE
from .compiled import compiled
from .encode import Rows
from .neighbours import Kept
from .window import Scales
from .window_layout import SCALE

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
        # A ring, each column in one piece, as neighbours are searched; it gets places by and by.
        self._numbers = np.ascontiguousarray(kept.get("numbers", np.zeros((0, 0))).T)
        self._fixed = np.ascontiguousarray(kept.get("fixed", np.zeros((0, 0), np.float32)).T)
        self._targets = kept.get("targets", np.zeros(0))
        self._generator: tuple[int, np.random.Philox] | None = None  # before which row it stands

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
        found = (
            np.full((new, BESIDE, numbers.shape[1]), np.nan),
            np.zeros((new, BESIDE, fixed.shape[1]), np.float32),
            np.full((new, BESIDE), np.nan),
        )
        own = [np.ascontiguousarray(a) for a in (numbers, fixed, targets)]
        drawn = self.draw(new)
        compiled(_recall)(drawn, self.count, self.most, *own, *self.ring, *found)
        self.count += new
        return found

    @property
    def ring(self) -> tuple[np.ndarray, ...]:
        """Numbers `(D, places)`, fixed inputs `(F, places)` and targets `(places,)`."""
        return self._numbers, self._fixed, self._targets

    @property
    def has_room(self) -> bool:
        """Whether the next row has a place."""
        return min(self.most, self.count + 1) <= len(self._targets)

    @property
    def kept(self) -> Kept:
        """The rows that are kept."""
        return Kept(self._numbers.T, self._fixed.T, self._targets, self.count)

    def advance(self) -> None:
        """Takes note that the loop took a row in."""
        self.count += self.most > 0

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep, beside the arrays."""
        return {"count": self.count}

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows that are kept."""
        rows = min(self.most, self.count)
        numbers, fixed = (np.ascontiguousarray(a.T[:rows]) for a in (self._numbers, self._fixed))
        return {"numbers": numbers, "fixed": fixed, "targets": self._targets[:rows]}

    def draw(self, rows: int) -> np.ndarray:
        """Returns seven random numbers for each of the next rows, `(rows, 7)`."""
        stands, generator = self._generator or (-1, None)
        if generator is None or stands != self.count:
            generator = np.random.Philox(key=self.seed, counter=self.count * DRAWS // 4)
        drawn = generator.random_raw(rows * DRAWS).reshape(rows, DRAWS)
        self._generator = self.count + rows, generator
        return (drawn[:, :BESIDE] >> np.uint64(1)).astype(np.int64)

    def _make_room(self, numbers: int, fixed: int, rows: int) -> None:
        places = len(self._targets)
        if rows > places:
            places = min(self.most, max(rows, 2 * places))
        self._numbers = padded(self._numbers, numbers, places, np.nan)
        self._fixed = padded(self._fixed, fixed, places, 0)
        self._targets = padded(self._targets[None], 1, places, np.nan)[0]


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    nothing = np.zeros((1, 1))
    scales = Scales(np.zeros((1, 1, SCALE)))
    Review(1, 0).beside(Rows(nothing, nothing, scales), nothing[0])


def padded(a: np.ndarray, rows: int, width: int, value: float) -> np.ndarray:
    """Returns a table with so many rows and columns, the new ones filled with a value."""
    room = [(0, rows - a.shape[0]), (0, width - a.shape[1])]
    return np.pad(a, room, constant_values=value) if room != [(0, 0), (0, 0)] else a


def _recall(
    draws: Any,
    count: int,
    most: int,
    numbers: Any,
    fixed: Any,
    targets: Any,
    old_numbers: Any,
    old_fixed: Any,
    old_targets: Any,
    found_numbers: Any,
    found_fixed: Any,
    found_targets: Any,
) -> None:
    """Writes which rows were drawn, of those kept and of a piece, and keeps the piece."""
    places = len(old_targets)
    for t in range(len(targets)):
        number = count + t
        for s in range(draws.shape[1] if number else 0):
            row = number - 1 - draws[t, s] % min(number, most)
            k = row - count if row >= count else row % places
            for d in range(numbers.shape[1]):
                found_numbers[t, s, d] = numbers[k, d] if row >= count else old_numbers[d, k]
            for f in range(fixed.shape[1]):
                found_fixed[t, s, f] = fixed[k, f] if row >= count else old_fixed[f, k]
            found_targets[t, s] = targets[k] if row >= count else old_targets[k]
    for t in range(max(0, len(targets) - most), len(targets)):
        k = (count + t) % places
        for d in range(numbers.shape[1]):
            old_numbers[d, k] = numbers[t, d]
        for f in range(fixed.shape[1]):
            old_fixed[f, k] = fixed[t, f]
        old_targets[k] = targets[t]
