"""From blocks of text to rows of values: every row fits the kinds of its columns, or is out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from .block import SKIP, BadRow, Block
from .columns import (
    Column,
    ColumnKind,
    convert,
    encode_text,
    has_decimal_commas,
    kind_of,
    reading_of,
    with_points,
)
from .dates import ORDERS

SO_FAR = {
    ColumnKind.NUMBER: "that was numeric so far",
    ColumnKind.BOOLEAN: "of true and false so far",
    ColumnKind.TIME: "of dates and times so far",
}


@dataclass(frozen=True)
class Rows:
    """Good rows: per column float64 values or Arrow strings, and the bad rows before each row."""

    values: list[np.ndarray | pa.Array]
    lines: np.ndarray
    skipped: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(v.nbytes for v in self.values)

    def cut(self, start: int, stop: int | None = None) -> Rows:
        """Returns the rows from `start` to before `stop`."""
        values = [v[start:stop] for v in self.values]
        return Rows(values, self.lines[start:stop], self.skipped[start:stop])


class Conversion:
    """Converts blocks, in order.

    **Arguments:**

    - `names`, `kinds`: of the columns. One that is `UNDECIDED` gets the kind of its first value.
    - `skip`: leave bad rows out, instead of stopping at the first.
    - `commas`: per column, whether 1,23 is a number there; `None` where it is nowhere.
    - `label`: the column whose text is labels, if any.
    - `orders`: per column, how dates such as 03/04/2024 are read; `None` where nobody knows.
    """

    def __init__(
        self,
        names: Sequence[str],
        kinds: Iterable[ColumnKind],
        skip: bool,
        commas: Sequence[bool] | None = None,
        label: str | None = None,
        orders: Sequence[str | None] | None = None,
    ):
        self.names, self.skip = tuple(names), skip
        self.rows = self.skipped = 0
        self.first_bad: BadRow | None = None
        self._kinds = list(kinds)
        self._may_have_commas = commas is not None
        self._commas = [False] * len(self._kinds) if commas is None else list(commas)
        self._orders: list[str | None] = list(orders or [None] * len(self._kinds))
        self._since = [-1] * len(self._kinds)  # the row that decided each kind
        self._labels = [name == label for name in self.names]

    @property
    def commas(self) -> tuple[bool, ...]:
        """Per column, whether 1,23 is a number there."""
        return tuple(self._commas)

    @property
    def orders(self) -> tuple[str | None, ...]:
        """Per column, how dates such as 03/04/2024 are read, as far as that is decided."""
        return tuple(self._orders)

    def kind(self, column: int, rows: int) -> ColumnKind:
        """Returns the kind of a column as the first `rows` rows show it."""
        return self._kinds[column] if self._since[column] < rows else ColumnKind.UNDECIDED

    def column(self, i: int, array: pa.Array) -> Column:
        """Returns some values of a column as its kind, missing where they do not fit."""
        return joined([self._converted(i, array)[0]], self._kinds[i])

    def pass_by(self, block: Block) -> bool:
        """Counts rows that were converted in an earlier run; `False` if they need another look."""
        if self.skip or block.bad or ColumnKind.UNDECIDED in self._kinds:
            return False
        self.rows += len(block.lines)
        return True

    def convert(self, block: Block) -> tuple[Rows, BadRow | None]:
        """Returns the good rows, and the bad one at which the stream stops after them."""
        values: list[Any] = []
        misfits: dict[int, int] = {}  # row of the block -> column
        undecided: dict[int, np.ndarray] = {}  # column -> rows that have a value
        for i, (array, kind) in enumerate(zip(block.arrays, self._kinds, strict=True)):
            converted, wrong = self._converted(i, array)
            values.append(converted)
            if kind is not ColumnKind.UNDECIDED:
                misfits = dict.fromkeys(wrong.tolist(), i) | misfits
            elif len(wrong):
                undecided[i] = wrong
        self._decide(block, values, misfits, undecided)

        good = np.ones(len(block.lines), bool)
        good[list(misfits)] = False
        bad = self._first(block, misfits)
        self.first_bad = self.first_bad or bad
        stop = None if self.skip else bad
        if stop:
            good[stop.before :] = False
        places = np.sort(np.r_[[b.line for b in block.bad], block.lines[list(misfits)]])
        lines = block.lines[good]
        skipped = self.skipped + np.searchsorted(places, lines)
        self.skipped += len(places)
        self.rows += len(lines)
        if not good.all():
            values = [v.filter(pa.array(good)) if _is_text(v) else v[good] for v in values]
        return Rows(values, lines, skipped), stop

    def _decide(
        self,
        block: Block,
        values: list[Any],
        misfits: dict[int, int],
        undecided: dict[int, np.ndarray],
    ) -> None:
        """Decides kinds by the first value in a good row, in the order of the rows."""
        while undecided:
            firsts = []
            for i, given in undecided.items():
                fits = given[~np.isin(given, list(misfits))]
                firsts += [(int(fits[0]), i)] if len(fits) else []
            if not firsts:
                return
            row, i = min(firsts)
            del undecided[i]
            value = block.arrays[i].slice(row, 1)
            self._commas[i] = self._may_have_commas and has_decimal_commas(value)
            self._kinds[i] = kind_of(self._spelled(i, value), self._labels[i])
            if self._kinds[i] is ColumnKind.TIME:
                self._orders[i] = reading_of(value).order
            self._since[i] = self.rows + row - sum(r < row for r in misfits)
            values[i], wrong = self._converted(i, block.arrays[i])
            for r in wrong.tolist():
                misfits.setdefault(r, i)

    def _converted(self, i: int, array: pa.Array) -> tuple[np.ndarray | pa.Array, np.ndarray]:
        kind, label, order = self._kinds[i], self._labels[i], self._orders[i]
        return convert(self._spelled(i, array), kind, label, order)

    def _spelled(self, i: int, array: pa.Array) -> pa.Array:
        return with_points(array) if self._commas[i] else array

    def _first(self, block: Block, misfits: dict[int, int]) -> BadRow | None:
        """Returns the first bad row of the block."""
        bad = block.bad[:1]
        if misfits:
            row = min(misfits)
            bad.append(self._misfit(block, row, misfits[row]))
        return min(bad, key=lambda b: b.line, default=None)

    def _misfit(self, block: Block, row: int, column: int) -> BadRow:
        value, name = block.arrays[column][row].as_py(), self.names[column]
        shown = value if len(value) <= 40 else value[:37] + "..."
        what = "number" if kind_of(pa.array([value])) is ColumnKind.NUMBER else "text"
        problem = f"{what} {shown!r} in a column {SO_FAR[self._kinds[column]]}"
        order = self._orders[column] if self._kinds[column] is ColumnKind.TIME else None
        problem += f" (read as {ORDERS[order]})" if order else ""
        problem += f"; {SKIP}, or read the column as text (--text {name})"
        other = reading_of(block.arrays[column].slice(row, 1)).order
        if self._kinds[column] is ColumnKind.TIME and other is not None:
            problem += f", or say how its dates are written (--types {name}=time:{other})"
        return BadRow(row, int(block.lines[row]), problem, name)


def joined(values: list[Any], kind: ColumnKind) -> Column:
    """Returns a column from its parts."""
    if kind.is_text:
        # Before its first value the column was not known to be text.
        text = [v if _is_text(v) else pa.nulls(len(v), pa.string()) for v in values]
        return encode_text(pa.chunked_array(text), kind)
    # Or it becomes text after these rows.
    numbers = [np.full(len(v), np.nan) if _is_text(v) else v for v in values]
    return Column(kind, np.concatenate(numbers))


def _is_text(values: Any) -> bool:
    return not isinstance(values, np.ndarray)
