"""Real-time recurrent learning: exact credit over time, carried forward in $n N$ numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree, Scalar

from ..cost import Cost
from ..law.base import output_loss
from ..network import AbstractNetwork
from .bptt import hop


class Influence(NamedTuple):
    """What is carried: the state and $S = \\partial x/\\partial w$, flat, `(n, N)`.

    For $n$ recurrent neurons, each reading all, $N = n^2$: $O(n^3)$ numbers.
    """

    x: PyTree
    influence: Float[Array, "n N"]


def start(x0: PyTree, w: PyTree) -> Influence:
    """Returns the carry at the start: no influence yet."""
    flat = ravel_pytree(x0)[0]
    return Influence(x0, jnp.zeros((len(flat), len(ravel_pytree(w)[0])), flat.dtype))


def step(
    network: AbstractNetwork,
    cost: Cost,
    w: PyTree,
    carry: Influence,
    u: Any,
    z: Any,
    alpha: float = 1.0,
) -> tuple[Influence, Scalar, PyTree]:
    """Hops once and returns the carry, the loss $L(x_{k+1}, z_k)$ and its gradient.

    $$S_{k+1} = \\frac{\\partial x_{k+1}}{\\partial x_k} S_k
               + \\frac{\\partial x_{k+1}}{\\partial w}, \\qquad g = S_{k+1}^\\top L_x$$

    (Williams & Zipser 1989).

    **Arguments:** `carry`: from `start` or the last step; `u`, `z`: the sample; `alpha`: as for
    `oracle.bptt.hop`.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.complete(1, inputs=1, bias=False, activation="identity")
        >>> w, total = jnp.array([[1.0, 0.5]]), 0.0  # x <- u + x/2
        >>> carry = oracle.rtrl.start(jnp.zeros(1), w)
        >>> for _ in range(2):
        ...     carry, loss, g = oracle.rtrl.step(
        ...         network, Cost(SquaredError()), w, carry, jnp.ones(1), jnp.zeros(1)
        ...     )
        ...     total = total + g
        >>> total  # as backpropagation through time
        Array([[3.25, 1.5 ]], dtype=float32)

        ```
    """
    flat_x, unflatten_x = ravel_pytree(carry.x)
    flat_w, unflatten_w = ravel_pytree(w)

    def move(x: Array, w: Array) -> Array:
        return ravel_pytree(hop(network, unflatten_x(x), unflatten_w(w), u, alpha))[0]

    by_x, by_w = jax.jacfwd(move, argnums=(0, 1))(flat_x, flat_w)
    influence = by_x @ carry.influence + by_w
    x = unflatten_x(move(flat_x, flat_w))
    loss, loss_x = jax.value_and_grad(lambda x: output_loss(network, cost, x, z))(x)
    gradient = unflatten_w(ravel_pytree(loss_x)[0] @ influence)
    return Influence(x, influence), loss, gradient
