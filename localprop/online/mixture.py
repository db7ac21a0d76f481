"""Experts mixed by what each got right lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .compiled import compiled
from .curve import Curve

MEMORY = 200.0  # rows over which losses count
RATE = 0.2  # of classes, per unit of loss
CERTAINTY = 2.0  # of numbers, per standard error by which an expert is behind the best
RELATIVE_RATE = 0.2  # and at least this, per row and share by which it is worse than the best
WORST = 5.0  # the least loss of a row counts as at most so much
BEHIND = 30.0  # and the others as at most so much more
FAVOUR = 5.0  # weight of a last value before anything is known; that of others is 1
WRONG, LEAST_SHARE = 0.2, 0.01  # weight of the log loss of classes; probabilities count as at least


class Mixture:
    """Weights of any number of experts, by their discounted losses.

    With $A_e \\leftarrow (1 - 1/200)\\,A_e + \\ell_e$ and $n$ the discounted number of rows, expert
    $e$ has the weight $\\propto \\rho_e e^{-\\eta_e (A_e - \\min A)}$: the exponentially weighted
    forecaster (Cesa-Bianchi and Lugosi, *Prediction, learning, and games*, 2006, section 2.1),
    forgetting. Losses of classes have a scale of their own, $\\eta = 0.2$. Those of numbers have
    none, and are measured by how sure it is that an expert is worse than the best one, $b$:
    $\\eta_e = \\max(2/\\sqrt{Q_{eb}},\\ 0.2\\,n/\\min A)$ with
    $Q_{eb} \\leftarrow (1 - 1/200)\\,Q_{eb} + (\\ell_e - \\ell_b)^2$. So the exponent is twice the
    difference in standard errors (Diebold and Mariano, *Comparing predictive accuracy*, 1995), and
    what is many times worse than the best one is dropped at once. A loss that is no number is the
    worst; none counts as more than 30 above the least of its row, and that as at most 5. An expert
    that is alone weighs 1, whatever it loses.

    **Arguments:** `names` of the experts; `relative`: whether losses have no scale of their own;
    `first`: what some weigh before anything is known, where others weigh 1; `state`, or `None` to
    begin.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.mixture import Mixture
        >>> mixture = Mixture(["good", "bad"], relative=True)
        >>> weights = mixture.update(np.tile([0.1, 0.2], (50, 1)))
        >>> weights[0].tolist(), weights[-1].round(3).tolist()
        ([0.5, 0.5], [1.0, 0.0])

        ```
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        relative: bool,
        first: Mapping[str, float] | None = None,
        state: Mapping[str, Any] | None = None,
    ):
        self.names, self.relative = list(names), relative
        self._at_first = self._first = np.array(
            [(first or {}).get(name, 1.0) for name in self.names]
        )
        self.losses = np.array(state["losses"] if state else np.zeros(len(self.names)), dtype=float)
        self._rows = np.array([state["rows"] if state else 0.0], dtype=float)
        # Of the differences between losses, two by two, where these have no scale.
        self.squares = np.zeros((len(self.names),) * 2 if relative else (0, 0))
        if state:
            self.squares = np.array(state["squares"], dtype=float).reshape(self.squares.shape)
        self._present = np.ones(len(self.names))  # weights of the next row, where they are known
        self._known = False
        self.before = np.zeros((0, len(self.names)))  # weights before the rows of the last update
        points = (state["width"], state["curve"]) if state else ()
        self.curve = Curve(len(self.names), *points)

    def leave_out(self, names: Sequence[str]) -> None:
        """Gives these experts no weight from now on, and all others theirs."""
        self._first = np.where(np.isin(self.names, names), 0.0, self._at_first)
        self._known = False

    def update(self, losses: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
        """Takes losses in and returns the weights before each row, `(T, experts)`.

        **Arguments:** `losses`: `(T, experts)`; `judged`: the rows that have some, `(T,)`.
        """
        if judged is None:
            self.before = self._follow(losses)[:-1]
        else:
            self.before = self._follow(losses[judged])[np.cumsum(judged) - judged]
        return self.before

    def after(self, losses: np.ndarray) -> np.ndarray:
        """Takes losses in and returns the weights after each row, `(T, experts)`.

        **Arguments:** `losses`: `(T, experts)`.
        """
        return self._follow(losses)[1:]

    def replace(self, names: Sequence[str], judged: Sequence[str], losses: np.ndarray) -> None:
        """Takes some experts to have had these losses so far, in place of what they had.

        What they have in common with experts that are not among those judged here is not known:
        they are taken to err apart from each other.

        **Arguments:** `names`, among those that are `judged`, of which the first one stays as it
        is and gives the unit; `losses` of these in the last rows, `(T, judged)`.
        """
        losses = bounded(losses)
        share = (1 - 1 / MEMORY) ** np.arange(len(losses) - 1, -1, -1)
        share /= share.sum()
        means, known = share @ losses, [self.names.index(name) for name in judged]
        if not means[0] > 0:
            return
        unit = self.losses[known[0]] / max(self.rows, 1.0) / means[0]
        apart = [k for k in range(len(self.names)) if k not in known]
        for name in names:
            own = judged.index(name)
            k, squares = known[own], share @ (losses - losses[:, own, None]) ** 2
            self.losses[k] = means[own] * unit * self.rows
            self.squares[k, known] = squares * unit**2 * self.rows
            self.squares[k, apart] = self.squares[k, known[0]] + self.squares[known[0], apart]
            self.squares[:, k] = self.squares[k]
        self._known = False

    @property
    def weights(self) -> np.ndarray:
        """The weights of the next row, `(experts,)`."""
        return self.present.copy()

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on: weights at first, rows, losses, squares of differences."""
        return self._first, self._rows, self.losses, self.squares

    @property
    def present(self) -> np.ndarray:
        """The weights of the next row, in the array in which they stay."""
        if not self._known:
            self._follow(np.zeros((0, len(self.names))))
        return self._present

    @property
    def rows(self) -> float:
        """The discounted number of rows."""
        return float(self._rows[0])

    @property
    def shares(self) -> dict[str, float]:
        """The mean weight of each expert over all rows so far, by name."""
        total = np.sum(np.array(self.curve.points).reshape(-1, 1 + len(self.names)), axis=0)
        return dict(zip(self.names, (total[1:] / max(total[0], 1.0)).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {
            "names": self.names,
            "losses": self.losses.tolist(),
            "rows": self.rows,
            "squares": self.squares.tolist(),
            "width": self.curve.width,
            "curve": self.curve.points,
        }

    def _follow(self, losses: np.ndarray) -> np.ndarray:
        """Takes losses in; returns the weights before the first row and after each."""
        weights = np.ones((len(losses) + 1, len(self.names)))
        if len(self.names) > 1:
            losses = bounded(losses.reshape(len(losses), len(self.names)))
            first, *sums = self.carried
            compiled(_follow)(losses, first, self.relative, *sums, weights)
        self._present[:], self._known = weights[-1], True
        self.curve.extend(weights[1:].T)
        return weights


def bounded(losses: np.ndarray) -> np.ndarray:
    """Returns losses such that no row decides for good, the least of a row and what is above it."""
    found = np.array(losses, float, order="C")
    compiled(_bound)(found)
    return found


def class_losses(shares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns each expert's loss: whether it was wrong, and how little it thought of the truth.

    **Arguments:** `shares`: probabilities `(T, experts, classes)`; `truth`: `(T,)`, a class that
    is not among them is thought nothing of.
    """
    losses = np.empty(shares.shape[:2])
    compiled(_judge)(shares, truth, losses)
    return losses


def prepare(names: Sequence[str], *, relative: bool) -> None:
    """Compiles the loops, or reads them from where they were kept, before anything is learned."""
    Mixture(names, relative=relative).update(np.zeros((1, len(names))))
    if not relative:
        class_losses(np.zeros((1, 1, 1)), np.zeros(1, np.int64))


def _follow(
    losses: Any, first: Any, relative: bool, rows: Any, sums: Any, squares: Any, weights: Any
) -> None:
    """Adds losses and the discounted number of rows up, in place, and writes weights."""
    keep, experts = 1 - 1 / MEMORY, len(sums)
    for t in range(len(weights)):
        if t > 0:
            row = losses[t - 1]
            rows[0] = 1.0 + keep * rows[0]
            for e in range(experts):
                sums[e] = row[e] + keep * sums[e]
                for f in range(experts if relative else 0):
                    squares[e, f] = (row[e] - row[f]) ** 2 + keep * squares[e, f]
        best, total = 0, 0.0
        for e in range(experts):
            best = e if sums[e] < sums[best] else best
        share = RELATIVE_RATE * rows[0] / max(sums[best], 1e-9 * max(rows[0], 1.0))
        for e in range(experts):
            rate = RATE
            if relative:
                error = np.sqrt(squares[best, e])
                rate = max(CERTAINTY / error if error > 0 else 0.0, share)
            weights[t, e] = first[e] * np.exp(-rate * (sums[e] - sums[best]))
            total += weights[t, e]
        for e in range(experts):
            weights[t, e] /= total


def _bound(losses: Any) -> None:
    for t in range(len(losses)):
        least = np.inf
        for e in range(losses.shape[1]):
            if not abs(losses[t, e]) < np.inf:
                losses[t, e] = np.inf
            least = min(least, losses[t, e])
        for e in range(losses.shape[1]):
            above = losses[t, e] - (least if least < np.inf else 0.0)
            losses[t, e] = min(least, WORST) + min(above, BEHIND)


def _judge(shares: Any, truth: Any, losses: Any) -> None:
    for t in range(len(shares)):
        for e in range(shares.shape[1]):
            own, most = shares[t, e], 0
            for k in range(len(own)):
                most = k if own[k] > own[most] else most
            of_truth = own[truth[t]] if truth[t] < len(own) else 0.0
            losses[t, e] = (most != truth[t]) - WRONG * np.log(max(of_truth, LEAST_SHARE))
