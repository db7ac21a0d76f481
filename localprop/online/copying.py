"""Loops that move numbers: import them late, for Numba takes its time."""

from __future__ import annotations

from typing import Any

from .compiled import compiled


@compiled
def fill(a: Any, value: float) -> None:
    """Fills an array, `(n,)`."""
    for k in range(len(a)):
        a[k] = value


@compiled
def copy(a: Any, b: Any) -> None:
    """Copies numbers, `(n,)`."""
    for k in range(len(a)):
        b[k] = a[k]


@compiled
def widen(a: Any, b: Any) -> None:
    """Copies numbers of single precision, `(n,)`, to others of double precision."""
    for k in range(len(a)):
        b[k] = a[k]


@compiled
def gather(u: Any, places: Any, gains: Any, plain: Any, loud: Any) -> None:
    """Copies some inputs of a row, `(n,)`, and the same at full voice, `(1, places)`."""
    for k in range(len(places)):
        plain[k] = u[places[k]]
        loud[0, k] = plain[k] * gains[k]


@compiled
def scatter(a: Any, places: Any, b: Any) -> None:
    """Copies numbers to places, `(places,)` to `(n,)`."""
    for k in range(len(places)):
        b[places[k]] = a[k]
