"""What a checkpoint of an online model may hold: every field, checked before any is used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ..checkpoint import DAMAGED
from ..errors import CheckpointError
from ..table.columns import ColumnKind
from .classification import MOST_CLASSES
from .curve import POINTS
from .forecast import WINDOW
from .interval import LEVELS
from .settings import OnlineSettings

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Share = Annotated[float, Meta(ge=0)]
Gap = float | None  # a number, or none yet: JSON has no NaN


class Kept(Struct, forbid_unknown_fields=True):
    """A part of a checkpoint."""


class KeptMoments(Kept):
    """`Moments`."""

    shift: float
    count: Count
    total: float
    squares: Share


class KeptScore(Kept):
    """`Score`."""

    metric: Literal["accuracy", "mean absolute error"]
    fools: Annotated[list[str], Meta(min_length=1, max_length=8)]
    samples: Count
    total: float
    fools_totals: list[float]
    width: Annotated[int, Meta(ge=1, le=1 << 53)]
    curve: Annotated[list[list[float]], Meta(max_length=POINTS)]

    def __post_init__(self) -> None:
        _same(len(self.fools), len(self.fools_totals))
        for point in self.curve:
            _same(len(point), 2 + len(self.fools))
            if not 1 <= point[0] <= self.width or point[0] % 1:
                raise ValueError("a point of the curve stands for some samples")


class KeptIntervals(Kept):
    """`Intervals`."""

    radii: list[float]
    size: Share
    count: Count

    def __post_init__(self) -> None:
        _same(len(self.radii), len(LEVELS))


class KeptClasses(Kept, tag_field="name", tag="classification"):
    """`Classification`."""

    classes: Annotated[list[bool | int | float | str], Meta(max_length=MOST_CLASSES)]
    counts: list[Count]
    score: KeptScore
    whole: bool
    last: Annotated[int, Meta(ge=-1)]

    def __post_init__(self) -> None:
        _same(len(self.classes), len(self.counts))
        _same(len(self.classes), len(set(self.classes)))
        _same(self.score.metric, "accuracy")
        if self.last >= len(self.classes):
            raise ValueError("the class met last is one of the classes")


class KeptNumbers(Kept, tag_field="name", tag="regression"):
    """`Regression`."""

    moments: KeptMoments
    intervals: KeptIntervals
    last: Gap
    covered: tuple[Count, Count]
    score: KeptScore

    def __post_init__(self) -> None:
        _same(self.score.metric, "mean absolute error")


class KeptForecast(Kept, tag_field="name", tag="forecast"):
    """`Forecast`."""

    level: KeptMoments
    increment: KeptMoments
    change: KeptMoments
    shrinkage: dict[str, float]
    past: list[Gap]
    pending: list[tuple[Gap, Gap, Gap, Gap]]
    intervals: KeptIntervals
    covered: tuple[Count, Count]
    score: KeptScore

    def __post_init__(self) -> None:
        _same(self.score.metric, "mean absolute error")
        _same(len(self.past), WINDOW + len(self.pending))
        _same(sorted(self.shrinkage), ["product", "square"])


class KeptEncoder(Kept):
    """`Encoder`."""

    inputs: list[tuple[str, str]]
    moments: dict[str, KeptMoments]

    def __post_init__(self) -> None:
        _same(len(self.inputs), len(set(self.inputs)))


class KeptDurations(Kept):
    """`Durations`."""

    last: Gap
    moments: KeptMoments


class KeptImportance(Kept):
    """`Importance`."""

    means: list[Share]


class KeptOnline(Kept):
    """`ColumnModel`."""

    settings: OnlineSettings
    rows: Count
    kinds: dict[str, ColumnKind]
    encoder: KeptEncoder
    durations: KeptDurations
    importance: KeptImportance
    task: KeptClasses | KeptNumbers | KeptForecast
    inputs: Annotated[int, Meta(ge=1)]
    outputs: Annotated[int, Meta(ge=1)]

    def __post_init__(self) -> None:
        if isinstance(self.task, KeptClasses) and self.outputs < len(self.task.classes):
            raise ValueError("each class has an output")
        if isinstance(self.task, KeptForecast):
            _same(len(self.task.pending), self.settings.horizon or 1)


class KeptTable(Kept):
    """`Run`: where the model stands in its table."""

    target: str
    on_bad_row: Literal["stop", "skip"]
    columns: Annotated[list[str], Meta(min_length=1)]
    position: Count
    digests: list[str]
    digest: str
    kinds: dict[str, ColumnKind]
    commas: list[str] | None
    predictions: str | None
    mark: Count


def read_online(kept: Any, path: Any) -> dict[str, Any]:
    """Returns the description of an online model, every field of its type.

    **Raises:** `CheckpointError` for one with anything amiss.
    """
    return _read(kept, KeptOnline, path)


def read_table(kept: Any, path: Any) -> dict[str, Any]:
    """Returns the description of where a run stands in its table, every field of its type.

    **Raises:** `CheckpointError` for one with anything amiss.
    """
    return _read(kept, KeptTable, path)


def _read(kept: Any, kind: type[Kept], path: Any) -> dict[str, Any]:
    try:
        return msgspec.to_builtins(msgspec.convert(kept, kind))
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {DAMAGED}") from error


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise ValueError(f"{found} where {expected} belongs")
