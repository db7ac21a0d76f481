"""Arguments of any face of the package: of the right kind, or one line that says what to give."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ConfigError


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Returns a whole number, NumPy's included, as a plain one; a truth value is none.

    **Raises:** `ConfigError` for anything else, and for less than `least`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" of {least} or more"
        raise ConfigError(f"{name} is {shown(value)}; give a whole number{bound}")
    return number


def wholes(name: str, value: Any) -> tuple[int, ...]:
    """Returns a sequence of whole numbers as a tuple.

    **Raises:** `ConfigError` for anything else.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} is {shown(value)}; give a sequence of whole numbers")
    return tuple(whole(f"{name}[{k}]", part) for k, part in enumerate(value))


def flag(name: str, value: Any) -> bool:
    """Returns a truth value, NumPy's included, as a plain one.

    **Raises:** `ConfigError` for anything else.
    """
    if not isinstance(value, bool | np.bool):
        raise ConfigError(f"{name} is {shown(value)}; give True or False")
    return bool(value)


def real(name: str, value: Any) -> float:
    """Returns a real number as a float; whether it is finite is not asked.

    **Raises:** `ConfigError` for anything else.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} is {shown(value)}; give a number") from None


def text(name: str, value: Any) -> str:
    """Returns a text.

    **Raises:** `ConfigError` for anything else.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; give a name as text")
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Returns a sequence of texts as a tuple; a single text is none.

    **Raises:** `ConfigError` for anything else.
    """
    if isinstance(value, str):
        raise ConfigError(f"{name} is {shown(value)}; give a sequence of names: ({value!r},)")
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name} is {shown(value)}; give a sequence of names")
    return tuple(text(f"{name}[{k}]", part) for k, part in enumerate(value))


def path(name: str, value: Any) -> Path:
    """Returns a path.

    **Raises:** `ConfigError` for anything that is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} is {shown(value)}; give a path")
    return Path(value)


def shown(value: Any) -> str:
    """Returns a value as messages show it: on one line, and a short one."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else f"{line[:57]}..."
