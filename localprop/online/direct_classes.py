"""What experts say of classes, and how it is scored, as calls of loops on a single row."""

from __future__ import annotations

import numpy as np

from . import curve, mixture, shares, stacking
from .calls import Calls
from .classification import Classification
from .compiled import compiled
from .copying import copy, fill, widen


class Voices:
    """What every expert says of a row, and what they say together.

    **Arguments:** `task`; `networks`: how many there are, `outputs` of each; `near`: what the
    neighbours say, `(1, classes)`, or `(1, 0)` where none are asked.

    **Fields:** `said`: what the networks answer, `(networks, outputs)`; `weights` of the experts
    before the row, and after it, `(2, experts)`; `values`, `(1,)`, `table`, `(1, classes)`: the
    answer.
    """

    def __init__(self, task: Classification, networks: int, outputs: int, near: np.ndarray):
        classes, experts = len(task.classes), len(task.mixture.names)
        self._task, self._near = task, near
        self.said = np.zeros((networks, outputs), np.float32)
        self.weights = np.ones((2, experts))
        self.values, self.table = np.zeros(1, np.int64), np.zeros((1, classes))
        self._known, self._nobody = np.array([classes]), np.array([-1])
        self._before, self._guesses = np.zeros((1, classes)), np.zeros((2, 1), np.int64)
        self._logits = np.zeros((1, networks, outputs))
        self._alone = np.zeros((1, networks + 1 + (near.size > 0), classes))
        self._everyone = self._alone
        if task.stacked is not None:
            self._everyone = np.zeros((1, experts, classes))

    def speak(self, calls: Calls, truth: np.ndarray | None) -> None:
        """Adds what writes how probable every expert thinks the classes; an answer without truth.

        **Arguments:** `truth`: `(1,)`, number of the class, learned from; `None` for an answer.
        """
        told = self._nobody if truth is None else truth
        task, near, alone = self._task, self._near, self._alone
        calls.add(fill, self._before[0])
        calls.add(compiled(shares._follow), told, *task.before.carried, self._before, self._guesses)
        calls.add(widen, self.said.ravel(), self._logits.ravel())
        calls.add(fill, alone.ravel())
        given = self._logits, self._known, self._before, near
        calls.add(compiled(shares._say), *given, near.size > 0, alone)
        if task.stacked is not None:
            first, everyone = len(self.said) + 1, self._everyone[0]
            stacked = everyone[None, first]
            room = np.zeros(alone.shape[1]), np.zeros(alone.shape[1:])
            given = alone, self._known, told, *task.stacked.carried
            calls.add(fill, stacked[0])
            calls.add(compiled(stacking._stack_classes), *given, *room, stacked)
            calls.add(copy, alone[0, :first].ravel(), everyone[:first].ravel())
            calls.add(copy, alone[0, first:].ravel(), everyone[first + 1 :].ravel())
        if truth is None:
            calls.add(copy, task.mixture.present, self.weights[0])
            self._mix(calls)

    def score(self, calls: Calls, truth: np.ndarray) -> None:
        """Adds what weighs the experts by a truth, and follows how well it goes."""
        task, mixed = self._task, self._task.mixture
        if len(mixed.names) > 1:
            losses, (first, *sums) = np.zeros((1, len(mixed.names))), mixed.carried
            calls.add(compiled(mixture._judge), self._everyone, truth, losses)
            calls.add(compiled(mixture._bound), losses)
            calls.add(compiled(mixture._follow), losses, first, False, *sums, self.weights)
        self._mix(calls)
        calls.add(copy, self.weights[1], mixed.present)
        calls.add(compiled(curve._extend), self.weights[1][:, None], *mixed.curve.carried)
        hits = np.zeros((1 + len(self._guesses), 1))
        calls.add(compiled(shares._compare), self.values, self._guesses, truth, hits)
        calls.add(compiled(curve._extend), hits, *task.score.curve.carried)

    def _mix(self, calls: Calls) -> None:
        given = self._everyone, self.weights[:1], self._known
        calls.add(fill, self.table[0])
        calls.add(compiled(shares._mix), *given, self.table, self.values)
