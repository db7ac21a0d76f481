"""More neurons for a running network, with nothing else disturbed."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from ..errors import GraphError

Tree = TypeVar("Tree", bound=PyTree)


def grow(tree: Tree, like: PyTree) -> Tree:
    """Pads every array with zeros at the end of its axes, up to the shapes of `like`.

    A new input with zero weights, or a new output with zero weights, changes no other number:
    what was learned stays as it is.

    **Arguments:** `tree`: a phase, or any tree of arrays; `like`: a tree of the same structure,
    whose arrays (or shapes) are at least as large.

    **Raises:** `GraphError` for an array that would have to shrink.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop.network import grow
        >>> grow(jnp.ones((1, 2)), jnp.zeros((2, 3))).tolist()
        [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

        ```
    """

    def pad(old, new):
        widths = [(0, b - a) for a, b in zip(old.shape, new.shape, strict=True)]
        if any(width < 0 for _, width in widths):
            raise GraphError(f"cannot shrink an array from {old.shape} to {new.shape}")
        return jnp.pad(old, widths)

    return jax.tree.map(pad, tree, like)
