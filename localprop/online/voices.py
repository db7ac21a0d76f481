"""What experts say of a single row, and how it is scored: of classes as calls of loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..native.calls import Calls
from ..table.columns import LARGEST, Column, ColumnKind
from . import curve, mixture, shares, stacking
from .classification import Classification
from .compiled import compiled
from .copying import copy, fill, widen
from .regression import Regression
from .task import Answers


class Targets(NamedTuple):
    """A row's target as its parts take it.

    **Fields:** `raw`: of the row and of those beside it, `(1, rows)`; `z`: what the networks are
    told, `(1, rows, outputs)`; `told`: what is remembered, `(1,)`.
    """

    raw: np.ndarray
    z: np.ndarray
    told: np.ndarray


class Classes:
    """What every expert says of a row's class, and what they say together.

    **Arguments:** `task`; `targets`; `networks`: how many there are; `asked`: whether neighbours
    are.

    **Fields:** `near`: what the neighbours say, `(1, classes)`, or `(1, 0)`; `nothing`: what they
    say without rows; `said`: what the networks answer, `(networks, outputs)`; `weights` of the
    experts before the row, and after it, `(2, experts)`.
    """

    nothing = 0.0

    def __init__(self, task: Classification, targets: Targets, networks: int, *, asked: bool):
        classes, experts = len(task.classes), len(task.mixture.names)
        outputs = targets.z.shape[2]
        if not 0 < classes <= outputs:
            raise LookupError("classes that no network knows")
        self._task, self._targets, self.outputs = task, targets, classes
        self.near = near = np.zeros((1, classes if asked else 0))
        self.said = np.zeros((networks, outputs), np.float32)
        self.weights = np.ones((2, experts))
        self._truth = np.zeros(1, np.int64)
        self._answer = Answers(np.zeros(1, np.int64), np.zeros((1, classes)))
        self._known, self._nobody = np.array([classes]), np.array([-1])
        self._before, self._guesses = np.zeros((1, classes)), np.zeros((2, 1), np.int64)
        self._logits = np.zeros((1, networks, outputs))
        self._alone = np.zeros((1, networks + 1 + (near.size > 0), classes))
        self._everyone = self._alone
        if task.stacked is not None:
            self._everyone = np.zeros((1, experts, classes))

    def takes(self, y: Any) -> bool:
        """Whether a target is a usual one."""
        return self._task.number_of(y) is not None

    def meet(self, y: Any) -> None:
        """Takes a target in."""
        number: Any = self._task.number_of(y)
        self._targets.raw[0, 0] = self._targets.told[0] = self._truth[0] = number

    def aim(self) -> None:
        """Writes what the networks are told, once the rows beside the new one are there."""

    def score(self) -> None:
        """Weighs the experts by the target, and follows how well it goes."""

    def answer(self) -> Answers:
        """Returns the answer."""
        return self._answer

    def add_aim(self, calls: Calls) -> None:
        """Adds what writes the targets of the networks."""
        calls.add(compiled(shares._aim), self._targets.raw, self._known, self._targets.z)

    def add_answer(self, calls: Calls) -> None:
        """Adds what puts together what the networks said."""
        self._speak(calls, self._nobody)
        calls.add(copy, self._task.mixture.present, self.weights[0])
        self._mix(calls)

    def _speak(self, calls: Calls, told: np.ndarray) -> None:
        """Adds what writes how probable every expert thinks the classes; `told`: the truth."""
        task, near, alone = self._task, self.near, self._alone
        calls.add(fill, self._before[0], 0.0)
        calls.add(compiled(shares._follow), told, *task.before.carried, self._before, self._guesses)
        calls.add(widen, self.said.ravel(), self._logits.ravel())
        calls.add(fill, alone.ravel(), 0.0)
        given = self._logits, self._known, self._before, near
        calls.add(compiled(shares._say), *given, near.size > 0, alone)
        if task.stacked is not None:
            first, everyone = len(self.said) + 1, self._everyone[0]
            stacked = everyone[None, first]
            room = np.zeros(alone.shape[1]), np.zeros(alone.shape[1:])
            given = alone, self._known, told, *task.stacked.carried
            calls.add(fill, stacked[0], 0.0)
            calls.add(compiled(stacking._stack_classes), *given, *room, stacked)
            calls.add(copy, alone[0, :first].ravel(), everyone[:first].ravel())
            calls.add(copy, alone[0, first:].ravel(), everyone[first + 1 :].ravel())

    def add_score(self, calls: Calls) -> None:
        """Adds what weighs the experts by the target, and follows how well it goes."""
        task, mixed, truth = self._task, self._task.mixture, self._truth
        self._speak(calls, truth)
        if len(mixed.names) > 1:
            losses, (first, *sums) = np.zeros((1, len(mixed.names))), mixed.carried
            calls.add(compiled(mixture._judge), self._everyone, truth, losses)
            calls.add(compiled(mixture._bound), losses)
            calls.add(compiled(mixture._follow), losses, first, False, *sums, self.weights)
        self._mix(calls)
        calls.add(copy, self.weights[1], mixed.present)
        calls.add(compiled(curve._extend), self.weights[1][:, None], *mixed.curve.carried)
        hits = np.zeros((1 + len(self._guesses), 1))
        calls.add(compiled(shares._compare), self._answer.values, self._guesses, truth, hits)
        calls.add(compiled(curve._extend), hits, *task.score.curve.carried)

    def _mix(self, calls: Calls) -> None:
        given = self._everyone, self.weights[:1], self._known
        table = self._answer.probabilities
        assert table is not None
        calls.add(fill, table[0], 0.0)
        calls.add(compiled(shares._mix), *given, table, self._answer.values)


class Numbers:
    """What every expert says of a row's number, and what they say together: by the task itself.

    **Arguments**, **Fields:** as for `Classes`; `near`: `(1, 1)`.
    """

    nothing, outputs = np.nan, 0

    def __init__(self, task: Regression, targets: Targets, networks: int, *, asked: bool):
        self._task, self._targets, self._key = task, targets, None
        self.near = np.zeros((1, int(asked)))
        self.said = np.zeros((networks, targets.z.shape[2]), np.float32)
        self.weights = np.ones((2, len(task.mixture.names)))
        targets.z[:] = np.nan

    def takes(self, y: Any) -> bool:
        """Whether a target is a usual one."""
        return isinstance(y, float | int) and abs(y) <= LARGEST

    def meet(self, y: Any) -> None:
        """Takes a target in."""
        encoded = self._task.encode(Column(ColumnKind.NUMBER, np.array([float(y)])))
        self._targets.raw[0, 0], self._key = encoded.raw[0], encoded.key

    def aim(self) -> None:
        """Writes what the networks are told, once the rows beside the new one are there."""
        z = self._task.targets(self._targets.raw, self._key)
        self._targets.z[..., :1], self._targets.told[0] = z, z[0, 0, 0]

    def score(self) -> None:
        """Weighs the experts by the target, and follows how well it goes."""
        self._task.update_score(self._key, self.said[None], self._heard)
        self.weights[:1] = self._task.mixture.before

    def answer(self) -> Answers:
        """Returns the answer."""
        return self._task.read(self.said[None], self._heard)

    def add_aim(self, calls: Calls) -> None:
        """Adds nothing."""

    def add_answer(self, calls: Calls) -> None:
        """Adds nothing."""

    def add_score(self, calls: Calls) -> None:
        """Adds nothing."""

    @property
    def _heard(self) -> np.ndarray | None:
        return self.near if self.near.size else None
