"""Probabilities of classes: what experts say of a row, alone and together, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .compiled import compiled

DOUBT = 0.5  # of a voice among the neighbours', for all classes together
STAY = 100.0  # rows over which it is counted how often a class stays


class Persistence:
    """The class before: how often each class was met, which one last, and how often one stays.

    **Arguments:** `counts`: by class; `last`: number of the class, -1 if none was met; `stay`.
    """

    def __init__(self, counts: Sequence[int], last: int, stay: float):
        self.counts, self._habit = np.array(counts, float), np.array([last, stay], float)

    def follow(self, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes classes in, -1 where there is none; returns what was known before each of them.

        **Returns:** probabilities by the class before, the others by their frequency,
        `(T, classes)`; and guesses, `(2, T)`: the class met most and the one met last, or -2.
        """
        shares = np.zeros((len(truth), max(len(self.counts), 1)))
        guesses = np.empty((2, len(truth)), np.int64)
        compiled(_follow)(truth, *self.carried, shares, guesses)
        return shares, guesses

    @property
    def carried(self) -> tuple[np.ndarray, ...]:
        """What the loop carries on: the class met last and how often one stays, and counts."""
        return self._habit, self.counts

    def meet(self) -> None:
        """Takes in that there is another class."""
        self.counts = np.append(self.counts, 0.0)

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        last, stay = self._habit.tolist()
        return {"counts": self.counts.astype(int).tolist(), "last": int(last), "stay": stay}

    @property
    def now(self) -> np.ndarray:
        """Probabilities of the next row, `(1, classes)`."""
        return self.follow(np.full(1, -1, np.int64))[0]


def shares_of(
    outputs: np.ndarray, known: np.ndarray, before: np.ndarray, near: np.ndarray | None
) -> np.ndarray:
    """Returns the probabilities that every expert gives, `(T, experts, classes)`.

    **Arguments:** `outputs`: of the networks, `(T, networks, outputs)`; one that is not finite
    knows nothing; `known`: how many classes there are, `(T,)`; `before`: what the class before
    says, `(T, classes)`; `near`: how much speaks for each class among the neighbours, or `None`.
    """
    rows, networks, _ = outputs.shape
    shares = np.zeros((rows, networks + 1 + (near is not None), before.shape[1]))
    voices = np.zeros((rows, 0)) if near is None else near
    logits = np.ascontiguousarray(outputs, float)
    compiled(_say)(logits, known, before, voices, near is not None, shares)
    return shares


def mixed(
    shares: np.ndarray, weights: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what experts say together: numbers of classes, -1 if none is known; probabilities.

    **Arguments:** `shares`: `(T, experts, classes)`; `weights`: `(T, experts)`, of the
    first ones; `known`: `(T,)`.
    """
    table, values = np.zeros((len(shares), shares.shape[2])), np.empty(len(shares), np.int64)
    compiled(_mix)(shares, weights, known, table, values)
    return values, table[:, : int(known.max(initial=0))]


def targets_of(raw: np.ndarray, known: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Writes targets of the networks into `z`, `(T, S, outputs)`, and returns it.

    NaN where a row has no target, or where there is no such class yet.

    **Arguments:** `raw`: numbers of classes, `(T, S)`; `known`: how many there are, `(T,)`.
    """
    compiled(_aim)(raw, known, z)
    return z


def hits_of(values: np.ndarray, guesses: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns whether an answer, and each of the guesses, was the truth, `(1 + guesses, T)`."""
    hits = np.empty((1 + len(guesses), len(truth)))
    compiled(_compare)(values, guesses, truth, hits)
    return hits


def prepare() -> None:
    """Compiles the loops, or reads them from where they were kept, before anything is learned."""
    one = np.zeros(1, np.int64)
    before = Persistence([0], -1, 0.5).follow(one)[0]
    shares = shares_of(np.zeros((1, 1, 1)), one, before, before)
    mixed(shares, np.ones((1, 3)), one)
    hits_of(one, one[None], one)
    targets_of(before, one, np.zeros((1, 1, 1), np.float32))


def _follow(truth: Any, habit: Any, counts: Any, shares: Any, guesses: Any) -> None:
    for t in range(len(truth)):
        last, stay = int(habit[0]), habit[1]
        most, total = -2, 0.0
        for k in range(len(counts)):
            if counts[k] > 0 and (most < 0 or counts[k] > counts[most]):
                most = k
            if k != last:
                total += counts[k]
        guesses[0, t], guesses[1, t] = most, last if last >= 0 else -2
        for k in range(len(counts)):
            if k == last:
                shares[t, k] = stay if total > 0 else 1.0
            elif total > 0:
                shares[t, k] = counts[k] / total * (1 - stay)
        k = truth[t]
        if k >= 0:
            if last >= 0:
                habit[1] = (1 / STAY) * (k == last) + (1 - 1 / STAY) * stay
            counts[k] += 1
            habit[0] = k


def _aim(raw: Any, known: Any, z: Any) -> None:
    for t in range(len(raw)):
        for s in range(raw.shape[1]):
            for k in range(z.shape[2]):
                z[t, s, k] = raw[t, s] == k if raw[t, s] == raw[t, s] and k < known[t] else np.nan


def _say(logits: Any, known: Any, before: Any, near: Any, asked: bool, shares: Any) -> None:
    networks = logits.shape[1]
    for t in range(len(logits)):
        for e in range(networks if known[t] else 0):
            peak, total = -np.inf, 0.0
            there = min(known[t], logits.shape[2])
            for k in range(there):
                value = logits[t, e, k]
                peak = max(peak, value if abs(value) < np.inf else 0.0)
            for k in range(there):
                value = logits[t, e, k]
                shares[t, e, k] = np.exp((value if abs(value) < np.inf else 0.0) - peak)
                total += shares[t, e, k]
            for k in range(there):
                shares[t, e, k] /= total
        for k in range(before.shape[1]):
            shares[t, networks, k] = before[t, k]
        if asked:
            own, total = shares[t, networks + 1], 0.0
            for k in range(near.shape[1]):
                own[k] = near[t, k]
            for k in range(known[t]):
                own[k] += DOUBT / known[t]
            for k in range(len(own)):
                total += own[k]
            for k in range(len(own) if total > 0 else 0):
                own[k] /= total


def _compare(values: Any, guesses: Any, truth: Any, hits: Any) -> None:
    for t in range(len(truth)):
        hits[0, t] = values[t] == truth[t]
        for k in range(len(guesses)):
            hits[1 + k, t] = guesses[k, t] == truth[t]


def _mix(shares: Any, weights: Any, known: Any, table: Any, values: Any) -> None:
    for t in range(len(shares)):
        own, total, most = table[t], 0.0, 0
        for e in range(weights.shape[1]):
            for k in range(len(own)):
                own[k] += weights[t, e] * shares[t, e, k]
        for k in range(len(own)):
            total += own[k]
        for k in range(len(own)):
            own[k] /= total if total > 0 else 1.0
            most = k if own[k] > own[most] else most
        values[t] = most if known[t] > 0 else -1
