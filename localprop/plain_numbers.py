"""Numbers as people write them: Python's own readers also take `1_0` for 10, and 1e999 for ∞."""

from __future__ import annotations

import math
import re

WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")  # int() itself refuses some more digits
REAL = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)", re.I)


def whole_number(text: str) -> int:
    """Returns the whole number that a text spells in plain digits.

    **Raises:** `ValueError` for anything else.

    !!! example

        ```python
        >>> from localprop.plain_numbers import whole_number
        >>> whole_number("10")
        10

        ```
    """
    if not WHOLE.fullmatch(text.strip()):
        raise ValueError(f"'{_shortened(text)}' is not a whole number; write plain digits")
    return int(text)


def real_number(text: str) -> float:
    """Returns the number that a text spells, such as `0.02`, `1e-3`, `inf` or `nan`.

    **Raises:** `ValueError` for anything else, and for digits that spell a number beyond the
    largest.

    !!! example

        ```python
        >>> from localprop.plain_numbers import real_number
        >>> real_number("1e-3")
        0.001

        ```
    """
    text = text.strip()
    if not REAL.fullmatch(text):
        raise ValueError(f"'{_shortened(text)}' is not a number; write it as 0.02 or 1e-3")
    value = float(text)
    if math.isinf(value) and "n" not in text.lower():
        raise ValueError(f"'{_shortened(text)}' is beyond the largest number; write a smaller one")
    return value


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
