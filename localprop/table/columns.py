"""What a column holds, and its values as numbers or categories."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from .arrays import floats, keep, mask, matches, per_second, seconds
from .dates import Reading, are_dates, parse, read
from .sentences import are_sentences
from .source import Source

pc: Any = pyarrow.compute  # its functions are made at import, unseen by type checkers

ABSENT = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL")
MARKS = ("None", "none", "?", "-", ".")  # of what is missing too, but in a target of text
TRUE, FALSE = ("true", "yes", "t"), ("false", "no", "f")
NUMBER_GRAMMAR = r"(?i)^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan(?:\(\w*\))?)$"
COMMA_GRAMMAR = r"(?i)^(\s*[+-]?\d*),(\d+(?:e[+-]?\d+)?\s*)$"
THOUSANDS_GRAMMAR = r"^[+-]?[1-9]\d{0,2},\d{3}$"
# Squares of larger numbers could overflow; they count as infinite, hence as missing.
LARGEST = 1e150


class ColumnKind(enum.Enum):
    """What the values of a column are; `UNDECIDED` while all are missing."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXT = "text"
    WORDS = "words"
    UNDECIDED = "undecided"

    @property
    def is_text(self) -> bool:
        """Whether values are texts: categories, or sentences, of which the words count."""
        return self in (ColumnKind.TEXT, ColumnKind.WORDS)


@dataclass(frozen=True)
class Column:
    """The values of one column in some rows.

    **Arguments:**

    - `kind`.
    - `values`: `(rows,)`. For `TEXT` and `WORDS` int32 codes, −1 where the value is missing; else
        float64, NaN where it is missing: numbers (infinities stay), 1 and 0 for true and false,
        seconds since 1970-01-01T00:00Z for times (without a zone they are taken as UTC).
    - `categories`: for these the values that the codes stand for, by first appearance; they are
        text, but for a target whose classes were given as they are.
    """

    kind: ColumnKind
    values: np.ndarray
    categories: list[Any] = field(default_factory=list)

    @cached_property
    def known(self) -> np.ndarray:
        """Where there is a value: not missing, and if a number, not infinite."""
        return self.values >= 0 if self.kind.is_text else is_known(self.values)

    def cut(self, start: int, stop: int | None = None) -> Column:
        """Returns the column in the rows from `start` to before `stop`."""
        if start == 0 and stop is None:
            return self
        values, categories = self.values[start:stop], self.categories
        if self.kind.is_text:
            used, first = np.unique(values[values >= 0], return_index=True)
            order = used[np.argsort(first)]
            renamed = np.full(len(categories) + 1, -1, np.int32)
            renamed[order] = np.arange(len(order), dtype=np.int32)
            values, categories = renamed[values], [categories[k] for k in order]
        return Column(self.kind, values, categories)


def is_known(values: np.ndarray) -> np.ndarray:
    """Returns where there is a value: not missing, not infinite, not so large as to overflow."""
    return np.abs(values) <= LARGEST  # False for NaN


def check_names(names: Sequence[str], source: Source, line: int | None = None) -> tuple[str, ...]:
    """Returns the names, the empty ones named by their place.

    **Raises:** `StreamError` if two are the same.
    """
    full = [name.strip() or f"column{i}" for i, name in enumerate(names, 1)]
    first: dict[str, int] = {}
    for i, name in enumerate(full, 1):
        if name in first:
            problem = (
                f"fields {first[name]} and {i} of the header have one name; rename one of them"
            )
            raise source.error(problem, line=line, column=name)
        first[name] = i
    return tuple(full)


def is_supported(kind: pa.DataType) -> bool:
    """Returns whether a column of this Arrow type can be read."""
    t = pa.types
    if t.is_dictionary(kind):
        return is_supported(kind.value_type)
    tests = (t.is_primitive, t.is_boolean, t.is_decimal, t.is_null, _is_text)
    return any(test(kind) for test in tests) and not t.is_interval(kind)


def plain(array: pa.Array) -> pa.Array:
    """Returns the array as nulls, booleans, timestamps, numbers or strings."""
    t, kind = pa.types, array.type
    if t.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if t.is_date(kind):
        return array.cast(pa.timestamp("ms"))
    if _is_text(kind):
        return array.cast(pa.string())
    if t.is_time(kind) or t.is_duration(kind):
        bits = pa.int32() if t.is_time32(kind) else pa.int64()
        return pc.divide(array.view(bits).cast(pa.float64(), safe=False), per_second(kind.unit))
    return array


def kind_of(array: pa.Array, label: bool = False) -> ColumnKind:
    """Returns the kind that most of the values have; text is read as what it spells.

    **Arguments:** `array`; `label`: whether these are labels: then `-` is one, and so is `yes`.
    """
    if (kind := kind_of_type(array)) is not ColumnKind.TEXT:
        return kind
    array = without_missing(array, marks=not label).drop_null()
    if not len(array):
        return ColumnKind.UNDECIDED
    array = pc.utf8_trim_whitespace(array)
    if _share(pc.match_substring_regex(array, NUMBER_GRAMMAR)) > 0.5:
        return ColumnKind.NUMBER
    words = pc.is_in(pc.ascii_lower(array), pa.array(TRUE + FALSE))
    if not label and _share(words) == 1.0:
        return ColumnKind.BOOLEAN
    if are_dates(array):
        return ColumnKind.TIME
    return ColumnKind.WORDS if not label and are_sentences(array) else ColumnKind.TEXT


