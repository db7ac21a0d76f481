"""From the columns of a table to the inputs of a network, as they arrive."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..table.columns import LARGEST, is_known
from ..table.table import Column, ColumnKind
from .compiled import compiled
from .levels import Levels
from .moments import CLIP
from .neighbours import Seen
from .wide import widened
from .window import Scales, Windows
from .window_layout import BINS
from .words import ROLE as WORD_ROLE
from .words import bags

OWN_VALUES = 32  # distinct values of a text column that get an input of their own
TEXT_ROOM = 8  # inputs that a text column probably comes to
WORDS_ROOM = 32  # and one of sentences
BUCKETS = 8  # inputs shared by all further values
CYCLES = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.2425 * 86_400.0}
WAVES = {np.sin: "(sin of {})", np.cos: "(cos of {})"}
CYCLE_ROLES = [role.format(cycle) for cycle in CYCLES for role in WAVES.values()]
BIN_ROLES = [f"in bin {k}" for k in range(1, BINS + 1)]
MISSING = "is missing"
IS_LEVEL = "equals "
LEVEL_ROLE = IS_LEVEL + "{!r}"  # of a number that is one of few
VOICE = 0.5  # what a level switches on: where its size says all, this shall not disturb much
MARK = "\x1f"  # in the names of columns that are derived from others, and in no column's own
SCALED = {ColumnKind.NUMBER: BIN_ROLES, ColumnKind.BOOLEAN: [], ColumnKind.TIME: []}


Key = tuple[str, str]  # column, role
Part = tuple[int, Key, np.ndarray]  # first row, key, values
Late = tuple[str, np.ndarray, np.ndarray]  # role, rows and values of an input without a place
TINY = float(np.finfo(float).tiny)  # the least width of a bin, whose reciprocal is finite


@dataclass(frozen=True)
class Rows:
    """Rows before they are scaled, and how their columns lay then.

    **Fields:** `numbers`: `(T, D)`, of the columns that are scaled, NaN where missing; `fixed`:
    `(T, F)`, inputs that no scale changes; `scales`: `(T, D)`.
    """

    numbers: np.ndarray
    fixed: np.ndarray
    scales: Scales


class Layout(NamedTuple):
    """Where inputs lie.

    **Fields:** `numbers`: columns that are scaled, by first use, with their numbers; `place`: of
    their standardised values, and `binned`: whether bins follow these, `(D,)`; `fixed`: keys of
    the inputs that no scale changes, with where each stands among these; `at`: their places,
    `(F,)`; `plain`: the inputs that are no bins; `gains`: by which these speak at full voice;
    `kinds`: of columns that have all inputs of a number as soon as one came.
    """

    numbers: dict[str, int]
    place: np.ndarray
    binned: np.ndarray
    fixed: dict[Key, int]
    at: np.ndarray
    plain: list[int]
    gains: np.ndarray
    kinds: Mapping[str, tuple[ColumnKind, ...]]


class Encoder:
    """Gives every number, category and gap of a table its input.

    **Arguments:** `bins`: whether a number gives its place between quantiles, too.

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

    def __init__(self, *, bins: bool = True) -> None:
        self._bins = bins
        self._scaled_roles = {**SCALED, ColumnKind.NUMBER: BIN_ROLES if bins else []}
        self.windows = Windows(edges=bins)  # of the columns that are scaled
        self._places: dict[Key, int] = {}  # -> input
        self._own_values: dict[str, int] = {}  # of the text columns that have had a value
        self.levels = Levels()  # of the columns of numbers
        self._laid_out = 0, _layout({}, bins=bins)  # for how many inputs, and where they lie

    def __len__(self) -> int:
        """Returns how many inputs there are."""
        return len(self._places)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs, in order."""
        return [f"{column} {role}".strip() for column, role in self._places]

    @property
    def plain(self) -> list[int]:
        """The inputs that are no bins, in order: all that a linear expert needs."""
        return self.layout.plain

    @property
    def fixed(self) -> int:
        """How many inputs no scale changes."""
        return len(self.layout.fixed)

    def expect(self, kinds: Mapping[str, ColumnKind]) -> int:
        """Gives numbers, booleans and times their inputs ahead; returns with how many to begin.

        Hence a network can begin with random weights for all of them, for a few values of each
        text column, whose inputs follow as they appear, and for a number in each column that
        nothing is known of.

        **Arguments:** `kinds`: of the columns as the first row alone shows them.
        """
        for name, kind in kinds.items():
            if kind in self._scaled_roles:
                roles = self._scaled_roles[kind]
                for role in ("", *roles, *(CYCLE_ROLES if kind is ColumnKind.TIME else ())):
                    self._places.setdefault((name, role), len(self._places))
        self.windows.grow(len(self.layout.numbers))
        room = {ColumnKind.TEXT: TEXT_ROOM, ColumnKind.WORDS: WORDS_ROOM}
        room[ColumnKind.UNDECIDED] = 1 + len(self._scaled_roles[ColumnKind.NUMBER])
        return len(self._places) + sum(room.get(kind, 0) for kind in kinds.values())

    def encode(self, columns: Mapping[str, Column], rows: int) -> Rows:
        """Takes a piece of the table in and returns its rows, to be scaled by `now` or `again`."""
        found: list[Part] = [*self._levels_of(columns)]
        for name, column in self._not_only_scaled(columns, rows):
            found += self._parts(name, column)
        # By first use, so that places do not depend on how the stream is cut into pieces.
        for _, key, _ in sorted(found, key=lambda part: part[0]):
            self._places.setdefault(key, len(self._places))
        self.windows.grow(len(self.layout.numbers))
        numbers, scales = self._scaled(columns, rows, taken=True)
        return Rows(numbers, self._fixed(found, rows), scales)

    def now(self, rows: Rows) -> np.ndarray:
        """Returns the inputs of rows by their own scales, `(T, inputs)`."""
        return self.again(rows.numbers[:, None], rows.fixed[:, None], rows.scales)[:, 0]

    def again(self, numbers: np.ndarray, fixed: np.ndarray, scales: Scales) -> np.ndarray:
        """Returns the inputs of rows by the scales of others, `(T, S, inputs)`.

        **Arguments:** `numbers`, `fixed`: `(T, S, D)`, `(T, S, F)`, S rows for each; `scales`: of
        T rows. Columns and inputs that came later may be lacking at the end.
        """
        layout = self.layout
        u = np.empty((*numbers.shape[:2], len(self._places)), np.float32)
        given = numbers, np.ascontiguousarray(fixed, np.float32), layout.at
        lying = layout.place, layout.binned, scales.table
        compiled(_scale)(*given, *lying, np.empty((3, BINS)), u)
        return u

    def look(
        self, columns: Mapping[str, Column], rows: int, width: int, plain_width: int
    ) -> tuple[np.ndarray, np.ndarray, Seen]:
        """Returns the inputs of each row as if it were the next one, the plain ones, and the rows.

        Nothing is taken in, and no row changes the inputs of another. What would get a new input
        by and by gets it here in each row by itself. There are at least so many inputs, and more
        where a row brings more than that, or where those that are known were never but 0, so that
        no network has room for them.
        """
        numbers, scales = self._scaled(columns, rows, taken=False)
        found: list[Part] = []
        late: list[Late] = []
        for name, column in self._not_only_scaled(columns, rows):
            for key, active, values in self._glances(name, column):
                if key in self._places:
                    found.append((0, key, values))
                else:
                    late.append((key[1], active, values))
        fixed, plain = self._fixed(found, rows), self.plain
        known = self.now(Rows(numbers, fixed, scales))
        more, more_plain = _most(late), _most([part for part in late if part[0] not in BIN_ROLES])
        u = widened(known, max(width, len(self) + more))
        lone = widened(known[:, plain], max(plain_width, len(plain) + more_plain))
        # The next free input, row by row.
        new, new_plain = np.full(rows, len(self)), np.full(rows, len(plain))
        for role, active, values in late:
            _put(u, new, active, values)
            if role not in BIN_ROLES:
                _put(lone, new_plain, active, values)
        late_fixed = u[:, len(self) :]
        return u, lone, Seen(numbers, np.hstack([fixed, late_fixed]), scales.table)

    def at_full_voice(self, plain: np.ndarray) -> np.ndarray:
        """Returns plain inputs, `(T, …)`, where every level that is met is 1."""
        gains = self.layout.gains[: plain.shape[1]]
        found = plain.copy()
        found[:, : len(gains)] *= gains
        return found

    @property
    def columns(self) -> list[str]:
        """The column that each input belongs to, in order."""
        return [column for column, _ in self._places]

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        windows = {name: self.windows.state(k) for name, k in self.layout.numbers.items()}
        levels = self.levels.state()
        return {"inputs": list(self._places), "windows": windows, "levels": levels}

    @classmethod
    def restore(cls, state: Mapping[str, Any], *, bins: bool = True) -> Encoder:
        """Returns the encoder whose `state` this was."""
        encoder = cls(bins=bins)
        for k, (column, role) in enumerate(state["inputs"]):
            encoder._places[column, role] = k
            encoder._count(column, role)
        encoder.levels = Levels(state["levels"])
        windows = [state["windows"][name] for name in encoder.layout.numbers]
        encoder.windows = Windows(windows, edges=bins)
        return encoder

    @property
    def layout(self) -> Layout:
        """Where inputs lie."""
        known, layout = self._laid_out
        if known != len(self._places):
            layout = _layout(self._places, bins=self._bins)
            self._laid_out = len(self._places), layout
        return layout

    def _scaled(
        self, columns: Mapping[str, Column], rows: int, *, taken: bool
    ) -> tuple[np.ndarray, Scales]:
        """Returns the columns that are scaled side by side, `(T, D)`, and scales with each row."""
        there = [columns.get(name) for name in self.layout.numbers]
        if rows == 1:
            numbers = np.array([[math.nan if c is None else c.values.item() for c in there]])
        else:
            numbers = np.full((rows, len(there)), np.nan)
            for k, column in enumerate(there):
                if column is not None:
                    numbers[:, k] = column.values
        known = is_known(numbers)
        if not known.all():
            numbers[~known] = np.nan
        return numbers, self.windows.update(numbers)[1] if taken else self.windows.look(numbers)

    def _fixed(self, found: list[Part], rows: int) -> np.ndarray:
        """Returns the inputs that no scale changes, `(T, F)`, of all that was found."""
        at = self.layout.fixed
        fixed = np.zeros((rows, len(at)))
        for _, key, values in found:
            if key in at:
                fixed[:, at[key]] += values
        return fixed

    def _not_only_scaled(
        self, columns: Mapping[str, Column], rows: int
    ) -> Iterable[tuple[str, Column]]:
        """Returns the columns but those of one row that have nothing but a number to say."""
        if rows != 1:
            return columns.items()
        kinds, own = self.layout.kinds, self.levels.own
        return [
            (name, column)
            for name, column in columns.items()
            if column.kind not in kinds.get(name, ())
            or own.get(name)
            or not abs(column.values.item()) <= LARGEST
        ]

    def _begun(self, name: str) -> bool:
        k = self.layout.numbers.get(name)
        return name in self._own_values or (k is not None and self.windows.met(k) > 0)

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
            for role in ("", *self._scaled_roles.get(column.kind, [])):
                yield first, (name, role), known
            if column.kind is ColumnKind.TIME:
                for role, wave in _waves(column.values, known):
                    yield first, (name, role), wave
        missing = ~known
        missing[:first] = False
        if missing.any():
            yield int(np.argmax(missing)), (name, MISSING), missing.astype(float)

    def _levels_of(self, columns: Mapping[str, Column]) -> Iterator[Part]:
        """Yields the inputs of numbers that are one of few, new ones from the row after."""
        numbers = {
            name: np.where(column.known, column.values, np.nan)
            for name, column in columns.items()
            if column.kind is ColumnKind.NUMBER and MARK not in name and self.levels.follows(name)
        }
        since = {(name, value): row + 1 for row, name, value in self.levels.learn(numbers)}
        known = [key for key in self.levels.everywhere if key[0] in numbers and key not in since]
        for (name, value), first in {**dict.fromkeys(known, 0), **since}.items():
            here = numbers[name] == value
            here[:first] = False
            yield first, (name, LEVEL_ROLE.format(value)), VOICE * here

    def _categories(self, name: str, column: Column) -> Iterator[Part]:
        self._own_values.setdefault(name, 0)
        for code, value in enumerate(column.categories):
            here = column.values == code
            yield int(np.argmax(here)), (name, self._role(name, value)), here.astype(float)

    def _glances(self, name: str, column: Column) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yields key, rows in which it is met, and values of what `encode` would give them.

        Numbers that have inputs are left to their scales; a first one is its own mean, hence 0.
        """
        known = column.known
        begun = self._begun(name)
        if column.kind is ColumnKind.WORDS:
            yield from ((key, known | begun, u) for key, u in _words(name, column))
        elif column.kind is ColumnKind.TEXT:
            for code, value in enumerate(column.categories):
                here = column.values == code
                yield (name, self.role_of(name, value)), here, here.astype(float)
        else:
            met = known | begun
            if name not in self.layout.numbers:
                for role in ("", *self._scaled_roles.get(column.kind, [])):
                    yield (name, role), met, np.zeros(len(met))
            if column.kind is ColumnKind.TIME:
                for role, wave in _waves(column.values, known):
                    yield (name, role), met, wave
            for level in self.levels.own.get(name, ()):
                here = column.values == level
                yield (name, LEVEL_ROLE.format(level)), here, VOICE * here
        if begun:
            yield (name, MISSING), ~known, (~known).astype(float)

    def _role(self, column: str, value: str) -> str:
        role = self.role_of(column, value)
        if (column, role) not in self._places:
            self._count(column, role)
        return role

    def role_of(self, column: str, value: str) -> str:
        """Returns the role of the input that a value of a text column switches on."""
        own = f"= {value}"
        if (column, own) in self._places or self._own_values.get(column, 0) < OWN_VALUES:
            return own
        return f"in bucket {zlib.crc32(value.encode()) % BUCKETS}"

    def _count(self, column: str, role: str) -> None:
        if role.startswith(WORD_ROLE.format("")):
            self._own_values.setdefault(column, 0)
        elif role.startswith("= "):
            self._own_values[column] = self._own_values.get(column, 0) + 1


