"""One claim of a paper beside what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final


@final
@dataclass(frozen=True)
class Claim:
    """A claim, its source, the number measured, its bound, and whether the number keeps it.

    Build one with `at_most`, `at_least` or `within`, which decide `holds`; a number that is not
    a number keeps no bound.

    **Fields:** `id`: short and unique; `statement`: what is claimed, and what was measured;
    `source`: where it is claimed; `measured`; `bound`: in words; `holds`; `note`: what else there
    is to say, such as the spread over seeds or why a bound is missed.

    !!! example

        ```python
        >>> from localprop.reproduce import Claim
        >>> claim = Claim.at_most("P0", "nothing is lost", "folklore", measured=2.0, bound=1.0)
        >>> claim.bound, claim.holds
        ('≤ 1', False)

        ```
    """

    id: str
    statement: str
    source: str
    measured: float
    bound: str
    holds: bool
    note: str = ""

    @classmethod
    def at_most(
        cls,
        id: str,
        statement: str,
        source: str,
        *,
        measured: Any,
        bound: int | float,
        note: str = "",
    ) -> Claim:
        """A claim that holds where `measured` ≤ `bound`."""
        value = float(measured)
        return cls(id, statement, source, value, f"≤ {bound:g}", bool(value <= bound), note)

    @classmethod
    def at_least(
        cls,
        id: str,
        statement: str,
        source: str,
        *,
        measured: Any,
        bound: int | float,
        note: str = "",
    ) -> Claim:
        """A claim that holds where `measured` ≥ `bound`."""
        value = float(measured)
        return cls(id, statement, source, value, f"≥ {bound:g}", bool(value >= bound), note)

    @classmethod
    def within(
        cls,
        id: str,
        statement: str,
        source: str,
        *,
        measured: Any,
        low: int | float,
        high: int | float,
        note: str = "",
    ) -> Claim:
        """A claim that holds where `low` ≤ `measured` ≤ `high`."""
        value = float(measured)
        bound = f"{low:.4g} … {high:.4g}"
        return cls(id, statement, source, value, bound, bool(low <= value <= high), note)

    def record(self) -> dict[str, Any]:
        """Returns what `localprop reproduce --json` prints of it."""
        names = ("id", "statement", "source", "measured", "bound", "holds", "note")
        return {name: getattr(self, name) for name in names}


@final
@dataclass(frozen=True)
class Part:
    """What one group of claims gave: the claims, and the curves of its figures, by name."""

    claims: list[Claim]
    curves: dict[str, Any] = field(default_factory=dict)
