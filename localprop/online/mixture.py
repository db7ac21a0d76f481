"""Experts mixed by what each got right lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .curve import Curve
from .smoothing import smooth

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
    worst; none counts as more than 30 above the least of its row, and that as at most 5.

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
        self._first = np.array([(first or {}).get(name, 1.0) for name in self.names])
        self.losses = np.array(state["losses"] if state else np.zeros(len(self.names)), dtype=float)
        self.rows = float(state["rows"]) if state else 0.0
        # Of the differences between losses, two by two, where these have no scale.
        self.squares = np.zeros((len(self.names),) * 2 if relative else (0, 0))
        if state:
            self.squares = np.array(state["squares"], dtype=float).reshape(self.squares.shape)
        self.before = np.zeros((0, len(self.names)))  # weights before the rows of the last update
        self.curve = Curve(state["width"], state["curve"]) if state else Curve()

    def update(self, losses: np.ndarray, judged: np.ndarray | None = None) -> np.ndarray:
        """Takes losses in and returns the weights before each row, `(T, experts)`.

        **Arguments:** `losses`: `(T, experts)`; `judged`: the rows that have some, `(T,)`.
        """
        start, rows = self.weights[None], len(losses)
        judged = np.ones(rows, bool) if judged is None else judged
        after = np.concatenate([start, self.after(losses[judged])])
        self.before = after[np.cumsum(judged) - judged]
        return self.before

    def after(self, losses: np.ndarray) -> np.ndarray:
        """Takes losses in and returns the weights after each row, `(T, experts)`.

        **Arguments:** `losses`: `(T, experts)`.
        """
        if not len(losses):
            return np.zeros(losses.shape)
        losses = bounded(losses)
        keep = 1 - 1 / MEMORY
        sums = np.column_stack([losses, np.ones(len(losses))])
        sums = smooth(sums, keep, 1.0, np.append(self.losses, self.rows))
        self.losses, self.rows = sums[-1, :-1], float(sums[-1, -1])
        squares = np.zeros((len(losses), *self.squares.shape))
        if self.relative:
            squares = (losses[:, :, None] - losses[:, None]) ** 2
            squares = smooth(squares, keep, 1.0, self.squares)
            self.squares = squares[-1].copy()
        weights = self._weights(sums[:, :-1], sums[:, -1:], squares)
        self.curve.extend(weights.T)
        return weights

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

    @property
    def weights(self) -> np.ndarray:
        """The weights of the next row, `(experts,)`."""
        return self._weights(self.losses[None], np.array([[self.rows]]), self.squares[None])[0]

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

    def _weights(self, losses: np.ndarray, rows: np.ndarray, squares: np.ndarray) -> np.ndarray:
        least = losses.min(axis=1, keepdims=True)
        rates = np.full_like(losses, RATE)
        if self.relative:
            error = np.sqrt(squares[np.arange(len(losses)), losses.argmin(axis=1)])
            rates = CERTAINTY / np.where(error > 0, error, np.inf)
            share = RELATIVE_RATE * rows / np.maximum(least, 1e-9 * np.maximum(rows, 1.0))
            rates = np.maximum(rates, share)
        weights = self._first * np.exp(-rates * (losses - least))
        return weights / weights.sum(axis=1, keepdims=True)


def bounded(losses: np.ndarray) -> np.ndarray:
    """Returns losses such that no row decides for good, the least of a row and what is above it."""
    losses = np.where(np.isfinite(losses), losses, np.inf)
    least = np.min(losses, axis=1, keepdims=True)
    above = losses - np.where(np.isfinite(least), least, 0.0)
    return np.minimum(least, WORST) + np.minimum(above, BEHIND)


def class_losses(shares: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns each expert's loss: whether it was wrong, and how little it thought of the truth.

    **Arguments:** `shares`: probabilities `(T, experts, classes)`; `truth`: `(T,)`, a class that
    is not among them is thought nothing of.
    """
    rows = np.arange(len(truth))
    known = truth < shares.shape[2]
    of_truth = shares[rows, :, np.where(known, truth, 0)]
    of_truth = np.where(known[:, None], of_truth, 0.0)
    wrong = shares.argmax(axis=2) != truth[:, None]
    return wrong - WRONG * np.log(np.maximum(of_truth, LEAST_SHARE))
