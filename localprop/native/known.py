"""Which learners the fused loops know, found once for each."""

from __future__ import annotations

import weakref
from typing import Any

import jax

from .engine import Engine
from .plan import Unknown, plan_of

_engines: dict[tuple[int, bool], Engine | str] = {}


def engine_of(learner: Any) -> Engine | str:
    """Returns a learner's fused loop in JAX's precision, or in words what it does not know."""
    key = id(learner), jax.config.jax_enable_x64  # pyright: ignore
    found = _engines.get(key)
    if found is None:
        try:
            found = Engine(plan_of(learner))
        except Unknown as unknown:
            found = str(unknown)
        weakref.finalize(learner, _engines.pop, key, None)
        _engines[key] = found
    return found
