"""The loops that a stream needs, compiled, or read from where they were kept, before it is learned.

Seconds that count as those of compiling.
"""

from __future__ import annotations

from . import (
    curve,
    encode,
    importance,
    interval,
    memory,
    mixture,
    native,
    neighbours,
    regression,
    review,
    shares,
    smoothing,
    stacking,
    window,
)
from .classification import Classification
from .task import AbstractTask


def prepare(task: AbstractTask, *, reviewed: bool) -> None:
    """Prepares what learning by this task takes; `reviewed`: whether rows are kept."""
    names = task.mixture.names
    curve.prepare()
    encode.prepare()
    importance.prepare()
    native.prepare()
    window.prepare()
    if reviewed:
        review.prepare()
    if len(names) > 1:
        mixture.prepare(names, relative=task.mixture.relative)
        stacking.prepare(classes=isinstance(task, Classification))
    if isinstance(task, Classification):
        shares.prepare()
    else:
        interval.prepare()
        regression.prepare()
        smoothing.prepare()
    if neighbours.NEIGHBOURS in names:
        neighbours.prepare()
    if memory.MEMORY in names:
        memory.prepare()
