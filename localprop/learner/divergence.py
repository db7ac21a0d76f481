"""When and where a stream drove a quantity to infinity: the sample, then the quantity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from ..law import Phase

REMEDY = (
    "make the steps smaller (raise the mass or lower the adaptive rate, shorten the duration of "
    "samples), raise the dissipation, or add settle hops"
)


def sound(tree: PyTree) -> bool:
    """Returns whether every number of a tree of arrays is finite.

    NumPy looks at what lies in the host's memory: as part of a compiled program the same check
    takes a fifth of its time to compile.
    """
    leaves = jax.tree.leaves(tree)
    if any(device.platform != "cpu" for leaf in leaves for device in leaf.devices()):
        return bool(_finite(leaves))
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves)


@jax.jit
def _finite(leaves: list[Array]) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def first_unsound(learn: Callable[[int], tuple[Any, bool]], samples: int) -> tuple[int, Any, Any]:
    """Returns the number of the first sample that does harm, and the phases before and after it.

    **Arguments:** `learn(k)`: the phase after the first `k` samples and whether all was finite on
    the way; `samples`: how many there are, too many for all to be finite.
    """
    low, high = 0, samples  # sound after `low` samples, not after `high`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if learn(middle)[1] else (low, middle)
    return low, learn(low)[0], learn(high)[0]


def culprit(hops: Iterable[Phase], after: Phase) -> str:
    """Names the quantity that goes wrong first.

    **Arguments:** `hops`: the phases of the bad sample, hop by hop; `after`: at its end, in the
    compiled loop, which rounds otherwise than single operations and may overflow sooner.
    """
    return next((name for phase in hops if (name := _unsound(phase))), _unsound(after)) or "x"


def _unsound(phase: Phase) -> str | None:
    """Names the first quantity of the phase that is not finite, causes before effects."""
    for name in ("momentum", "mass", "w", "costate", "x"):
        leaves = jax.tree.leaves(getattr(phase, name))
        if not all(np.isfinite(np.asarray(a)).all() for a in leaves):
            return name
    return None
