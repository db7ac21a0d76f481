"""Runs every claim."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax

from ..errors import ConfigError
from . import (
    conjecture,
    learning,
    least_action,
    locality,
    memory,
    optimum,
    plants,
    propagation,
    riccati,
    sampling,
    sign_flip,
    theorems,
    tracking,
)
from .claim import Part
from .page import write_report
from .reproduction import Reproduction

SEEDS, FULL_SEEDS = 4, 40


class Planned(NamedTuple):
    """What is measured: in words, by whom, whether in float64, how many claims that gives.

    `seconds`: how long it takes on two cores with the usual seeds; `per_seed`: whether that
    grows with the number of seeds.
    """

    name: str
    measure: Callable[[Sequence[int]], Part]
    double: bool
    claims: int
    seconds: float
    per_seed: bool = True


# Identities are exact only in float64; what a user would see is measured as a user would.
PARTS: tuple[Planned, ...] = (
    Planned("Hamilton's equations", theorems.measure, True, 7, 7),
    Planned("propagation and backpropagation", propagation.measure, True, 9, 10),
    Planned("examples and Riccati's equation", riccati.measure, True, 4, 1),
    Planned("linear plants", plants.measure, True, 7, 2, per_seed=False),
    Planned("sign flip", sign_flip.measure, True, 5, 5, per_seed=False),
    Planned("tracking", tracking.measure, False, 18, 20, per_seed=False),
    Planned("boundary-value problem", optimum.measure, True, 9, 36, per_seed=False),
    Planned("uneven samples", sampling.measure, True, 2, 4, per_seed=False),
    Planned("learning", learning.measure, False, 6, 18),
    Planned("conjecture", conjecture.measure, False, 6, 18),
    Planned("locality", locality.measure, False, 8, 15, per_seed=False),
    Planned("least action", least_action.measure, True, 6, 15),
    Planned("beyond the papers: memory", memory.measure, True, 7, 18),
)


def plan(full: bool = False) -> str:
    """Returns one sentence on what `reproduce` will do."""
    claims, seeds = sum(part.claims for part in PARTS), FULL_SEEDS if full else SEEDS
    more = seeds / SEEDS
    seconds = sum(part.seconds * (more if part.per_seed else 1) for part in PARTS)
    return (
        f"measuring {claims} claims in {len(PARTS)} parts, on {seeds} seeds; it takes about "
        f"{_in_words(seconds)} on two cores"
    )


def _in_words(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def reproduce(
    seeds: Sequence[int] | None = None,
    *,
    full: bool = False,
    out: str | Path | None = None,
    watch: Callable[[str, int, int], None] | None = None,
) -> Reproduction:
    """Measures every claim of the papers, and says of each whether it holds.

    **Arguments:**

    - `seeds`: of weights and streams, at least two; by default 4, or 40 if `full`.
    - `full`: many seeds instead of few.
    - `out`: a folder for the report and its figures; nothing is written without one.
    - `watch`: called as `watch(part, done, claims)` before each part: its name, how many claims
      are measured already, and of how many.

    **Raises:** `ConfigError` for a single seed, or a folder that cannot be written.

    !!! example

        ```python
        >>> from localprop.reproduce import Claim, Reproduction
        >>> claim = Claim.at_most(
        ...     "P0", "a claim", "nowhere", against="a count", measured=2.0, bound=1.0
        ... )
        >>> found = Reproduction((claim,), {}, (0, 1), 0.1)
        >>> [c.id for c in found.failing]
        ['P0']

        ```
    """
    seeds = tuple(range(FULL_SEEDS if full else SEEDS)) if seeds is None else tuple(seeds)
    if len(seeds) < 2:
        raise ConfigError("one seed has no spread; give two seeds or more")
    if out is not None:
        from ..report.folder import check_folder

        check_folder(Path(out))
    start, claims, curves = time.perf_counter(), [], {}
    total = sum(planned.claims for planned in PARTS)
    for planned in PARTS:
        if watch is not None:
            watch(planned.name, len(claims), total)
        # As a context, so that the caller's own precision stays what it is.
        with jax.enable_x64(planned.double):
            part = planned.measure(seeds)
        claims += part.claims
        curves |= part.curves
    found = Reproduction(tuple(claims), curves, seeds, time.perf_counter() - start)
    if out is None:
        return found

    return replace(found, files=tuple(write_report(Path(out), found)))
