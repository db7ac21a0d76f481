"""What the rows were that resemble a new one most: an expert that learns nothing but keeps rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .compiled import compiled
from .moments import CLIP

NEIGHBOURS = "neighbours"  # the name of the expert
FIRST = {NEIGHBOURS: 0.5}  # what it weighs in a mixture before anything is known
NEAREST = 5
SEARCHED = 1000  # rows before a new one that are compared with it
CLOSEST = 1e-5  # rows closer than this weigh no more


class Seen(NamedTuple):
    """New rows, and by what each of them is standardised.

    **Fields:** `numbers`: `(T, D)`, NaN where missing; `fixed`: `(T, F)`, inputs that no scale
    changes; `scales`: of the numbers, `(T, D, …)`, first means and deviations.
    """

    numbers: np.ndarray
    fixed: np.ndarray
    scales: np.ndarray


class Kept(NamedTuple):
    """Rows as they came: `numbers` `(N, D)`, `fixed` `(N, F)`, `targets` `(N,)`, NaN if missing.

    Columns that came later may be lacking at the end. Of `count` rows the k-th stands at place
    k mod N; `None`: there were N, the oldest first.
    """

    numbers: np.ndarray
    fixed: np.ndarray
    targets: np.ndarray
    count: int | None = None


def ask_neighbours(
    seen: Seen, kept: Kept, news: Kept | None, most: int, outputs: int
) -> np.ndarray:
    """Returns what the five rows say that are nearest to each new one, and all that are as near.

    Nearest by $d^2=\\sum_j(z_j-z'_j)^2$ over standardised numbers within ±5, old rows by the
    scales of the new one, and over inputs that no scale changes; each weighs $1/d$, the weights of
    a row coming to as many as there are neighbours (Dudani, *The distance-weighted
    k-nearest-neighbor rule*, 1976, with $1/d$).

    **Arguments:** `seen`: T new rows; `kept`: rows before them; `news`: the new rows as they came,
    of which each is kept for those after it, or `None` if they know nothing of each other; `most`:
    rows before a new one that are looked at; `outputs`: how many classes there are, and 0 for
    numbers.

    **Returns:** `(T, outputs)`, how much speaks for each class; for numbers `(T, 1)`, their
    weighted mean, NaN where no row was kept.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.neighbours import Kept, Seen, ask_neighbours
        >>> numbers = np.array([[0.0], [1.0], [1.0], [9.0]])
        >>> kept = Kept(numbers, np.zeros((4, 0)), np.array([0.0, 1.0, 1.0, 0.0]))
        >>> new = Seen(np.array([[1.0]]), np.zeros((1, 0)), np.array([[[0.0, 1.0]]]))
        >>> ask_neighbours(new, kept, None, 1000, 2).round(3).tolist()
        [[0.0, 4.0]]

        ```
    """
    rows, (numbers, fixed, targets, count) = len(seen.numbers), kept
    count = len(targets) if count is None else count
    # Without rows among which to look a layout is needed all the same: for another one the loop
    # would be compiled again.
    after = news or Kept(numbers[:0], fixed[:0], targets[:0])
    # In the precision in which the review keeps them, whether they come from there or not.
    fixed_now = np.asarray(seen.fixed, np.float32)
    own = seen.numbers, fixed_now, seen.scales, targets, after.targets
    given = [np.ascontiguousarray(a, float) for a in own]
    lying = [
        np.ascontiguousarray(a.T, kind)
        for part in (kept, after)
        for a, kind in ((part.numbers, float), (part.fixed, np.float32))
    ]
    found = np.full((rows, max(outputs, 1)), 0.0 if outputs else np.nan)
    most = min(most, count + len(after.targets))
    room = np.empty(most), np.empty(most), np.empty(NEAREST)
    compiled(_search)(*given, *lying, count, news is not None, most, outputs, *room, found)
    return found


def prepare() -> None:
    """Compiles the search, or reads it from where it was kept: seconds that learning never sees."""
    nothing = np.zeros((1, 1))
    seen = Seen(nothing, nothing, np.zeros((1, 1, 2)))
    ask_neighbours(seen, Kept(nothing, nothing, nothing[0]), None, SEARCHED, 1)


def _search(
    new: Any,
    new_marks: Any,
    scales: Any,
    old_targets: Any,
    new_targets: Any,
    old_numbers: Any,
    old_fixed: Any,
    new_numbers: Any,
    new_fixed: Any,
    count: int,
    together: bool,
    most: int,
    outputs: int,
    squares: Any,
    said: Any,
    nearest: Any,
    found: Any,
) -> None:
    """Sums, for every pair of rows, in the same order, whatever stands beside them.

    Columns of the rows before lie in one piece each, those of the older ones in a ring.
    """
    for t in range(len(new)):
        stop = count + t if together else count
        start = max(0, stop - most)
        n, at = stop - start, 0
        for j in range(n):  # a slice that is filled takes seconds to compile, once for each
            squares[j] = 0.0
        for run in range(3):  # up to the end of the ring, from its beginning, new ones
            numbers, fixed, targets = old_numbers, old_fixed, old_targets
            if run == 2:
                numbers, fixed, targets = new_numbers, new_fixed, new_targets
                first, some = start + at - count, n - at
            elif start + at < count:
                first = (start + at) % len(targets)
                some = min(count - start - at, len(targets) - first)
            else:
                first, some = 0, 0
            # Slices, in which no place can be negative, become vector instructions.
            sums = squares[at : at + some]
            for d in range(new.shape[1]):
                centre, unit = scales[t, d, 0], scales[t, d, 1]
                scale = 1.0 / unit if unit > 0 else 0.0
                own = (new[t, d] - centre) * scale
                own = 0.0 if own != own else min(max(own, -CLIP), CLIP)
                if d >= len(numbers):  # a column that came later
                    for j in range(some):
                        sums[j] += own * own
                    continue
                column = numbers[d, first : first + some]
                for j in range(some):
                    x = (column[j] - centre) * scale
                    x = 0.0 if x != x else min(max(x, -CLIP), CLIP)
                    sums[j] += (x - own) * (x - own)
            for f in range(new_marks.shape[1]):
                own = new_marks[t, f]
                if f >= len(fixed):
                    for j in range(some):
                        sums[j] += own * own
                    continue
                marks = fixed[f, first : first + some]
                for j in range(some):
                    x = np.float64(marks[j])
                    sums[j] += (x - own) * (x - own)
            for j in range(some):
                said[at + j] = targets[first + j]
            at += some
        for k in range(NEAREST):
            nearest[k] = np.inf
        for j in range(n):
            if said[j] == said[j] and squares[j] < nearest[-1]:
                k = NEAREST - 1
                while k > 0 and nearest[k - 1] > squares[j]:
                    nearest[k] = nearest[k - 1]
                    k -= 1
                nearest[k] = squares[j]
        reach = nearest[0]
        for k in range(NEAREST):
            if nearest[k] < np.inf:
                reach = nearest[k]
        heard, total, mass = 0, 0.0, 0.0
        for j in range(n):
            y = said[j]
            if y == y and squares[j] <= reach:
                weight = 1.0 / max(np.sqrt(squares[j]), CLOSEST)
                heard += 1
                total += weight
                if outputs:
                    found[t, int(y)] += weight
                else:
                    mass += weight * y
        if heard and outputs:
            for k in range(outputs):
                found[t, k] *= heard / total
        elif heard:
            found[t, 0] = mass / total
