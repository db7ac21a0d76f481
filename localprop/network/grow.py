"""More neurons for a running network, with nothing else disturbed."""

from __future__ import annotations

from typing import TypeVar

import jax
import numpy as np
from jax.tree_util import keystr
from jax.tree_util import tree_flatten_with_path as flat
from jaxtyping import PyTree

from ..errors import GraphError
from .uncompiled import placed

Tree = TypeVar("Tree", bound=PyTree)


def grow(tree: PyTree, like: Tree) -> Tree:
    """Pads every array with zeros at the end of its axes, up to the shapes of `like`.

    A new input with zero weights, or a new output with zero weights, changes no other number:
    what was learned stays as it is.

    **Arguments:** `tree`: a phase, or any tree of arrays; `like`: a tree with arrays (or shapes)
    of the same names, each at least as large. The result has its structure.

    **Raises:** `GraphError` for an array that would have to shrink, or that only one tree has.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop.network import grow
        >>> grow(jnp.ones((1, 2)), jnp.zeros((2, 3))).tolist()
        [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

        ```
    """

    def pad(name, old, new):
        if len(old.shape) != len(new.shape) or any(np.less(new.shape, old.shape)):
            raise GraphError(f"{name} cannot grow from {old.shape} to {new.shape}")
        widths = [(0, b - a) for a, b in zip(old.shape, new.shape, strict=True)]
        return placed(np.pad(np.asarray(old), widths)) if widths else old

    # By name: a module's own record of its sizes makes trees of different sizes different trees.
    olds, (news, structure) = flat(tree)[0], flat(like)
    names = [keystr(path) for path, _ in news]
    if [keystr(path) for path, _ in olds] != names:
        raise GraphError("only the sizes of a network can grow, not its arcs or blocks")
    leaves = zip(names, olds, news, strict=True)
    grown = [pad(name, old, new) for name, (_, old), (_, new) in leaves]
    return jax.tree.unflatten(structure, grown)
