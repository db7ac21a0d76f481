"""Which arrays of a module are weights, and whose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import PyTree

from ..errors import GraphError


def plastic_arrays(drive: Callable[[PyTree], Any], w: PyTree) -> PyTree:
    """Returns, a tree like `w`, which of its arrays can be learned at all.

    Those for which $D_w$ is 0 by construction cannot: what is behind `jax.lax.stop_gradient`, and
    what the drive never reads. They are buffers, whatever the numbers in them. Read off the
    program of $D_w\\,\\dot w$, from which what depends on no $\\dot w$ is struck out.

    **Arguments:** `drive`: $w \\mapsto D$; `w`: arrays, or their shapes.

    !!! example

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from localprop.network.weights import plastic_arrays
        >>> w = {"a": jnp.ones(2), "frequency": jnp.ones(2)}
        >>> plastic_arrays(lambda w: w["a"] * jax.lax.stop_gradient(w["frequency"]), w)
        {'a': True, 'frequency': False}

        ```
    """
    leaves, structure = jax.tree.flatten(w)

    def pushed(leaves: list[Any], rates: list[Any]) -> Any:
        return jax.jvp(lambda a: drive(structure.unflatten(a)), (leaves,), (rates,))[1]

    program = jax.make_jaxpr(pushed)(leaves, leaves).jaxpr
    used = dce_jaxpr(program, [True] * len(program.outvars))[1]
    return structure.unflatten([bool(u) for u in used[len(leaves) :]])


def check_untied(w: Mapping[str, PyTree], plastic: Mapping[str, PyTree] | None) -> None:
    """Raises `GraphError` where two blocks hold one array: each would learn a copy of its own."""
    owners: dict[int, str] = {}
    for name, tree in w.items():
        free = True if plastic is None else plastic[name]  # one value for the block, or a tree
        learns = jax.tree.map(lambda f, part: jax.tree.map(lambda _: f, part), free, tree)
        for array, moves in zip(jax.tree.leaves(tree), jax.tree.leaves(learns), strict=True):
            if not moves:
                continue
            owner = owners.setdefault(id(array), name)
            if owner != name:
                raise GraphError(
                    f"blocks '{owner}' and '{name}' hold the same weights, of shape "
                    f"{np.shape(array)}, and each would learn a copy of its own; give each block a "
                    "module of its own, by copy.deepcopy or a function of key="
                )