def kind_of_type(array: pa.Array) -> ColumnKind:
    """Returns the kind that the type of an array says, as `plain` returns it."""
    t = pa.types
    if array.null_count == len(array):
        return ColumnKind.UNDECIDED
    if t.is_boolean(array.type):
        return ColumnKind.BOOLEAN
    if t.is_timestamp(array.type):
        return ColumnKind.TIME
    return ColumnKind.TEXT if t.is_string(array.type) else ColumnKind.NUMBER


def reading_of(array: pa.Array) -> Reading:
    """Returns how dates such as 03/04/2024 are read, as the values of a column show it."""
    if not pa.types.is_string(array.type):
        return Reading(None)
    return read(pc.utf8_trim_whitespace(without_missing(array)))


def has_decimal_commas(array: pa.Array) -> bool:
    """Returns whether strings hold numbers such as 1,23, and surely not 1,234 for a thousand."""
    if not pa.types.is_string(array.type):
        return False
    array = pc.utf8_trim_whitespace(array.drop_null())
    comma = pc.match_substring_regex(array, COMMA_GRAMMAR)
    thousands = pc.match_substring_regex(array, THOUSANDS_GRAMMAR)
    return bool(pc.any(pc.and_not(comma, thousands)).as_py())


def with_points(array: pa.Array) -> pa.Array:
    """Returns strings with 1.23 for 1,23."""
    return pc.replace_substring_regex(array, COMMA_GRAMMAR, r"\1.\2")


def convert(
    array: pa.Array, kind: ColumnKind, label: bool = False, order: str | None = None
) -> tuple[np.ndarray | pa.Array, np.ndarray]:
    """Returns the values as `kind`, and the rows whose value is not of that kind.

    **Arguments:**

    - `array`: `(rows,)`, of a type that `plain` returns.
    - `kind`: `TEXT` and `WORDS` give an Arrow string array, the others float64.
    - `label`: whether text is a label, of which `-` is one.
    - `order`: of dates such as 03/04/2024, a key of `dates.ORDERS`.
    """
    fine = np.zeros(0, np.int64)
    if kind is ColumnKind.UNDECIDED:
        return np.full(len(array), np.nan), np.flatnonzero(~_missing(array, label))
    if kind.is_text:
        text = array.cast(pa.string())
        if label:
            text = pc.utf8_trim_whitespace(text)
        return without_missing(text, marks=not label), fine
    if pa.types.is_timestamp(array.type):
        return seconds(array), fine
    if not pa.types.is_string(array.type):
        return floats(array), fine
    if kind is ColumnKind.NUMBER:
        # Nearly always all fit, as they are, or without blanks and marks of what is missing; a
        # look at each takes far longer.
        for tidy in (lambda a: a, lambda a: pc.ascii_trim_whitespace(without_missing(a))):
            with suppress(pa.ArrowInvalid):
                return floats(tidy(array)), fine
    array = pc.utf8_trim_whitespace(without_missing(array))
    given = ~_missing(array)
    if kind is ColumnKind.TIME:
        values, fits = parse(array, order)
    else:
        values, fits = _PARSERS[kind](array)
    return values, np.flatnonzero(given & ~fits)


def without_missing(array: pa.Array, marks: bool = True) -> pa.Array:
    """Returns the strings with null for every spelling of a missing value.

    **Arguments:** `array`; `marks`: whether `-`, `.`, `?` and `none` say that too.
    """
    spelled = pa.array(ABSENT + MARKS if marks else ABSENT)
    missing = pc.is_in(pc.utf8_trim_whitespace(array), spelled)
    return pc.if_else(missing, pa.scalar(None, pa.string()), array)


def marks_in(array: pa.Array) -> dict[str, int]:
    """Returns how often each mark of what is missing stands among strings."""
    if not pa.types.is_string(array.type):
        return {}
    found = pc.value_counts(pc.utf8_trim_whitespace(array.drop_null())).to_pylist()
    return {f["values"]: f["counts"] for f in found if f["values"] in MARKS}


def encode_text(array: pa.Array | pa.ChunkedArray, kind: ColumnKind = ColumnKind.TEXT) -> Column:
    """Returns strings as codes of the distinct ones, numbered by first appearance."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    encoded = array.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return Column(kind, codes.astype(np.int32), encoded.dictionary.to_pylist())


def _parse_numbers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    fits = matches(array, NUMBER_GRAMMAR)
    return floats(keep(array, fits)), fits


def _parse_booleans(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    lower = pc.ascii_lower(array)
    true, false = (mask(pc.is_in(lower, pa.array(words))) for words in (TRUE, FALSE))
    return np.where(true, 1.0, np.where(false, 0.0, np.nan)), true | false


_PARSERS = {
    ColumnKind.NUMBER: _parse_numbers,
    ColumnKind.BOOLEAN: _parse_booleans,
}


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    tests = (t.is_string, t.is_large_string, t.is_string_view, t.is_binary, t.is_large_binary)
    return any(test(kind) for test in (*tests, t.is_binary_view, t.is_fixed_size_binary))


def _missing(array: pa.Array, label: bool = False) -> np.ndarray:
    string = pa.types.is_string(array.type)
    text = without_missing(array, marks=not label) if string else array
    return mask(text.is_null())


def _share(array: pa.Array) -> float:
    return pc.mean(array.cast(pa.float64())).as_py()
