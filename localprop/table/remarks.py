"""What a person should know of how a column was read, as it may not be what was meant."""

from __future__ import annotations

import pyarrow as pa

from .columns import ColumnKind, marks_in, without_missing
from .dates import ORDERS, Reading

ENOUGH = 10  # values from which on something can be said


def on_text(name: str, first: pa.Array) -> list[str]:
    """Returns a line where nearly all texts differ and most hold digits: spoilt numbers, say."""
    values = without_missing(first.cast(pa.string())).drop_null().to_pylist()
    digits = sum(any(c.isdigit() for c in value) for value in values)
    distinct = len(set(values)) > 0.9 * len(values)
    if len(values) < ENOUGH or not distinct or digits <= 0.5 * len(values):
        return []
    return [
        f"column '{name}' is read as text ('{values[0][:40]}'); write plain numbers to have it "
        f"read as numbers, or say that it is text (--text {name})"
    ]


def on_words(name: str, first: pa.Array) -> list[str]:
    """Returns a line that says that texts were taken for sentences."""
    values = without_missing(first.cast(pa.string())).drop_null().to_pylist()
    shown = max(values[:ENOUGH], key=len, default="")
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return [
        f"column '{name}' is read as sentences ('{shown}'), of which the words count; if each "
        f"value is a category, say --text {name}"
    ]


def on_dates(name: str, reading: Reading) -> list[str]:
    """Returns a line where no value tells the day from the month, or from the year."""
    if reading.order is None or reading.how == "values":
        return []
    why = "nothing in the first rows tells which"
    if reading.how == "row order":
        why = "only so do the first rows follow each other in time"
    others = " or ".join(f"--types {name}=time:{o}" for o in ORDERS if o != reading.order)
    return [
        f"dates of column '{name}' ('{reading.example}') are read as {ORDERS[reading.order]}: "
        f"{why}; if it is another, say {others}"
    ]


def on_label(name: str, kind: ColumnKind, first: pa.Array) -> list[str]:
    """Returns a line where marks of what is missing look like a class, or a class like them."""
    marks = marks_in(first)
    if not marks:
        return []
    found = ", ".join(f"'{mark}' ({count:,} times)" for mark, count in marks.items())
    if kind is ColumnKind.TEXT:
        return [
            f"column '{name}' has {found} in its first {len(first):,} rows, taken as a class; "
            "leave the field empty where the class is not known"
        ]
    return [
        f"column '{name}' has {found} in its first {len(first):,} rows, taken as missing among "
        f"{kind.value}s; if it is a class, say --text {name}"
    ]
