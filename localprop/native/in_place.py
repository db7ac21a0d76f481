"""Engines whose loops learn in arrays of their own, which a phase is copied into and out of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from ..law import Phase
from .workers import MOST

SHARED_FROM = 1 << 20  # of a sample's work, from which on threads that meet at every block pay

State = TypeVar("State")


class InPlaceEngine(ABC, Generic[State]):
    """What such engines do alike of what `Learner` asks of them.

    **Arguments:** `work`: about how much a sample is.
    """

    records = frozenset({"output", "loss"})
    pays = True  # at every size that was measured (benchmarks/hops.md)

    def __init__(self, work: int):
        self._threads = MOST if work >= SHARED_FROM else 1
        self._kept: list[tuple[Phase, State]] = []  # of the last sample that came alone

    @abstractmethod
    def _begun(self, phase: Phase) -> State:
        """Returns what the loops carry of a phase."""

    def step(self, phase: Phase, u: Any, z: Any, duration: Any) -> None:
        """Returns `None`: a sample is read and checked like a stream."""
        del phase, u, z, duration

    def say(self, phase: Phase, u: Any) -> None:
        """Returns `None`: an input is read and checked like several."""
        del phase, u

    def _is_kept(self, phase: Phase) -> bool:
        return any(kept is phase for kept, _ in self._kept)

    def _state(self, phase: Phase) -> State:
        """Returns what the loops carry of a phase, that of the call before where it is the same."""
        try:
            kept, state = self._kept.pop()  # nobody else has it meanwhile
        except IndexError:
            return self._begun(phase)
        return state if kept is phase else self._begun(phase)

    def _keep(self, phase: Phase, state: State) -> None:
        self._kept = [(phase, state)]


def are_shaped(samples: Any, streams: tuple[int, ...], targets: tuple[int, ...]) -> bool:
    """Returns whether all but the inputs of samples has the shapes that loops take.

    **Arguments:** `streams`: how many, or none; `targets`: the shape of a sample's.
    """
    length = len(samples.z)
    each = (None, (length,), (length, *streams))
    return (
        samples.z.shape == (length, *targets)
        and getattr(samples.duration, "shape", None) in each[:2]
        and getattr(samples.weight, "shape", None) in each
        and getattr(samples.begins, "shape", None) in each
    )
