"""Runs every claim."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax

from ..errors import ConfigError
from . import (
    conjecture,
    least_action,
    locality,
    optimum,
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

# What is measured, in order: in words, by whom, and whether in float64. Identities are exact only
# there; what a user would see is measured as a user would.
PARTS: tuple[tuple[str, Callable[[Sequence[int]], Part], bool], ...] = (
    ("Hamilton's equations", theorems.measure, True),
    ("propagation and backpropagation", propagation.measure, True),
    ("examples and Riccati's equation", riccati.measure, True),
    ("sign flip", sign_flip.measure, True),
    ("tracking", tracking.measure, False),
    ("boundary-value problem", optimum.measure, True),
    ("uneven samples", sampling.measure, True),
    ("conjecture", conjecture.measure, False),
    ("locality", locality.measure, False),
    ("least action", least_action.measure, True),
)


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
    - `watch`: called as `watch(part, done, parts)` before each part.

    **Raises:** `ConfigError` for a single seed, or a folder that cannot be written.

    !!! example

        ```python
        >>> from localprop.reproduce import Claim, Reproduction
        >>> claim = Claim.at_most("P0", "a claim", "nowhere", measured=2.0, bound=1.0)
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
    for done, (name, measure, double) in enumerate(PARTS):
        if watch is not None:
            watch(name, done, len(PARTS))
        # As a context, so that the caller's own precision stays what it is.
        with jax.enable_x64(double):
            part = measure(seeds)
        claims += part.claims
        curves |= part.curves
    found = Reproduction(tuple(claims), curves, seeds, time.perf_counter() - start)
    if out is None:
        return found

    return replace(found, files=tuple(write_report(Path(out), found)))
