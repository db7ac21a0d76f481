"""From the columns of a table to the inputs of a network, as they arrive."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..table.table import Column, ColumnKind
from .levels import Levels
from .moments import CLIP, standardised
from .neighbours import Seen
from .window import BINS, Scales, Window
from .words import ROLE as WORD_ROLE
from .words import bags

CACHED = 1 << 15  # numbers that are worked on at once
OWN_VALUES = 32  # distinct values of a text column that get an input of their own
TEXT_ROOM = 8  # inputs that a text column probably comes to
WORDS_ROOM = 32  # and one of sentences
BUCKETS = 8  # inputs shared by all further values
CYCLES = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.2425 * 86_400.0}
WAVES = {np.sin: "(sin of {})", np.cos: "(cos of {})"}
CYCLE_ROLES = [role.format(cycle) for cycle in CYCLES for role in WAVES.values()]
BIN_ROLES = [f"in bin {k}" for k in range(1, BINS + 1)]
LEVEL_ROLE = "is {!r}"  # of a number that is one of few
LEVEL = 0.5  # what it switches on: where its size says all, this shall not disturb much
MARK = "\x1f"  # in the names of columns that are derived from others, and in no column's own
SCALED = {ColumnKind.NUMBER: BIN_ROLES, ColumnKind.BOOLEAN: [], ColumnKind.TIME: []}


Key = tuple[str, str]  # column, role
Part = tuple[int, Key, np.ndarray]  # first row, key, values


@dataclass(frozen=True)
class Rows:
    """Rows before they are scaled, and how their columns lay then.

    **Fields:** `numbers`: `(T, D)`, of the columns that are scaled, NaN where missing; `fixed`:
    `(T, F)`, inputs that no scale changes; `scales`: `(T, D)`, edges `(T, D, 7)`.
    """

    numbers: np.ndarray
    fixed: np.ndarray
    scales: Scales


class Encoder:
    """Gives every number, category and gap of a table its input.

    A number gives seven inputs: its standardised value, by the mean and deviation of a `Window`,
    within ±5; and how far it fills each of six quantile bins,
    $\\mathrm{clip}((x - e_b)/(e_{b+1} - e_b), 0, 1)$ less its mean (Gorishniy et al., *On
    embeddings for numerical features*, 2022), so that a first layer can bend at every quantile.
    A number of which few values are met (`Levels`) switches on an input for its value as well.
    Booleans and timestamps are standardised; timestamps also give the phases of day, week and year;
    values of text columns switch on an input each, up to 32, and hashed ones beyond; a missing
    value is the mean, and switches on an input that says so. Inputs are added as the stream needs
    them and keep their places.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop.online.encode import Encoder
        >>> from localprop.table.table import Column, ColumnKind
        >>> encoder = Encoder()
        >>> rows = encoder.encode({"a": Column(ColumnKind.BOOLEAN, np.array([0, 1, np.nan]))}, 3)
        >>> encoder.now(rows).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        >>> encoder.inputs
        ['a', 'a is missing']

        ```
    """

    def __init__(self) -> None:
        self.windows: dict[str, Window] = {}  # of the columns that are scaled
        self._places: dict[Key, int] = {}  # -> input
        self._own_values: dict[str, int] = {}  # of the text columns that have had a value
        self._levels = Levels()  # of the columns of numbers

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in order."""
        return [f"{column} {role}".strip() for column, role in self._places]

    @property
    def plain(self) -> list[int]:
        """The inputs that are no bins, in order: all that a linear expert needs."""
        return [k for (_, role), k in self._places.items() if role not in BIN_ROLES]

    @property
    def plain_gains(self) -> np.ndarray:
        """By what plain inputs are to be multiplied so that each speaks at full voice."""
        levels = {(name, LEVEL_ROLE.format(v)) for name, v in self._levels.everywhere}
        places = list(self._places)
        return np.array([1 / LEVEL if places[k] in levels else 1.0 for k in self.plain])

    @property
    def fixed(self) -> int:
        """How many inputs no scale changes."""
        return len(self._fixed_keys())

    def expect(self, kinds: Mapping[str, ColumnKind]) -> int:
        """Gives numbers, booleans and times their inputs ahead; returns with how many to begin.

        Hence a network can begin with random weights for all of them, for a few values of each
        text column, whose inputs follow as they appear, and for a number in each column that
        nothing is known of.

        **Arguments:** `kinds`: of the columns as the first row alone shows them.
        """
        for name, kind in kinds.items():
            if kind in SCALED:
                self._scaled(name)
                for role in ("", *SCALED[kind], *(CYCLE_ROLES if kind is ColumnKind.TIME else ())):
                    self._places.setdefault((name, role), len(self._places))
        room = {ColumnKind.TEXT: TEXT_ROOM, ColumnKind.WORDS: WORDS_ROOM}
        room[ColumnKind.UNDECIDED] = 1 + BINS
        return len(self._places) + sum(room.get(kind, 0) for kind in kinds.values())

    def encode(self, columns: Mapping[str, Column], rows: int) -> Rows:
        """Takes a piece of the table in and returns its rows, to be scaled by `now` or `again`."""
        found, scaled = [*self._levels_of(columns)], {}
        for name, column in columns.items():
            found += self._parts(name, column)
            if name in self.windows:
                values = np.where(column.known, column.values, np.nan)
                scaled[name] = self.windows[name].update(values)[1], values
        # By first use, so that places do not depend on how the stream is cut into pieces.
        for _, key, _ in sorted(found, key=lambda part: part[0]):
            self._places.setdefault(key, len(self._places))
        nothing = np.full(rows, np.nan)
        known = [scaled.get(name, (_unscaled(rows), nothing)) for name in self._numbers()]
        at = {key: k for k, key in enumerate(self._fixed_keys())}
        fixed = np.zeros((rows, len(at)))
        for _, key, values in found:
            if key in at:
                fixed[:, at[key]] += values
        return Rows(
            np.stack([v for _, v in known], axis=1) if known else np.zeros((rows, 0)),
            fixed,
            _stacked([scales for scales, _ in known], rows),
        )

    def now(self, rows: Rows) -> np.ndarray:
        """Returns the inputs of rows by their own scales, `(T, inputs)`."""
        return self.again(rows.numbers[:, None], rows.fixed[:, None], rows.scales)[:, 0]

    def again(self, numbers: np.ndarray, fixed: np.ndarray, scales: Scales) -> np.ndarray:
        """Returns the inputs of rows by the scales of others, `(T, S, inputs)`.

        **Arguments:** `numbers`, `fixed`: `(T, S, D)`, `(T, S, F)`, S rows for each; `scales`: of
        T rows. Columns and inputs that came later may be lacking at the end.
        """
        u = np.zeros((*numbers.shape[:2], len(self._places)), np.float32)
        keys = self._fixed_keys()[: fixed.shape[2]]
        u[:, :, [self._places[key] for key in keys]] = fixed
        names = self._numbers()[: numbers.shape[2]]
        place = np.array([self._places[name, ""] for name in names], int)
        binned = np.array([(name, BIN_ROLES[0]) in self._places for name in names], bool)
        # So many rows at a time that what comes between stays in the processor's cache.
        some = max(1, CACHED // max(1, numbers.shape[1] * len(names) * BINS))
        for start in range(0, len(u), some):
            here = slice(start, start + some)
            x, mean = numbers[here], scales.mean[here, None, : len(names)]
            deviation = scales.deviation[here, None, : len(names)]
            u[here][:, :, place] = standardised(x, mean, deviation, CLIP)
            for columns in _neighbours(place, binned):
                edges = scales.edges[here, None, columns]
                first = place[columns][0]
                bins = u[here, :, first : first + (1 + BINS) * (columns.stop - columns.start)]
                bins = bins.reshape(*bins.shape[:2], -1, 1 + BINS)
                bins[..., 1:] = _filled(x[:, :, columns], edges)
        return u

    def look(
        self, columns: Mapping[str, Column], rows: int, width: int, plain_width: int
    ) -> tuple[np.ndarray, np.ndarray, Scales]:
        """Returns the inputs of each row as if it were the next one, the plain ones, and scales.

        Nothing is taken in, and no row changes the inputs of another. What would get a new input
        by and by gets it here in each row by itself, as long as there are so many; there are more
        where inputs that are known were never but 0, so that no network has room for them.
        """
        scales = {
            name: self.windows.get(name, Window()).look(column.values)
            for name, column in columns.items()
            if not column.kind.is_text
        }
        known, plain = len(self._places), self.plain
        u = np.zeros((rows, max(width, known)), np.float32)
        lone = np.zeros((rows, max(plain_width, len(plain))), np.float32)
        # The next free input, row by row.
        new, new_plain = np.full(rows, known), np.full(rows, len(plain))
        for name, column in columns.items():
            for key, active, values in self._glances(name, column, scales.get(name)):
                if key in self._places:
                    u[:, self._places[key]] += values
                    continue
                _put(u, new, active, values)
                if key[1] not in BIN_ROLES:
                    _put(lone, new_plain, active, values)
        lone[:, : len(plain)] = u[:, plain]
        of_numbers = [scales.get(name, _unscaled(rows)) for name in self._numbers()]
        return u, lone, _stacked(of_numbers, rows)

    def seen(self, u: np.ndarray, scales: Scales) -> Seen:
        """Returns rows as they are compared with others.

        **Arguments:** `u`: their inputs, `(T, …)`, those without a place yet at the end; `scales`.
        """
        numbers = [self._places[name, ""] for name in self._numbers()]
        fixed = [self._places[key] for key in self._fixed_keys()]
        fixed += range(len(self._places), u.shape[1])
        return Seen(u[:, numbers], u[:, fixed], scales.mean, scales.deviation)

    @property
    def columns(self) -> list[str]:
        """The column that each input belongs to, in order."""
        return [column for column, _ in self._places]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        windows = {name: self.windows[name].state() for name in self._numbers()}
        levels = self._levels.state()
        return {"inputs": list(self._places), "windows": windows, "levels": levels}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Encoder:
        """Returns the encoder whose `state` this was."""
        encoder = cls()
        for k, (column, role) in enumerate(state["inputs"]):
            encoder._places[column, role] = k
            encoder._count(column, role)
        encoder._levels = Levels(state["levels"])
        encoder.windows = {name: Window(w) for name, w in state["windows"].items()}
        return encoder

    def _scaled(self, name: str) -> Window:
        return self.windows.setdefault(name, Window())

    def _numbers(self) -> list[str]:
        """Returns the columns that are scaled, by first use."""
        return [column for column, role in self._places if not role]

    def _fixed_keys(self) -> list[Key]:
        return [key for key in self._places if key[1] and key[1] not in BIN_ROLES]

    def _begun(self, name: str) -> bool:
        return name in self._own_values or (name in self.windows and self.windows[name].count > 0)

    def _parts(self, name: str, column: Column) -> Iterator[Part]:
        """Yields the inputs that this column has in this piece, without values if they scale."""
        known = column.known
        begun = self._begun(name)
        if not begun and not known.any():
            return  # all missing so far: nothing to say, not even that it is missing
        first = 0 if begun else int(np.argmax(known))
        if column.kind is ColumnKind.WORDS:
            self._own_values.setdefault(name, 0)
            yield from ((first, key, u) for key, u in _words(name, column))
        elif column.kind is ColumnKind.TEXT:
            yield from self._categories(name, column)
        else:
            self._scaled(name)
            for role in ("", *SCALED.get(column.kind, [])):
                yield first, (name, role), known
            if column.kind is ColumnKind.TIME:
                for role, wave in _waves(column.values, known):
                    yield first, (name, role), wave
        missing = ~known
        missing[:first] = False
        if missing.any():
            yield int(np.argmax(missing)), (name, "is missing"), missing.astype(float)

    def _levels_of(self, columns: Mapping[str, Column]) -> Iterator[Part]:
        """Yields the inputs of numbers that are one of few, new ones from the row after."""
        numbers = {
            name: np.where(column.known, column.values, np.nan)
            for name, column in columns.items()
            if column.kind is ColumnKind.NUMBER and MARK not in name
        }
        since = {(name, value): row + 1 for row, name, value in self._levels.learn(numbers)}
        known = [key for key in self._levels.everywhere if key[0] in numbers and key not in since]
        for (name, value), first in {**dict.fromkeys(known, 0), **since}.items():
            here = numbers[name] == value
            here[:first] = False
            yield first, (name, LEVEL_ROLE.format(value)), LEVEL * here

    def _categories(self, name: str, column: Column) -> Iterator[Part]:
        self._own_values.setdefault(name, 0)
        for code, value in enumerate(column.categories):
            here = column.values == code
            yield int(np.argmax(here)), (name, self._role(name, value)), here.astype(float)

    def _glances(
        self, name: str, column: Column, scales: Scales | None
    ) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yields key, rows in which it is met, and values of what `encode` would give them."""
        known = column.known
        begun = self._begun(name)
        if column.kind is ColumnKind.WORDS:
            yield from ((key, known | begun, u) for key, u in _words(name, column))
        elif column.kind is ColumnKind.TEXT:
            for code, value in enumerate(column.categories):
                here = column.values == code
                yield (name, self._role_of(name, value)), here, here.astype(float)
        else:
            assert scales is not None  # which every column has that is no text
            values = column.values
            met = known | begun
            yield (name, ""), met, standardised(values, scales.mean, scales.deviation, CLIP)
            if SCALED.get(column.kind):
                filled = _filled(values[:, None], scales.edges[:, None])[:, 0]
                for role, share in zip(BIN_ROLES, filled.T, strict=True):
                    yield (name, role), met, share
            if column.kind is ColumnKind.TIME:
                for role, wave in _waves(values, known):
                    yield (name, role), met, wave
            for level in self._levels.own.get(name, ()):
                here = values == level
                yield (name, LEVEL_ROLE.format(level)), here, LEVEL * here
        if begun:
            yield (name, "is missing"), ~known, (~known).astype(float)

    def _role(self, column: str, value: str) -> str:
        role = self._role_of(column, value)
        if (column, role) not in self._places:
            self._count(column, role)
        return role

    def _role_of(self, column: str, value: str) -> str:
        own = f"= {value}"
        if (column, own) in self._places or self._own_values.get(column, 0) < OWN_VALUES:
            return own
        return f"in bucket {zlib.crc32(value.encode()) % BUCKETS}"

    def _count(self, column: str, role: str) -> None:
        if role.startswith(WORD_ROLE.format("")):
            self._own_values.setdefault(column, 0)
        elif role.startswith("= "):
            self._own_values[column] = self._own_values.get(column, 0) + 1


def _put(table: np.ndarray, place: np.ndarray, active: np.ndarray, values: np.ndarray) -> None:
    """Puts a value into each active row, at its place if it has one, and moves the place on."""
    here = np.flatnonzero(active & (place < table.shape[1]))
    table[here, place[here]] = values[here]
    place += active


def _words(name: str, column: Column) -> Iterator[tuple[Key, np.ndarray]]:
    """Yields key and values of every bucket: nearly all of them are met within a few rows."""
    for bucket, values in enumerate(bags(column).T):
        yield (name, WORD_ROLE.format(bucket)), values


def _waves(seconds: np.ndarray, known: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the phases of day, week and year, 0 where the time is missing."""
    seconds = np.where(known, seconds, 0.0)
    for cycle, length in CYCLES.items():
        angle = 2 * np.pi * np.mod(seconds, length) / length
        for wave, role in WAVES.items():
            yield role.format(cycle), np.where(known, wave(angle), 0.0)


def _neighbours(place: np.ndarray, binned: np.ndarray) -> Iterator[slice]:
    """Yields runs of columns with bins whose inputs follow one another without a gap.

    **Arguments:** `place`: of each column's standardised value, which its bins follow; `binned`.
    """
    start = 0
    for k in range(1, len(place) + 1):
        if k < len(place) and binned[k - 1 : k + 1].all() and place[k] == place[k - 1] + 1 + BINS:
            continue
        if binned[start]:
            yield slice(start, k)
        start = k


def _filled(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns how far values fill the bins, less the mean if all bins hold equally many.

    **Arguments:** `values`: `(…,)`, NaN where missing, which fills nothing; `edges`: `(…, 7)`.
    """
    width = np.diff(edges)
    real = width >= np.finfo(float).tiny  # whose reciprocal is finite
    bins = real.sum(axis=-1, keepdims=True)
    mean = np.where(real, (bins - np.arange(0.5, BINS)) / np.maximum(bins, 1), 0.0)
    slope = np.where(real, 1 / np.where(real, width, 1.0), 0.0)
    low = np.where(real, edges[..., :-1], 0.0)
    missing = ~np.isfinite(values)
    share = np.where(missing, 0.0, values)[..., None] - low
    with np.errstate(over="ignore"):  # a quotient too large to represent is clipped anyway
        share *= slope
    np.clip(share, 0.0, 1.0, out=share)
    share -= mean
    if missing.any():
        share[missing] = 0.0
    return share


def _unscaled(rows: int) -> Scales:
    nothing, none = np.zeros(rows), np.full((rows, BINS + 1), np.nan)
    return Scales(nothing, nothing, none, none[:, 0])


def _stacked(scales: list[Scales], rows: int) -> Scales:
    if not scales:
        nothing, none = np.zeros((rows, 0)), np.zeros((rows, 0, BINS + 1))
        return Scales(nothing, nothing, none, nothing)
    names = [field.name for field in fields(Scales)]
    return Scales(*(np.stack([getattr(s, name) for s in scales], axis=1) for name in names))
