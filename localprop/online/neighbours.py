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
    """New rows as the networks see them.

    **Fields:** `z`: `(T, D)`, standardised numbers within ±5, 0 where missing; `fixed`: `(T, F)`,
    inputs that no scale changes; `mean`, `deviation`: `(T, D)`, by which each row is standardised.
    """

    z: np.ndarray
    fixed: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


class Kept(NamedTuple):
    """Rows as they came, the oldest first: `numbers` `(N, D)`, `fixed` `(N, F)`, `targets` `(N,)`.

    Columns that came later may be lacking at the end; a target is NaN where there was none.
    """

    numbers: np.ndarray
    fixed: np.ndarray
    targets: np.ndarray


def ask_neighbours(
    seen: Seen, kept: Kept, news: Kept | None, most: int, outputs: int
) -> np.ndarray:
    """Returns what the five rows say that are nearest to each new one, and all that are as near.

    Nearest by $d^2=\\sum_j(z_j-z'_j)^2$ over standardised numbers, old rows by the scales of the
    new one, and over inputs that no scale changes; each weighs $1/d$, the weights of a row coming
    to as many as there are neighbours (Dudani, *The distance-weighted k-nearest-neighbor rule*,
    1976, with $1/d$).

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
        >>> scale = np.zeros((1, 1)), np.ones((1, 1))
        >>> new = Seen(np.array([[1.0]]), np.zeros((1, 0)), *scale)
        >>> ask_neighbours(new, kept, None, 1000, 2).round(3).tolist()
        [[0.0, 4.0]]

        ```
    """
    rows, parts = len(seen.z), [kept] if news is None else [kept, news]
    numbers = _joined([part.numbers for part in parts], seen.z.shape[1], np.nan)
    # In the precision in which the review keeps them, whether they come from there or not.
    fixed = _joined([part.fixed.astype(np.float32) for part in parts], seen.fixed.shape[1], 0.0)
    targets = np.concatenate([part.targets for part in parts])
    stop = len(kept.targets) + np.arange(rows) * (news is not None)
    deviation = seen.deviation
    with np.errstate(over="ignore"):  # what is infinitely far away is clipped anyway
        inverse = np.divide(1.0, deviation, where=deviation > 0, out=np.zeros_like(deviation))
    given = seen.z, seen.fixed, seen.mean, inverse, numbers, fixed, targets
    # In one layout: another one would be compiled for.
    given = [np.ascontiguousarray(a, float) for a in given]
    found = np.full((rows, max(outputs, 1)), 0.0 if outputs else np.nan)
    room = np.empty(min(most, len(targets))), np.empty(NEAREST)
    compiled(_search)(*given, stop.astype(np.int64), most, outputs, *room, found)
    return found


def prepare() -> None:
    """Compiles the search, or reads it from where it was kept: seconds that learning never sees."""
    nothing = np.zeros((1, 1))
    seen = Seen(nothing.astype(np.float32), nothing.astype(np.float32), nothing, nothing)
    ask_neighbours(seen, Kept(nothing, nothing, nothing[0]), None, SEARCHED, 1)


def _joined(parts: list[np.ndarray], width: int, value: float) -> np.ndarray:
    """Returns rows one after the other with as many columns, turned, each column in one piece."""
    turned = np.full((width, sum(len(part) for part in parts)), value)
    first = 0
    for part in parts:
        turned[: part.shape[1], first : first + len(part)] = part.T[:width]
        first += len(part)
    return turned


def _search(
    z: Any,
    fixed_z: Any,
    mean: Any,
    inverse: Any,
    numbers: Any,
    fixed: Any,
    targets: Any,
    stops: Any,
    most: int,
    outputs: int,
    squares: Any,
    nearest: Any,
    found: Any,
) -> None:
    """Sums, for every pair of rows, in the same order, whatever stands beside them."""
    for t in range(len(z)):
        stop = stops[t]
        start = max(0, stop - most)
        n = stop - start
        for j in range(n):  # a slice that is filled takes seconds to compile, once for each
            squares[j] = 0.0
        for d in range(z.shape[1]):
            own, centre, scale = z[t, d], mean[t, d], inverse[t, d]
            for j in range(n):
                x = (numbers[d, start + j] - centre) * scale
                x = 0.0 if x != x else min(max(x, -CLIP), CLIP)
                squares[j] += (x - own) * (x - own)
        for f in range(fixed_z.shape[1]):
            own = fixed_z[t, f]
            for j in range(n):
                squares[j] += (fixed[f, start + j] - own) * (fixed[f, start + j] - own)
        for k in range(NEAREST):
            nearest[k] = np.inf
        for j in range(n):
            if targets[start + j] == targets[start + j] and squares[j] < nearest[-1]:
                k = NEAREST - 1
                while k > 0 and nearest[k - 1] > squares[j]:
                    nearest[k] = nearest[k - 1]
                    k -= 1
                nearest[k] = squares[j]
        reach = nearest[0]
        for k in range(NEAREST):
            if nearest[k] < np.inf:
                reach = nearest[k]
        count, total, mass = 0, 0.0, 0.0
        for j in range(n):
            y = targets[start + j]
            if y == y and squares[j] <= reach:
                weight = 1.0 / max(np.sqrt(squares[j]), CLOSEST)
                count += 1
                total += weight
                if outputs:
                    found[t, int(y)] += weight
                else:
                    mass += weight * y
        if count and outputs:
            for k in range(outputs):
                found[t, k] *= count / total
        elif count:
            found[t, 0] = mass / total
