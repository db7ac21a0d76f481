"""Blocks of neurons, the vertices of a `Layered` network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .activation import Activation, resolve
from .gaussian import gaussian, split


def concatenate(*parents: Array) -> Array:
    """Joins parents along their first axis: features of vectors, channels of images."""
    return parents[0] if len(parents) == 1 else jnp.concatenate(parents, axis=0)


def add(*parents: Array) -> Array:
    """Joins parents of one shape by their sum, as residual connections do."""
    return sum(parents[1:], start=parents[0])


def _as_speed(speed: Any) -> Any:
    """Returns one speed, or those of an array as tuples, which can be compared."""
    nested = lambda a: tuple(map(nested, a)) if isinstance(a, list) else float(a)  # noqa: E731
    return nested(np.asarray(speed).tolist())


def _names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(names) if names else None


class Block(eqx.Module):
    """One vertex of a `Layered` network.

    $D = \\sigma(f_w(\\text{join of the parents}))$, the drive of a whole block of neurons (laws.md,
    section 1).

    **Arguments:**

    - `module`: an Equinox module, whose arrays are the initial weights; or a function that makes
      one from `key=`, such as `functools.partial(eqx.nn.Linear, 8, 4)`. Arrays behind
      `jax.lax.stop_gradient` are buffers: their mass is infinite. No two blocks take one module.
    - `parents`: names of blocks or inputs, in the order in which they are joined.
    - `activation`: name or callable, applied to the module's result.
    - `speed`: $c$ of this block, in (0, ∞], per unit of time: one, or one for each of its neurons.
      `Modes` have speeds of their own.
    - `fixed`: whether all its weights have infinite mass.
    - `join`: how several parents become one argument; `concatenate` or `add` or any function.
    - `shape`: of the block's state; needed only where it hangs on itself through a cycle.
    - `silent`: those of the parents whose arcs carry states and no errors.

    **Raises:** `GraphError` for an unknown activation; so does `Layered` for a parent that is not
    there and for shapes that do not fit.

    !!! example

        ```python
        >>> from functools import partial
        >>> import equinox as eqx, jax
        >>> from localprop import Block, Layered
        >>> hidden = Block(partial(eqx.nn.Linear, 2, 4), ["input"], "tanh")
        >>> top = Block(partial(eqx.nn.Linear, 6, 1), ["hidden", "input"])  # with a skip
        >>> network = Layered({"hidden": hidden, "top": top}, inputs=(2,), output="top")
        >>> x, w = network.init(jax.random.key(0))
        >>> x["hidden"].shape, network.depth
        ((4,), 2)

        ```
    """

    module: Any
    parents: tuple[str, ...] = eqx.field(static=True, converter=tuple)
    activation: Activation = eqx.field(static=True, converter=resolve, default="identity")
    speed: Any = eqx.field(static=True, converter=_as_speed, default=np.inf)
    fixed: bool = eqx.field(static=True, default=False)
    join: Callable[..., Array] = eqx.field(static=True, default=concatenate)
    shape: tuple[int, ...] | None = eqx.field(static=True, default=None)
    silent: tuple[str, ...] | None = eqx.field(static=True, converter=_names, default=None)


def dense(
    size_in: int, size_out: int, *, scale: float = 1.0, bias_scale: float = 0.0, key: PRNGKeyArray
) -> eqx.nn.Linear:
    """Returns a linear layer with Gaussian weights of variance scale²/size_in.

    **Arguments:** `bias_scale`: standard deviation of the Gaussian biases.
    """
    layer = linear(size_in, size_out, jnp.result_type(float))
    weight_key, bias_key = split(key, 2)
    weight = gaussian(weight_key, (size_out, size_in), scale / np.sqrt(max(size_in, 1)))
    bias = gaussian(bias_key, (size_out,), bias_scale)
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (weight, bias))


@lru_cache(maxsize=256)
def linear(size_in: int, size_out: int, dtype: Any) -> eqx.nn.Linear:
    """Returns the outline of a linear layer in a precision, which is JAX's at present."""
    del dtype
    return eqx.filter_eval_shape(eqx.nn.Linear, size_in, size_out, key=jax.random.key(0))
