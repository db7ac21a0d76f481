"""A table as a stream: pieces of exactly so many rows, in constant memory."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ..errors import ConfigError, StreamError
from .block import BadRow, Block
from .columns import (
    Column,
    ColumnKind,
    has_decimal_commas,
    kind_of,
    reading_of,
    with_points,
)
from .conversion import Conversion, Rows, joined
from .dates import Reading
from .delimited import Delimited
from .digest import DIGESTED, Identity
from .parquet import Parquet
from .remarks import on_dates, on_label, on_text, on_words
from .source import Source
from .stop import Stop

__all__ = ["Column", "ColumnKind", "Piece", "Table"]

pc: Any = pyarrow.compute
LOOK, LOOK_AT_PIPE = 1000, 50  # rows by which the kinds of the columns are decided
LOOK_BYTES = 1 << 26  # of text, by which kinds are decided at the latest
PIECE_BYTES = 1 << 26  # of values, at which a piece is given out before it has all its rows


@dataclass(frozen=True)
class Shown:
    """What the rows of a table have shown up to one of them.

    **Arguments:**

    - `kinds`: of the columns, by name.
    - `commas`: the columns in which 1,23 is a number.
    - `dates`: how dates such as 03/04/2024 are read, by column.
    - `first_digests`: of the first row, of the first two, and so on, 10 at most.
    - `digest`: of all rows.
    """

    kinds: dict[str, ColumnKind]
    commas: list[str]
    dates: dict[str, str]
    first_digests: list[str]
    digest: str


@dataclass(frozen=True)
class Piece:
    """Some consecutive good rows of a table.

    **Arguments:**

    - `row`: number of the first, from 0, among the good rows.
    - `lines`: `(rows,)`, int64: where each stands. Line of a CSV file (the header is line 1), row
        of a Parquet file, from 1.
    - `columns`: by name, in the order of the table.
    - `shown`: what the table has shown up to here.
    """

    row: int
    lines: np.ndarray
    columns: dict[str, Column]
    shown: Shown


class Table:
    """A CSV or Parquet file, or CSV on standard input, read once, piece by piece.

    Plain, gzip and zstd files are told apart by their first bytes. The kind of a column is that of
    most of its values in the first 1000 rows, whatever the size of the pieces (1,23 is a number
    where commas separate no fields, unless each could be 1,234 for a thousand); a column that is
    missing throughout them is of the kind of its first value. A row that does not fit (text among
    numbers, too few fields, bytes that are not UTF-8) stops the stream or is left out whole.

    **Arguments:**

    - `source`: a path, or `-` for standard input.
    - `on_bad_row`: `"stop"` or `"skip"`.
    - `types`: kinds of columns, whatever they hold: those that were decided before, or given.
    - `commas`: columns of which it was decided before that 1,23 is a number there;
        `None` to decide it.
    - `dates`: how dates such as 03/04/2024 are read in columns of times, `DMY`, `MDY` or `YMD`:
        decided before, or given; the others are decided.
    - `decide_after`: rows by which the other kinds are decided.
    - `required`: columns that must be there.
    - `label`: a column of classes: where it is text, `-`, `.`, `?` and `none` are classes, and only
        an empty field, NA, NaN and null are missing.
    - `may_grow`: whether the source is read again later: then a last line of a file that has no
        end is left, as it may be half a row.
    - `limit`: most rows that will be asked for: of a pipe no more are waited for.
    - `stop`: asked to, a pipe ends where nothing more has come.
    - `digested`: whether the table is to be known again by the digests of its rows.

    **Raises:** `StreamError`, here and from every method, for what cannot be read: with the line,
    the column and a remedy. `ConfigError` for options without sense.

    !!! example

        ```python
        >>> import pathlib, tempfile
        >>> from localprop.table.table import Table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.csv")
        ...     _ = path.write_text("x,colour\\n1,red\\n,blue\\n3,red\\n")
        ...     with Table(path) as table:
        ...         for piece in table.pieces(2):
        ...             x, colour = piece.columns["x"], piece.columns["colour"]
        ...             piece.row, x.values.tolist(), colour.values.tolist(), colour.categories
        (0, [1.0, nan], [0, 1], ['red', 'blue'])
        (2, [3.0], [0], ['red'])

        ```
    """

    def __init__(
        self,
        source: str | Path,
        *,
        on_bad_row: Literal["stop", "skip"] | str = "stop",
        types: Mapping[str, ColumnKind] | None = None,
        commas: Sequence[str] | None = None,
        dates: Mapping[str, str] | None = None,
        decide_after: int | None = None,
        required: Sequence[str] = (),
        label: str | None = None,
        may_grow: bool = False,
        limit: int | None = None,
        stop: Stop | None = None,
        digested: bool = True,
    ):
        if on_bad_row not in ("stop", "skip"):
            raise ConfigError(f"on_bad_row is '{on_bad_row}'; give 'stop' or 'skip'")
        self.source, self.on_bad_row = source, on_bad_row
        self.types, self.required = dict(types or {}), tuple(required)
        self._known_commas, self._decide_after, self._limit = commas, decide_after, limit
        self.known_dates = dict(dates or {})
        self._readings: dict[str, Reading] = {}  # of dates, by the first rows
        self._label, self._may_grow = label, may_grow
        self.skipped_rows, self._stop = 0, stop
        self._source: Source | None = None
        self._reader: Delimited | Parquet | None = None
        self._conversion: Conversion | None = None
        self._looked: list[Block] = []  # read before the first row was asked for
        self._reading: Iterator[Block] | None = None
        self._identity = Identity(kept=digested)
        self._failure: StreamError | None = None
        self._ended = False
        self.wait: Callable[[int], None] | None = None  # told how many rows are waited for
        # The first rows of each column, by which kinds are decided.
        self._first: list[pa.Array] = []
        self._delivered, self._taken = 0, False

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        if self._reader is not None:
            self._reader.close()
        if self._source is not None:
            self._source.close()

    @property
    def name(self) -> str:
        """Of the source, as errors say it."""
        return "standard input" if str(self.source) == "-" else str(self.source)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names from the header."""
        return self._open().names

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """The kind of each column, as far as the rows delivered show it."""
        conversion = self._look()
        return {name: conversion.kind(i, self._delivered) for i, name in enumerate(self.columns)}

    def first(self, name: str) -> Column:
        """Returns a column's values in the first rows, good and bad, whatever is delivered."""
        i = self.columns.index(name)
        return self._look().column(i, self._first[i])

    def remarks(self) -> list[str]:
        """Returns a line for each column that perhaps was not meant to be read as it is."""
        lines = []
        for i, (name, kind) in enumerate(self.kinds.items()):
            if name == self._label:
                lines += on_label(name, kind, self._first[i])
            if kind is ColumnKind.TEXT and name not in self.types:
                lines += on_text(name, self._first[i])
            if kind is ColumnKind.WORDS and name not in self.types:
                lines += on_words(name, self._first[i])
            if name in self._readings:
                lines += on_dates(name, self._readings[name])
        return lines

    def digests(self, rows: int = DIGESTED, like: Sequence[str] = ()) -> list[str]:
        """Returns the digests of the first row, of the first two, and so on.

        A table that has grown since has the same ones.

        **Arguments:** `rows`: at most so many; `like`: stop at the first that differs from these,
        so that a live pipe is waited for no longer than it takes to tell it from another.
        """
        reader = self._open()
        first = self._identity.first
        while len(first) < rows:
            pairs = zip(first, like, strict=False)
            if any(a != b for a, b in pairs) or not self._look_on(reader):
                break
        return first[:rows]

    def digest(self) -> str:
        """Returns the digest of all rows up to the last one delivered."""
        return self._identity.value()

    @property
    def unfinished(self) -> bool:
        """Whether a last line without an end was left."""
        return getattr(self._reader, "unfinished", False)

    def progress(self) -> float | None:
        """Returns the share of the source that was read, in [0, 1]; nothing for a pipe."""
        return self._open().progress()

    def pieces(
        self, rows: int, start: int = 0, stop: int | None = None, digest: str | None = None
    ) -> Generator[Piece]:
        """Yields pieces of `rows` rows, the last one shorter, and those of very long rows, once.

        Whatever is wrong with a row or with the file is raised when the stream gets there, after
        every whole piece before it.

        **Arguments:** `rows`: at least 1; `start`: good rows to leave out; `stop`: number
        of the good row before which the stream ends, so that nothing after it is waited for;
        `digest` of the rows that are left out, if they are to be the same as before.
        """
        if rows < 1 or start < 0:
            raise ConfigError(f"pieces of {rows} rows from row {start}; give at least 1, from 0")
        if self._taken:
            raise ConfigError("the pieces of this table were taken before; open it again")
        self._taken = True
        conversion = self._look()
        self._delivered = start
        waiting: list[Rows] = []
        ready = 0
        for part in self._rows(conversion, start, digest):
            if stop is not None:
                part = part.cut(0, max(0, stop - self._delivered - ready))
            waiting.append(part)
            ready += len(part.lines)
            while ready >= rows:
                yield self._piece(conversion, _take(waiting, rows))
                ready -= rows
            large = sum(p.nbytes for p in waiting) > PIECE_BYTES
            if ready and (large or self.live):  # each row is answered when it is there
                yield self._piece(conversion, _take(waiting, ready))
                ready = 0
            if stop is not None and self._delivered + ready >= stop:
                break
        if ready:
            yield self._piece(conversion, _take(waiting, ready))
        if stop is None or self._delivered < stop:
            self.skipped_rows = conversion.skipped

    def _open(self) -> Delimited | Parquet:
        if self._reader is None:
            if self._source is None:
                self._source = Source(self.source, self._stop)
            parquet = self._source.is_parquet
            reader = Parquet(self._source) if parquet else self._delimited(self._source)
            for name in self.required:
                if name not in reader.names:
                    raise self._source.error(_absent(name, reader.names))
            self._reader = reader
        return self._reader

    def _delimited(self, source: Source) -> Delimited:
        return Delimited(source, leave_unfinished=self._may_grow and source.may_grow)

    def _look_on(self, reader: Delimited | Parquet) -> bool:
        """Reads one more block to look at; `False` where there is none."""
        if self._reading is None:
            self._reading = self._identity.watch(reader.blocks())
        if self._failure is not None or self._ended:
            return False
        try:
            self._looked.append(next(self._reading))
            return True
        except StopIteration:
            self._ended = True
        except StreamError as error:
            self._failure = error
        return False

    def _look(self) -> Conversion:
        """Decides the kinds by the first rows; these are kept for `pieces`."""
        if self._conversion is not None:
            return self._conversion
        reader = self._open()
        undecided = [name for name in reader.names if name not in self.types]
        needed = self.decide_after if undecided else 1
        if self.live and self.wait and needed > 1:
            self.wait(needed)
        while sum(len(block.lines) for block in self._looked) < needed:
            if not self._look_on(reader):
                break
            needed = min(needed, _rows_within(self._looked, LOOK_BYTES))
        kinds = [self.types.get(name) for name in reader.names]
        self._first, commas = [], [name in (self._known_commas or ()) for name in reader.names]
        # Where fields are not separated by it, a comma may separate decimals.
        allowed = isinstance(reader, Delimited) and reader.delimiter != ","
        for i, kind in enumerate(kinds):
            seen = [block.arrays[i] for block in self._looked] or [pa.nulls(0)]
            first = pa.chunked_array(seen).slice(0, needed).combine_chunks()
            self._first.append(first)
            if allowed and not (kind and kind.is_text) and self._known_commas is None:
                commas[i] = has_decimal_commas(first)
            spelled = with_points(first) if commas[i] else first
            kinds[i] = kind or kind_of(spelled, reader.names[i] == self._label)
            if kinds[i] is ColumnKind.TIME and reader.names[i] not in self.known_dates:
                self._readings[reader.names[i]] = reading_of(first)
        skip = self.on_bad_row == "skip"
        known = [kind for kind in kinds if kind]
        flags = commas if allowed else None
        found = {name: reading.order for name, reading in self._readings.items()}
        orders = [self.known_dates.get(name, found.get(name)) for name in reader.names]
        self._conversion = Conversion(reader.names, known, skip, flags, self._label, orders)
        return self._conversion

    @property
    def decide_after(self) -> int:
        """How many rows are looked at before anything is decided."""
        if not self.live:
            return self._decide_after or LOOK
        rows = self._decide_after or LOOK_AT_PIPE
        return rows if self._limit is None else min(rows, self._limit)

    @property
    def live(self) -> bool:
        """Whether this is a pipe, whose rows may come one by one."""
        self._open()
        assert self._source is not None
        return self._source.live

    @property
    def commas(self) -> list[str]:
        """The columns in which 1,23 is a number."""
        flags = zip(self.columns, self._look().commas, strict=True)
        return [name for name, flag in flags if flag]

    @property
    def dates(self) -> dict[str, str]:
        """How dates such as 03/04/2024 are read, by column, as far as the rows delivered show."""
        times = [name for name, kind in self.kinds.items() if kind is ColumnKind.TIME]
        orders = dict(zip(self.columns, self._look().orders, strict=True))
        return {name: order for name in times if (order := orders[name]) is not None}

    def _rows(self, conversion: Conversion, start: int, digest: str | None) -> Iterator[Rows]:
        """Yields the good rows from row `start` on."""
        for block in self._blocks():
            first = conversion.rows
            if first + len(block.lines) <= start and conversion.pass_by(block):
                self._identity.deliver(block.lines[-1:])
                part, stop = None, None
            else:
                part, stop = conversion.convert(block)
                self._identity.deliver(part.lines[: max(0, start - first)][-1:])
            if first < start <= conversion.rows and digest not in (None, self.digest()):
                raise self._error(
                    f"its first {start:,} rows are not those that were learned: some were changed, "
                    "added or taken away; give the table as it was, with new rows at its end, or "
                    "learn it afresh, with another checkpoint file"
                )
            if part is not None and conversion.rows > start:
                yield part.cut(max(0, start - first))
            if stop is not None:
                raise self._error(stop.problem, stop)
        if self._source is not None and self._source.stopped:
            return  # whatever more there would have been
        rows, bad = conversion.rows, conversion.first_bad
        if not rows and bad:
            problem = f"none of its {conversion.skipped} rows can be used; the first: {bad.problem}"
            raise self._error(problem, bad)
        if not rows:
            if self.unfinished:
                raise self._error("a header and one line without its end, which is waited for")
            raise self._error("a header and no rows; a table has at least one row")
        if start > rows:
            problem = f"it has {rows} rows and the stream goes on from row {start}; "
            raise self._error(problem + "give the file that was read before")

    def _blocks(self) -> Iterator[Block]:
        """Yields the blocks that were looked at, then the others."""
        while self._looked:
            yield self._looked.pop(0)
        if self._failure is not None:
            raise self._failure
        if not self._ended and self._reading is None:
            self._reading = self._identity.watch(self._open().blocks())
        if not self._ended and self._reading is not None:
            yield from self._reading

    def _piece(self, conversion: Conversion, parts: list[Rows]) -> Piece:
        lines = np.concatenate([part.lines for part in parts])
        self._identity.deliver(lines)
        row, self._delivered = self._delivered, self._delivered + len(lines)
        self.skipped_rows = int(parts[-1].skipped[-1])
        columns = {}
        for i, name in enumerate(self.columns):
            kind = conversion.kind(i, self._delivered)
            columns[name] = joined([part.values[i] for part in parts], kind)
        first = self._identity.first[: min(self._delivered, DIGESTED)]
        shown = Shown(self.kinds, self.commas, self.dates, first, self.digest())
        return Piece(row, lines, columns, shown)

    def _error(self, problem: str, bad: BadRow | None = None) -> StreamError:
        assert self._source is not None
        if bad is None:
            return self._source.error(problem)
        return self._source.error(problem, line=bad.line, column=bad.column)


def _rows_within(blocks: list[Block], size: int) -> int:
    """Returns how many first rows hold so many bytes of text; no bound while all hold less."""
    unbounded = 1 << 62
    if sum(array.nbytes for block in blocks for array in block.arrays) < size:
        return unbounded
    lengths = [
        sum(pc.fill_null(pc.binary_length(a), 0).to_numpy(zero_copy_only=False) for a in texts)
        for block in blocks
        if (texts := [a for a in block.arrays if pa.types.is_string(a.type)])
    ]
    if not lengths:
        return unbounded
    return int(np.searchsorted(np.cumsum(np.concatenate(lengths)), size)) + 1


def _take(waiting: list[Rows], rows: int) -> list[Rows]:
    """Removes `rows` rows from the front of what waits, and returns them."""
    taken = []
    while rows:
        part = waiting.pop(0)
        if len(part.lines) > rows:
            waiting.insert(0, part.cut(rows))
            part = part.cut(0, rows)
        if len(part.lines):
            taken.append(part)
        rows -= len(part.lines)
    return taken


def _absent(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    shown = [f"'{n}'" for n in names[:20]] + (["..."] if len(names) > 20 else [])
    return f"there is no column '{name}'{hint} it has {', '.join(shown)}"
