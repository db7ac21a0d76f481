"""What a checkpoint of an online model may hold: every field, checked before any is used."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from ..checkpoint import DAMAGED
from ..errors import CheckpointError
from ..table.columns import ColumnKind
from .classification import MOST_CLASSES
from .classification import OWN as OWN_OF_CLASSES
from .curve import POINTS
from .defaults import LONE, NAMES
from .encode import BIN_ROLES, LEVEL_ROLE
from .forecast import AGO, ALONE, ANSWER, most_kept
from .forecast import NAMES as NAMES_OF_FORECASTS
from .interval import LEVELS
from .levels import JUDGED, ROOM
from .levels import MOST as FEW
from .memory import MOST_SEQUENCES
from .regression import OWN as OWN_OF_NUMBERS
from .season import LONGEST
from .settings import OnlineSettings
from .stacking import FAR, KEEP
from .window_layout import BINS, LATEST, MOST

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


Part = Annotated[list[float], Meta(min_length=1, max_length=LATEST)]


class KeptWindow(Kept):
    """`Window`."""

    count: Count
    parts: Annotated[list[Part], Meta(max_length=MOST)]
    new: Annotated[list[float], Meta(max_length=LATEST)]
    fences: tuple[Gap, Gap]
    shift: float
    sums: tuple[Count, float, Share]
    edges: Annotated[list[Gap], Meta(min_length=BINS + 1, max_length=BINS + 1)]
    due: Annotated[int, Meta(ge=1, le=LATEST)]

    def __post_init__(self) -> None:
        for part in (*self.parts, self.new):
            _same(part, sorted(part))
        held = sum(map(len, self.parts))
        _same(self.sums[0], held + len(self.new))
        _same(len(self.new) + self.due <= LATEST, True)
        _same(all(len(a) + len(b) > LATEST for a, b in pairwise(self.parts)), True)
        if held > MOST or self.count < self.sums[0] or (None in self.edges) == (held > 0):
            raise ValueError("a window holds some of the values that were met")
        edges = [edge for edge in self.edges if edge is not None]
        if edges != sorted(edges):
            raise ValueError("edges rise")


class KeptMixture(Kept):
    """`Mixture`."""

    names: Annotated[list[str], Meta(min_length=1, max_length=64)]
    losses: list[Share]
    rows: Share
    squares: list[list[Share]]
    width: Annotated[int, Meta(ge=1, le=1 << 53)]
    curve: Annotated[list[list[float]], Meta(max_length=POINTS)]

    def __post_init__(self) -> None:
        _same(len(self.names), len(self.losses))
        for row in self.squares:
            _same(len(row), len(self.names))
        _check_curve(self.curve, self.width, len(self.names))


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
        _check_curve(self.curve, self.width, 1 + len(self.fools))


class KeptIntervals(Kept):
    """`Intervals`."""

    radii: list[float]
    size: Share
    count: Count

    def __post_init__(self) -> None:
        _same(len(self.radii), len(LEVELS))


class KeptStackedClasses(Kept):
    """`StackedClasses`."""

    weights: list[float]
    square: Share


class KeptStackedNumbers(Kept):
    """`StackedNumbers`: a matrix of products that is bounded, and positive but for rounding."""

    products: list[list[float]]
    moments: list[float]

    def __post_init__(self) -> None:
        for row in self.products:
            _same(len(row), len(self.moments))
        _same(len(self.products), len(self.moments))
        products = np.array(self.products)
        _same(bool(np.abs(products).max() <= 1 + FAR**2 / (1 - KEEP)), True)
        _same(bool(np.linalg.eigvalsh(products).min() > -1e-3), True)


class KeptClasses(Kept, tag_field="name", tag="classification"):
    """`Classification`."""

    classes: Annotated[list[bool | int | float | str], Meta(max_length=MOST_CLASSES)]
    counts: list[Count]
    score: KeptScore
    whole: bool
    last: Annotated[int, Meta(ge=-1)]
    stay: Annotated[float, Meta(ge=0, le=1)]
    mixture: KeptMixture
    stacked: KeptStackedClasses | None

    def __post_init__(self) -> None:
        _same(len(self.classes), len(self.counts))
        if self.stacked is not None:
            _same(len(self.stacked.weights), len(self.mixture.names) - 1)
        _same(len(self.classes), len(set(self.classes)))
        _same(self.score.metric, "accuracy")
        _mixes(self.mixture, [*NAMES, *OWN_OF_CLASSES], alone=self.stacked is None)
        _same(self.mixture.squares, [])
        if self.last >= len(self.classes):
            raise ValueError("the class met last is one of the classes")


class KeptNumbers(Kept, tag_field="name", tag="regression"):
    """`Regression`."""

    moments: KeptMoments
    window: KeptWindow
    intervals: KeptIntervals
    mixture: KeptMixture
    stacked: KeptStackedNumbers | None
    bias: float
    last: Gap
    covered: tuple[Count, Count]
    score: KeptScore

    def __post_init__(self) -> None:
        _same(self.score.metric, "mean absolute error")
        _mixes(self.mixture, [*NAMES, *OWN_OF_NUMBERS], alone=self.stacked is None)
        around = len(self.mixture.names) - len(NAMES) - len(OWN_OF_NUMBERS) + 1
        if self.stacked is not None:
            _same(len(self.stacked.moments), len(NAMES) + 1 + around)
        _same(len(self.mixture.squares), len(self.mixture.names))


class KeptSeasons(Kept):
    """`Seasons`."""

    count: Count
    due: Annotated[int, Meta(ge=1, le=1 << 53)]
    periods: Annotated[list[Annotated[int, Meta(ge=2, le=LONGEST)]], Meta(max_length=2)]
    met: bool

    def __post_init__(self) -> None:
        if self.due <= self.count:
            raise ValueError("seasons are looked for later")


class KeptForecast(Kept, tag_field="name", tag="forecast"):
    """`Forecast`."""

    count: Count
    change: KeptWindow
    seasons: KeptSeasons
    past: list[Gap]
    others: dict[str, Annotated[list[Gap], Meta(min_length=AGO[-1], max_length=AGO[-1])]]
    mixture: KeptMixture
    stacked: KeptStackedNumbers
    pending: list[list[Gap]]
    intervals: KeptIntervals
    covered: tuple[Count, Count]
    score: KeptScore

    def __post_init__(self) -> None:
        _same(self.score.metric, "mean absolute error")
        _same(self.mixture.names, NAMES_OF_FORECASTS)
        _same(len(self.stacked.moments), ALONE)
        _same(len(self.mixture.squares), len(self.mixture.names))
        if len(self.past) > most_kept(len(self.pending)):
            raise ValueError("a forecast keeps a bounded past")
        for row in self.pending:
            _same(len(row), ANSWER + 1)


class KeptLevels(Kept):
    """`Levels`: of each column its values, or how many came and which, sorted."""

    own: dict[str, Annotated[list[float], Meta(max_length=FEW)]]
    watched: dict[str, tuple[Count, Annotated[list[float], Meta(max_length=FEW)]]]

    def __post_init__(self) -> None:
        _same(sum(map(len, self.own.values())) <= ROOM, True)
        _same(set(self.own) & set(self.watched), set())
        for count, values in self.watched.values():
            _same(len(values) <= count < JUDGED, True)
            _same(values, sorted(set(values)))


class KeptEncoder(Kept):
    """`Encoder`."""

    inputs: list[tuple[str, str]]
    windows: dict[str, KeptWindow]
    levels: KeptLevels

    def __post_init__(self) -> None:
        _same(len(self.inputs), len(set(self.inputs)))
        place = {key: k for k, key in enumerate(self.inputs)}
        _same(sorted(self.windows), sorted(name for name, role in place if not role))
        levels = {
            (name, LEVEL_ROLE.format(v)) for name, own in self.levels.own.items() for v in own
        }
        _same(len(levels), sum(map(len, self.levels.own.values())))
        _same(levels - place.keys(), set())
        for name, role in place:
            if role in BIN_ROLES:  # all in their order, of a column that is scaled
                first = place.get((name, ""), -2) + 1
                _same([place.get((name, r), -1) - first for r in BIN_ROLES], list(range(BINS)))
                _same(name in self.windows, True)


class KeptDurations(Kept):
    """`Durations`."""

    last: Gap
    moments: KeptMoments


class KeptImportance(Kept):
    """`Importance`."""

    means: list[Share]


class KeptReview(Kept):
    """`Review`, beside its arrays."""

    count: Count


class KeptMemory(Kept):
    """`Memory`, beside its arrays."""

    rows: Count
    sequences: Annotated[list[str | float | None], Meta(max_length=MOST_SEQUENCES)]

    def __post_init__(self) -> None:
        _same(len(self.sequences), len(set(self.sequences)))


Size = Annotated[int, Meta(ge=1)]


class KeptOnline(Kept):
    """`ColumnModel`."""

    settings: OnlineSettings
    rows: Count
    kinds: dict[str, ColumnKind]
    encoder: KeptEncoder
    durations: KeptDurations
    importance: KeptImportance
    task: KeptClasses | KeptNumbers | KeptForecast
    review: KeptReview
    sizes: tuple[Size, Size, Size]
    restarted: dict[str, Count]
    memory: KeptMemory | None = None

    def __post_init__(self) -> None:
        alone = self.task.mixture.names == [LONE]
        _same(self.settings.bank, not alone)
        _same(self.memory is None, alone or isinstance(self.task, KeptForecast))
        if isinstance(self.task, KeptClasses) and self.sizes[2] < len(self.task.classes):
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
    dates: dict[str, Literal["DMY", "MDY", "YMD"]]
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


def _check_curve(points: list[list[float]], width: int, quantities: int) -> None:
    for point in points:
        _same(len(point), 1 + quantities)
        if not 1 <= point[0] <= width or point[0] % 1:
            raise ValueError("a point of a curve stands for some samples")


def _mixes(mixture: KeptMixture, names: list[str], *, alone: bool) -> None:
    """Checks the names of experts, of which the last one, the neighbours, may be lacking."""
    if alone:
        _same(mixture.names, [LONE])
        return
    _same(mixture.names, names[: len(mixture.names)])
    _same(len(names) - len(mixture.names) in (0, 1), True)


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise ValueError(f"{found} where {expected} belongs")
