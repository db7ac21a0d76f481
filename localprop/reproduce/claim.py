"""One claim of a paper beside what was measured, and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, final

import numpy as np


@final
@dataclass(frozen=True)
class Claim:
    """A claim, its source, the number measured, its bound, and whether the number keeps it.

    Build one with `at_most`, `at_least`, `within` or `beats`, which decide `holds`; a number that
    is not a number keeps no bound.

    **Fields:** `id`: short and unique; `statement`: what is claimed, and what was measured;
    `source`: where it is claimed; `against`: the baseline, the proof or the reference outside the
    law that the number is held against; `measured`; `bound`: in words; `holds`; `baselines`: what
    those score who do not learn, by name; `ranking`: they and the law, the best first; `note`:
    what else there is to say, such as the worst start or why a bound is missed.

    !!! example

        ```python
        >>> from localprop.reproduce import Claim
        >>> claim = Claim.at_most(
        ...     "P0", "nothing is lost", "folklore", against="a count", measured=2.0, bound=1.0,
        ...     baselines={"do nothing": 1.0},
        ... )
        >>> claim.bound, claim.holds, claim.ranking
        ('≤ 1', False, 'do nothing 1 < law 2')

        ```
    """

    id: str
    statement: str
    source: str
    against: str
    measured: float
    bound: str
    holds: bool
    baselines: Mapping[str, float] = field(default_factory=dict)
    ranking: str = ""
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
        **other: Any,
    ) -> Claim:
        """A claim that holds where `measured` ≤ `bound`; `other`: fields by name."""
        words, holds = f"≤ {bound:.4g}", bool(float(measured) <= bound)
        return cls._judged(id, statement, source, measured, words, holds, **other)

    @classmethod
    def at_least(
        cls,
        id: str,
        statement: str,
        source: str,
        *,
        measured: Any,
        bound: int | float,
        **other: Any,
    ) -> Claim:
        """A claim that holds where `measured` ≥ `bound`; `other`: fields by name."""
        words, holds = f"≥ {bound:.4g}", bool(float(measured) >= bound)
        return cls._judged(id, statement, source, measured, words, holds, **other)

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
        **other: Any,
    ) -> Claim:
        """A claim that holds where `low` ≤ `measured` ≤ `high`; `other`: fields by name."""
        words, holds = f"{low:.4g} … {high:.4g}", bool(low <= float(measured) <= high)
        return cls._judged(id, statement, source, measured, words, holds, **other)

    @classmethod
    def beats(
        cls,
        id: str,
        statement: str,
        source: str,
        *,
        errors: np.ndarray,
        baselines: Mapping[str, np.ndarray],
        factor: float,
        note: str = "",
    ) -> Claim:
        """A claim that holds where every baseline errs `factor` times as much on every start.

        What is measured is the worst such factor.

        **Arguments:** `errors`: of the law, one per start, ∞ for one that diverged; `baselines`:
        errors of each on the same starts.
        """
        every = np.stack([np.broadcast_to(b, errors.shape) for b in baselines.values()])
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = every.min(axis=0) / errors
        medians = {name: float(np.median(b)) for name, b in baselines.items()}
        law = f"error of the law: {spread(errors, factors >= factor)}"
        return cls.at_least(
            id,
            f"{statement} (error of the best baseline over the law's, on the worst start)",
            source,
            against=", ".join(medians),
            measured=np.min(factors),
            bound=factor,
            baselines=medians,
            ranking=_ranked(medians, np.median(errors)),
            note="; ".join(filter(None, [law, note])),
        )

    @classmethod
    def _judged(
        cls, id: str, statement: str, source: str, measured: Any, bound: str, holds: bool, **other
    ) -> Claim:
        if "baselines" in other and "ranking" not in other:
            other["ranking"] = _ranked(other["baselines"], measured)
        return cls(
            id, statement, source, measured=float(measured), bound=bound, holds=holds, **other
        )

    def record(self) -> dict[str, Any]:
        """Returns what `localprop reproduce --json` prints of it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def spread(values: Any, good: Any) -> str:
    """Returns in words the median of some starts, the worst, and the share that is not `good`."""
    values = np.asarray(values)
    return (
        f"median {np.median(values):.3g}, worst {np.max(values):.3g}, "
        f"{np.mean(~np.asarray(good)):.0%} of {values.size} starts fail"
    )


def _ranked(baselines: Mapping[str, float], own: Any) -> str:
    every = sorted({**baselines, "law": float(own)}.items(), key=lambda pair: pair[1])
    return " < ".join(f"{name} {value:.3g}" for name, value in every)


@final
@dataclass(frozen=True)
class Part:
    """What one group of claims gave: the claims, and the curves of its figures, by name."""

    claims: list[Claim]
    curves: dict[str, Any] = field(default_factory=dict)