def prepare() -> None:
    """Compiles the loop, or reads it from where it was kept, before anything is learned."""
    encoder = Encoder()
    encoder.now(encoder.encode({"": Column(ColumnKind.NUMBER, np.zeros(1))}, 1))


def _most(late: list[Late]) -> int:
    """Returns how many inputs without a place a row has at most."""
    return int(sum((active.astype(int) for _, active, _ in late), np.zeros(1, int)).max(initial=0))


def _put(table: np.ndarray, place: np.ndarray, active: np.ndarray, values: np.ndarray) -> None:
    """Puts a value into each active row, at its place if it has one, and moves the place on."""
    here = np.flatnonzero(active)
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


def _layout(places: Mapping[Key, int], *, bins: bool) -> Layout:
    numbers = [name for name, role in places if not role]
    binned = [(name, BIN_ROLES[0]) in places for name in numbers]
    either = () if bins else (ColumnKind.NUMBER, ColumnKind.BOOLEAN)
    kinds = {
        name: either or ((ColumnKind.NUMBER if own else ColumnKind.BOOLEAN),)
        for name, own in zip(numbers, binned, strict=True)
        if (name, CYCLE_ROLES[0]) not in places
    }
    plain = [key for key in places if key[1] not in BIN_ROLES]
    fixed = [key for key in plain if key[1]]
    return Layout(
        numbers={name: k for k, name in enumerate(numbers)},
        place=np.array([places[name, ""] for name in numbers], np.int64),
        binned=np.array(binned, bool),
        fixed={key: k for k, key in enumerate(fixed)},
        at=np.array([places[key] for key in fixed], np.int64),
        plain=[places[key] for key in plain],
        gains=np.array([1 / VOICE if role.startswith(IS_LEVEL) else 1.0 for _, role in plain]),
        kinds=kinds,
    )


