"""What a module is, in words that survive a process: for checkpoints and reports."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np


def describe(thing: Any) -> Any:
    """Returns a JSON-able description: classes by name, fields by value, arrays by shape.

    Two modules with the same description compute the same function of the same phase, up to the
    code of callables, which are named only, and the values of arrays. Fields that say how it is
    computed, and not what, are marked `described=False` and left out.

    !!! example

        ```python
        >>> from localprop import Constant
        >>> from localprop.describe import describe
        >>> describe(Constant(2.0))
        {'class': 'Constant', 'm': 2.0}

        ```
    """
    if isinstance(thing, functools.partial):
        return {"partial": describe(thing.func), "args": describe([*thing.args, thing.keywords])}
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        told = [f.name for f in dataclasses.fields(thing) if f.metadata.get("described", True)]
        fields = {name: describe(getattr(thing, name)) for name in told}
        return {"class": type(thing).__name__, **fields}
    if isinstance(thing, jax.Array | np.ndarray):
        return f"{thing.dtype}{list(thing.shape)}"
    if isinstance(thing, np.generic):
        return describe(thing.item())
    if isinstance(thing, float) and not math.isfinite(thing):
        return str(thing)  # JSON has no infinity
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return _runs([describe(value) for value in thing])
    if callable(thing):
        return getattr(thing, "__qualname__", type(thing).__name__)
    return type(thing).__name__


def _runs(values: list) -> list:
    """Shortens a list of one repeated value, such as the activations of a thousand neurons."""
    if len(values) > 8 and all(value == values[0] for value in values):
        return [values[0], f"x {len(values)}"]
    return values


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Yields, a line each, where two descriptions differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            yield from differences(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    elif a != b:
        yield f"{path or 'it'} was {a}, is {b}"
