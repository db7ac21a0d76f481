"""JSON that every reader understands: JSON has no NaN and no infinity."""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(data: Any) -> str:
    """Returns the data as JSON on one line; a number that is not finite becomes null."""
    return json.dumps(_finite(data), allow_nan=False)


def page(data: Any) -> str:
    """Returns the same JSON laid out for people to read, with a line end."""
    return json.dumps(_finite(data), allow_nan=False, indent=2, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