def _scale(
    numbers: Any,
    fixed: Any,
    where: Any,
    place: Any,
    binned: Any,
    scales: Any,
    room: Any,
    u: Any,
) -> None:
    """Writes inputs that no scale changes, standardised numbers, and how far these fill their bins,
    less the mean of that.
    """
    low, slope, middle = room[0], room[1], room[2]  # taken apart at once, they would be no vectors
    for t in range(numbers.shape[0]):
        for s in range(numbers.shape[1]):
            for k in range(u.shape[2]):
                u[t, s, k] = 0
            for f in range(fixed.shape[2]):
                u[t, s, where[f]] = fixed[t, s, f]
        for d in range(numbers.shape[2]):
            at, centre, unit = place[d], scales[t, d, 0], scales[t, d, 1]
            for s in range(numbers.shape[1]):
                x = numbers[t, s, d]
                if unit > 0 and abs(x) <= LARGEST:
                    u[t, s, at] = min(max((x - centre) / unit, -CLIP), CLIP)
            if not binned[d]:
                continue
            edges, real = scales[t, d, 2:], 0
            for b in range(BINS):
                real += edges[b + 1] - edges[b] >= TINY
            for b in range(BINS):
                width = edges[b + 1] - edges[b]
                there = width >= TINY
                low[b] = edges[b] if there else 0.0
                slope[b] = 1 / width if there else 0.0
                middle[b] = (real - (b + 0.5)) / real if there else 0.0
            for s in range(numbers.shape[1]):
                x = numbers[t, s, d]
                if abs(x) < np.inf:
                    for b in range(BINS):
                        share = min(max((x - low[b]) * slope[b], 0.0), 1.0)
                        u[t, s, at + 1 + b] = share - middle[b]
