"""What experts say, put together by weights that are learned: an expert of its own.

A mixture is a mean, and lies between its experts. Weights that are learned may be negative, and
take out what experts have in common.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .compiled import compiled

STACKED = "stacked"  # the name of the expert
# Of numbers.
KEEP, RIDGE = 0.998, 3.0  # of what a row counts after the next one; against large weights
SMALL = 0.3  # errors count by their square up to here, and by their size beyond
FAR = 3.0  # units that experts, and their stack, are at most apart
# Of classes.
STEP, DAMPED, FADE = 0.05, 10.0, 0.995
LEAST_SHARE = 1e-3  # probabilities count as at least


class StackedNumbers:
    """Stacked regression (Breiman, *Stacked regressions*, 1996), with forgetting.

    With $x$ what experts say and $c$ a first guess, in the target's unit, $\\hat y = c + v^\\top
    (x - c)$, and $v$ minimises $\\sum_s 0.998^{t-s}\\,\\omega_s\\,(y_s - \\hat y_s)^2 + 3\\,|v|^2$;
    $\\omega = \\min(1, 0.3/|y - \\hat y|)$ by the error when it was made, so that a few outliers do
    little (Huber).

    **Arguments:** `experts`: how many there are; `state`, or `None` to begin.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.stacking import StackedNumbers
        >>> rng = np.random.default_rng(0)
        >>> y = rng.normal(size=(500, 1))  # of which two experts see less than there is
        >>> said = StackedNumbers(2).learn(y * [0.5, 0.8], np.zeros(500), y[:, 0])
        >>> bool(abs(said - y[:, 0])[100:].mean() < 0.05)
        True

        ```
    """

    def __init__(self, experts: int, state: Mapping[str, Any] | None = None):
        products = state["products"] if state else np.zeros((experts, experts))
        self._products = np.array(products, dtype=float).reshape(experts, experts)
        self._moments = np.array(state["moments"] if state else np.zeros(experts), dtype=float)

    def learn(self, said: np.ndarray, guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Takes rows in; returns what was answered to each before it.

        **Arguments:** `said`: `(T, experts)`, NaN for nothing; `guess`: `(T,)`; `truth`: `(T,)`,
        NaN where a row is not to be learned from. All in the target's unit.
        """
        # In one layout: another one would be compiled for.
        given = [np.ascontiguousarray(a, float) for a in (said, guess, truth)]
        room, found = np.zeros((4, *self._products.shape)), np.zeros(len(said))
        compiled(_stack_numbers)(*given, self._products, self._moments, room, found)
        return found

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"products": self._products.tolist(), "moments": self._moments.tolist()}


class StackedClasses:
    """A logarithmic pool of probabilities (Genest and Zidek, *Combining probability
    distributions*, 1986) whose weights follow the gradient of the log loss.

    $p \\propto \\prod_e p_e^{v_e}$; $v \\leftarrow v - 0.05\\,g/\\sqrt{Q + 10}$ with
    $g = -\\partial_v \\ln p_y$ and $Q \\leftarrow 0.995\\,Q + |g|^2/E$.

    **Arguments:** `experts`: how many there are; `state`, or `None` to begin.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.stacking import StackedClasses
        >>> truth = np.arange(200) % 2  # of which one expert is too little sure, one knows nothing
        >>> shares = np.full((200, 2, 2), 0.5)
        >>> shares[np.arange(200), 0, truth] = 0.6
        >>> shares[np.arange(200), 0, 1 - truth] = 0.4
        >>> said = StackedClasses(2).learn(shares, np.full(200, 2), truth)
        >>> bool(said[-1].max() > 0.6)
        True

        ```
    """

    def __init__(self, experts: int, state: Mapping[str, Any] | None = None):
        weights = state["weights"] if state else np.full(experts, 1 / experts)
        self._weights = np.array(weights, dtype=float)
        self._square = np.array([state["square"] if state else 0.0])

    def learn(self, shares: np.ndarray, known: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Takes rows in; returns the probabilities that were answered to each before it.

        **Arguments:** `shares`: `(T, experts, classes)`; `known`: how many classes are there in
        each row, `(T,)`; `truth`: `(T,)`, −1 where a row is not to be learned from.
        """
        found = np.zeros((len(shares), shares.shape[2]))
        given = shares, np.asarray(known, np.int64), np.asarray(truth, np.int64)
        room = np.empty(len(self._weights)), np.empty(shares.shape[1:])
        compiled(_stack_classes)(*given, *self.carried, *room, found)
        return found

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on."""
        return self._weights, self._square

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {"weights": self._weights.tolist(), "square": float(self._square[0])}


def prepare(*, classes: bool) -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    one = np.zeros(1)
    if classes:
        StackedClasses(1).learn(np.ones((1, 1, 1)), one + 1, one)
    else:
        StackedNumbers(1).learn(one[:, None], one, one)


def _stack_numbers(
    said: Any, guess: Any, truth: Any, products: Any, moments: Any, room: Any, found: Any
) -> None:
    """Solves $(P + 3) v = m$ by Cholesky's decomposition, for each row anew."""
    many = said.shape[1]
    root, half, v, x = room[0], room[1, 0], room[2, 0], room[3, 0]
    for t in range(len(said)):
        first = guess[t] if abs(guess[t]) < np.inf else 0.0
        for i in range(many):
            apart = said[t, i] - first
            x[i] = min(max(apart, -FAR), FAR) if apart == apart else 0.0
        for i in range(many):
            for j in range(i + 1):
                rest = products[i, j] + (RIDGE if i == j else 0.0)
                for k in range(j):
                    rest -= root[i, k] * root[j, k]
                root[i, j] = np.sqrt(rest) if i == j else rest / root[j, j]
            rest = moments[i]
            for k in range(i):
                rest -= root[i, k] * half[k]
            half[i] = rest / root[i, i]
        for i in range(many - 1, -1, -1):
            rest = half[i]
            for k in range(i + 1, many):
                rest -= root[k, i] * v[k]
            v[i] = rest / root[i, i]
        total = 0.0
        for i in range(many):
            total += v[i] * x[i]
        found[t] = first + min(max(total, -FAR), FAR)
        y = truth[t] - first
        if not abs(y) < np.inf:
            continue
        off = abs(y - total)
        weight = 1.0 if off < SMALL else SMALL / off
        for i in range(many):
            moments[i] = KEEP * moments[i] + weight * x[i] * y
            for j in range(many):
                products[i, j] = KEEP * products[i, j] + weight * x[i] * x[j]


def _stack_classes(
    shares: Any,
    known: Any,
    truth: Any,
    weights: Any,
    square: Any,
    slopes: Any,
    logs: Any,
    found: Any,
) -> None:
    many = shares.shape[1]
    for t in range(len(shares)):
        classes = known[t]
        if classes < 1:
            continue
        most = -np.inf
        for c in range(classes):
            for e in range(many):
                logs[e, c] = np.log(max(shares[t, e, c], LEAST_SHARE))
                found[t, c] += weights[e] * logs[e, c]
            most = max(most, found[t, c])
        total = 0.0
        for c in range(classes):
            found[t, c] = np.exp(found[t, c] - most)
            total += found[t, c]
        for c in range(classes):
            found[t, c] /= total
        y = truth[t]
        if y < 0 or y >= classes:
            continue
        size = 0.0
        for e in range(many):
            slope = -logs[e, y]
            for c in range(classes):
                slope += found[t, c] * logs[e, c]
            slopes[e] = slope
            size += slope * slope
        square[0] = FADE * square[0] + size / many
        step = STEP / np.sqrt(square[0] + DAMPED)
        for e in range(many):
            weights[e] -= step * slopes[e]
