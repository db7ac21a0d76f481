"""What reproducing the papers found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .claim import Claim


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` found.

    **Fields:** `claims`, those that fail first, else in the order of the parts; `curves` of the
    figures, by name; `seeds`; `seconds` it took; `files` that were written.
    """

    claims: tuple[Claim, ...]
    curves: dict[str, Any]
    seeds: tuple[int, ...]
    seconds: float
    files: tuple[Path, ...] = ()

    def __post_init__(self):
        failing_first = tuple(sorted(self.claims, key=lambda claim: claim.holds))
        object.__setattr__(self, "claims", failing_first)

    @property
    def failing(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(claim for claim in self.claims if not claim.holds)

    def as_dict(self) -> dict[str, Any]:
        """Returns what `localprop reproduce --json` prints."""
        return {"claims": [claim.record() for claim in self.claims]}
