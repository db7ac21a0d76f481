"""Rows as programs have them: mappings of plain values, dataframes, arrays; as columns."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute

from ..errors import StreamError
from ..table.arrays import seconds as timestamps
from ..table.columns import Column, ColumnKind, encode_text, is_supported, kind_of_type, plain
from ..table.sentences import are_sentences
from .classification import Label

pc: Any = pyarrow.compute
Kinds = Mapping[str, ColumnKind]
NUMERIC = (ColumnKind.NUMBER, ColumnKind.BOOLEAN)


def read_row(x: Mapping[Any, Any], kinds: Kinds) -> dict[str, Column]:
    """Returns one row as columns, each of its known kind, or of the kind of its value.

    **Raises:** `StreamError` for a value that is none, or that does not fit its column.
    """
    if not isinstance(x, Mapping):
        raise StreamError(f"a row is a mapping of columns to values, not {_type(x)}")
    found = {}
    for n, value in x.items():
        name = n if type(n) is str and n in kinds else _sound(str(n))
        found[name] = _from_value(value, name, kinds)
    return found


def read_rows(X: Any, kinds: Kinds) -> dict[str, Column]:
    """Returns rows as columns.

    **Arguments:** `X`: any dataframe that narwhals knows, a two-dimensional array or nested lists
    (their columns are named x0, x1, …), a mapping of columns to arrays, or a sequence of rows;
    `kinds` known so far. What is masked is missing.

    **Raises:** `StreamError` for what is none of these, or does not fit.
    """
    if isinstance(X, Mapping):
        columns = {str(name): _column(values, str(name), kinds) for name, values in X.items()}
    elif isinstance(X, np.ndarray):
        if X.ndim != 2:
            raise StreamError(f"rows are a two-dimensional array, not one of shape {X.shape}")
        columns = {f"x{i}": _column(X[:, i], f"x{i}", kinds) for i in range(X.shape[1])}
    elif isinstance(X, Sequence) and not isinstance(X, str):
        if len(X) == 1 and isinstance(X[0], Mapping):
            return read_row(X[0], kinds)
        rows = [_named(row) for row in X]
        if len({len(row) for row in X if not isinstance(row, Mapping)}) > 1:
            raise StreamError("rows are ragged; give as many values in each, or name them")
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {n: _from_values([row.get(n) for row in rows], n, kinds) for n in names}
    else:
        columns = {name: _column(values, name, kinds) for name, values in frame_columns(X).items()}
    lengths = {name: len(column.values) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise StreamError(f"columns of different lengths: {lengths}")
    return columns


def _named(row: Any) -> dict[str, Any]:
    """Returns a row with names for its values: its own, or x0, x1, …"""
    if isinstance(row, Mapping):
        return {str(name): value for name, value in row.items()}
    if isinstance(row, list | tuple) or (isinstance(row, np.ndarray) and row.ndim == 1):
        return {f"x{i}": value for i, value in enumerate(row)}
    raise StreamError(f"a row is a mapping of columns to values, or a list, not {_type(row)}")


def frame_columns(X: Any) -> dict[str, Any]:
    """Returns the columns of a dataframe as Arrow arrays, or lists where Arrow cannot hold them.

    **Raises:** `StreamError` for what is no dataframe.
    """
    try:
        frame = nw.from_native(X, eager_only=True)
    except TypeError:
        raise StreamError(
            f"rows are a dataframe, a two-dimensional array, or a mapping of columns to arrays; "
            f"not {_type(X)}"
        ) from None
    return {str(series.name): _series(series) for series in frame.iter_columns()}


def _series(series: Any) -> Any:
    try:
        return series.to_arrow()
    except (pa.ArrowException, TypeError, ValueError):
        return series.to_list()


def read_labels(y: Any, classes: bool) -> Column:
    """Returns targets as a column: of numbers, or of classes, each as it was given.

    **Raises:** `StreamError` for a value that cannot be a target.
    """
    values = [_label(value) for value in as_list(y)]
    if classes:
        if strange := next((v for v in values if isinstance(v, float) and math.isinf(v)), None):
            raise StreamError(f"{strange} is no class; leave such rows out")
        index: dict[Label, int] = {}
        codes = [-1 if v is None else index.setdefault(v, len(index)) for v in values]
        return Column(ColumnKind.TEXT, np.array(codes, np.int32), list(index))
    if text := next((v for v in values if isinstance(v, str)), None):
        raise StreamError(f"'{text[:40]}' is no number; say task='classification' for classes")
    found = [math.nan if v is None else _number(v) for v in values]
    return Column(ColumnKind.NUMBER, np.array(found, dtype=float))


def first_label(y: Any) -> Label | None:
    """Returns the first target that is there."""
    return next((v for v in map(_label, as_list(y)) if v is not None), None)


def as_list(y: Any, what: str = "targets") -> list[Any]:
    """Returns a column as a list of plain values; `what` it is, for messages."""
    if isinstance(y, np.ndarray):
        if y.ndim != 1:
            raise StreamError(f"{what} have one dimension, not shape {y.shape}")
        return y.tolist()  # a masked array's has None
    if isinstance(y, list | tuple):
        return list(y)
    if hasattr(y, "to_pylist"):
        return y.to_pylist()
    try:
        return nw.from_native(y, series_only=True).to_list()
    except TypeError:
        raise StreamError(f"{what} are an array, a list or a series, not {_type(y)}") from None


def _label(value: Any) -> Label | None:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bool | int | str):
        return _sound(value) if isinstance(value, str) else value
    if isinstance(value, numbers.Real):
        number = _number(value)
        assert number is not None
        return int(number) if math.isfinite(number) and number == int(number) else number
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    raise StreamError(f"a target is a number, a truth value or text, not {_type(value)}")


def _column(values: Any, name: str, kinds: Kinds) -> Column:
    """Returns an array as a column of its known kind, or of its own; what is masked is missing."""
    if isinstance(values, np.ma.MaskedArray):
        values = _unmasked(values)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _from_arrow(values, name, kinds)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        kind = ColumnKind.BOOLEAN if values.dtype.kind == "b" else ColumnKind.NUMBER
        return _fitted(kind, values.astype(float), values, name, kinds)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return _from_arrow(pa.array(values.astype("datetime64[us]")), name, kinds)
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OUT":
        raise StreamError(f"values of type {values.dtype} cannot be learned", column=name)
    return _from_values(as_list(values, f"the values of column '{name}'"), name, kinds)


def _unmasked(values: Any) -> Any:
    """Returns a masked array as a plain one, or a list, in which what is masked is missing."""
    mask = np.ma.getmaskarray(values)
    if not mask.any():
        return values.data
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    if values.dtype.kind == "M":
        return values.filled(np.datetime64("NaT"))
    return [None if hidden else value for value, hidden in zip(values.data, mask, strict=True)]


def _from_arrow(array: Any, name: str, kinds: Kinds) -> Column:
    if not is_supported(array.type):
        raise StreamError(f"unsupported column type {array.type}", column=name)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    array = plain(array)
    kind = kind_of_type(array)
    known = kinds.get(name, ColumnKind.UNDECIDED)
    if kind is ColumnKind.TEXT and (known.is_text or known is ColumnKind.UNDECIDED):
        return _text(pc.if_else(pc.equal(array, ""), None, array), known)
    if kind is ColumnKind.TEXT or known.is_text:
        return _from_values(array.to_pylist(), name, kinds)
    if kind is ColumnKind.TIME:
        return _fitted(kind, timestamps(array), array, name, kinds)
    numbers = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return _fitted(kind, numbers.astype(float), array, name, kinds)


def _text(array: pa.Array, known: ColumnKind) -> Column:
    """Returns texts as a column; the first one says whether they are sentences."""
    if known is ColumnKind.UNDECIDED:
        first = array.drop_null()[:1]
        known = ColumnKind.WORDS if are_sentences(first) else ColumnKind.TEXT
    return encode_text(array, known)


def _from_value(value: Any, name: str, kinds: Kinds) -> Column:
    """Returns a plain value as a column of one row, without a detour where it is what it was."""
    known = kinds.get(name)
    if type(value) is float and known in NUMERIC:
        return Column(known, np.array([value]))
    if known in NUMERIC and type(value) in (float, int, bool):
        return Column(known, np.array([_number(value)]))
    if known is ColumnKind.TEXT and type(value) is str and value:
        return Column(known, np.zeros(1, np.int32), [_sound(value, name)])
    return _from_values([value], name, kinds)


def _from_values(values: list[Any], name: str, kinds: Kinds) -> Column:
    """Returns plain values as a column."""
    values = [_plain(value, name) for value in values]
    met = {_kind(value) for value in values} - {ColumnKind.UNDECIDED}
    kind = kinds.get(name, ColumnKind.UNDECIDED)
    known = kind
    if kind is ColumnKind.UNDECIDED:
        kind = _common(met)
    if kind.is_text:
        text = [None if v is None else v if isinstance(v, str) else _spelled(v) for v in values]
        return _text(pa.array(text, pa.string()), known)
    found = [math.nan if v is None else _number(v) for v in values]
    if wrong := next((v for v, n in zip(values, found, strict=True) if n is None), None):
        raise StreamError(_misfit(wrong, kind), column=name)
    seen = _common(met)
    return _fitted(seen, np.array(found, dtype=float), values, name, kinds)


def _fitted(kind: ColumnKind, values: np.ndarray, given: Any, name: str, kinds: Kinds) -> Column:
    """Returns values of a kind as a column of its known kind, if that is the same to a network."""
    known = kinds.get(name, ColumnKind.UNDECIDED)
    if known is ColumnKind.UNDECIDED:
        return Column(kind, values)
    if known.is_text:
        return _from_values(list(given), name, kinds)
    same = kind is known or (kind in NUMERIC and known in NUMERIC)
    if not same and not np.isnan(values).all():
        shown = given[int(np.argmax(~np.isnan(values)))]
        raise StreamError(_misfit(shown, known), column=name)
    return Column(known, values)


def _plain(value: Any, name: str) -> Any:
    """Returns the value as `None`, truth value, number, text or time."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is np.ma.masked:
        return None
    if value is None or isinstance(value, bool | int | str | datetime):
        return (_sound(value, name) or None) if isinstance(value, str) else value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, numbers.Real):
        return _number(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if type(value).__name__ == "Decimal":
        return float(value)
    raise StreamError(
        f"a value is a number, a truth value, text, a datetime or None, not {_type(value)}",
        column=name,
    )


def _kind(value: Any) -> ColumnKind:
    if value is None:
        return ColumnKind.UNDECIDED
    if isinstance(value, bool):
        return ColumnKind.BOOLEAN
    if isinstance(value, int | float):
        return ColumnKind.NUMBER
    return ColumnKind.TIME if isinstance(value, datetime) else ColumnKind.TEXT


def _common(met: set[ColumnKind]) -> ColumnKind:
    """Returns the kind of a column in which values of these kinds were met."""
    if ColumnKind.TEXT in met:
        return ColumnKind.TEXT
    if ColumnKind.TIME in met and len(met) > 1:
        return ColumnKind.TEXT
    return next((k for k in (ColumnKind.NUMBER, *met) if k in met), ColumnKind.UNDECIDED)


def _number(value: Any) -> float | None:
    """Returns the value as a number, seconds for times; nothing for text."""
    if isinstance(value, datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
        return zoned.timestamp()
    if isinstance(value, str):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond any float
        return math.inf if value > 0 else -math.inf


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _misfit(value: Any, kind: ColumnKind) -> str:
    return f"{value!r} in a column of {kind.value}s so far; keep to one kind of value per column"


def _type(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _sound(text: str, name: str | None = None) -> str:
    """Returns the text.

    **Raises:** `StreamError` for half a character, which no file could hold.
    """
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError:
        raise StreamError(f"{text!r} is no text that UTF-8 could write", column=name) from None
    return text
