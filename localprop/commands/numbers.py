"""Numbers among the options: read as they are written, not as Python would."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

from ..plain_numbers import real_number, whole_number

Number = TypeVar("Number", int, float)


def real(text: str | float) -> float:
    """Returns an option's number; its default comes as a number already."""
    return _read(real_number, text) if isinstance(text, str) else text


def whole(text: str | int) -> int:
    """Returns an option's whole number; its default comes as a number already."""
    return _read(whole_number, text) if isinstance(text, str) else text


def _read(read: Callable[[str], Number], text: str) -> Number:
    try:
        return read(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
