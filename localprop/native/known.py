"""Which learners the fused loops know, found once for each."""

from __future__ import annotations

import weakref
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from ..network import Layered, of_one_stream
from .chain import chain_of
from .chain_engine import ChainEngine
from .engine import Engine
from .memory import has_modes
from .memory_engine import MemoryEngine
from .plan import Unknown, plan_of

AnyEngine: TypeAlias = Engine | ChainEngine | MemoryEngine
_engines: dict[tuple[int, bool], AnyEngine | str] = {}


def engine_of(learner: Any) -> AnyEngine | str:
    """Returns a learner's fused loop in JAX's precision, or in words what it does not know."""
    key = id(learner), jax.config.jax_enable_x64  # pyright: ignore
    found = _engines.get(key)
    if found is None:
        try:
            found = _made(learner)
        except Unknown as unknown:
            found = str(unknown)
        weakref.finalize(learner, _engines.pop, key, None)
        _engines[key] = found
    return found


def _made(learner: Any) -> AnyEngine:
    """Returns the fused loop for a learner's kind of network.

    **Raises:** `Unknown` where there is none.
    """
    network = of_one_stream(learner.network)
    if isinstance(network, Layered) and has_modes(network):
        return MemoryEngine(learner)
    if isinstance(network, Layered):
        return ChainEngine(chain_of(learner), learner, jnp.result_type(float))
    return Engine(plan_of(learner))
