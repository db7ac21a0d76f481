"""Backpropagation at an instant: what local propagation becomes when signals are infinitely fast.

The *deltas* are $\\delta_i = dL/dD_i$, the derivative of the target loss with respect to an
addition to neuron $i$'s drive: the settled error costate $\\lambda$.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError
from ..law.base import output_loss
from ..network import AbstractNetwork


class Instant(eqx.Module):
    """The network at rest under one sample, and the gradients there.

    **Fields:** `x`: the settled state; `deltas`: $\\delta$, a tree like `x`; `gradient`: of
    $\\ell = k V(w) + L$ at the settled state, a tree like `w`; `loss`: $L$.
    """

    x: PyTree
    deltas: PyTree
    gradient: PyTree
    loss: Scalar


def feed_forward(network: AbstractNetwork, cost: Cost, w: PyTree, u: Any, z: Any) -> Instant:
    """Returns deltas and gradient of a network without cycles, by reverse-mode autodiff.

    $$x = D(\\dots D(D(0, w, u) + b, w, u) \\dots) + b, \\qquad
      \\delta = \\partial L/\\partial b \\text{ at } b = 0$$

    with as many nested drives as the network is deep [NLP, Corollary 1].

    **Arguments:** `network`: without cycles; `w`: its weights; `u`, `z`: one input `(d,)` and one
    target `(m,)`.

    **Raises:** `ConfigError` where more drives still change the state: the digraph has a cycle.

    !!! example

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.layered([1, 1])
        >>> x, w = network.init(jax.random.key(0))
        >>> u, z = jnp.array([0.0]), jnp.array([1.0])
        >>> oracle.backprop.feed_forward(network, Cost(SquaredError()), w, u, z).deltas
        Array([-1.], dtype=float32)

        ```
    """
    rest = _rest(network)
    zero = jax.tree.map(jnp.zeros_like, rest)

    def forward(w: PyTree, push: PyTree) -> PyTree:
        x = rest
        for _ in range(network.depth):
            x = jax.tree.map(jnp.add, network.drive(x, w, u), push)
        return x

    def loss(w: PyTree, push: PyTree) -> tuple[Scalar, PyTree]:
        x = forward(w, push)
        return output_loss(network, cost, x, z), x

    (value, x), (gradient, deltas) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(w, zero)
    again = network.drive(x, w, u)
    if not _traced(again) and not all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(again), strict=True)
    ):
        raise ConfigError(
            f"the state still changes after {network.depth} drives, so the network has a cycle; "
            "take oracle.backprop.settled"
        )
    return Instant(x, deltas, _with_penalty(cost, w, gradient), value)


def settled(
    network: AbstractNetwork,
    cost: Cost,
    w: PyTree,
    u: Any,
    z: Any,
    x0: PyTree | None = None,
    *,
    sweeps: int = 200,
) -> Instant:
    """Returns deltas and gradient of any network at its fixed point, by one linear solve.

    $$x = D(x, w, u), \\qquad (1 - D_x^\\top)\\,\\delta = L_x, \\qquad
      \\frac{d\\ell}{dw} = D_w^\\top \\delta + k V_w$$

    (implicit differentiation; laws.md, I2). The fixed point that the relaxation reaches from
    `x0` is polished by Newton's method.

    **Arguments:** as for `feed_forward`; `x0`: where the relaxation starts, by default at rest;
    `sweeps`: of the drive, half-way each, before Newton's steps.

    **Raises:** `ConfigError` where the relaxation does not settle.

    !!! example

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.complete(1, inputs=1, bias=False, activation="identity")
        >>> w = jnp.array([[1.0, 0.5]])  # x = u + x/2
        >>> u, z = jnp.array([1.0]), jnp.array([1.0])
        >>> instant = oracle.backprop.settled(network, Cost(SquaredError()), w, u, z)
        >>> instant.x, instant.deltas
        (Array([2.], dtype=float32), Array([2.], dtype=float32))

        ```
    """
    start = _rest(network) if x0 is None else x0
    flat, unflatten = ravel_pytree(start)
    drive = lambda x, w: ravel_pytree(network.drive(unflatten(x), w, u))[0]  # noqa: E731
    one = jnp.eye(len(flat), dtype=flat.dtype)

    x = jax.lax.fori_loop(0, sweeps, lambda _, x: (x + drive(x, w)) / 2, flat)
    for _ in range(4):
        x = x - jnp.linalg.solve(one - jax.jacobian(drive)(x, w), x - drive(x, w))
    gap = jnp.max(jnp.abs(x - drive(x, w)))
    if not _traced(gap) and not gap <= 1e3 * jnp.finfo(x.dtype).eps * (1 + jnp.max(jnp.abs(x))):
        raise ConfigError(f"the network does not settle: |x - D| is {float(gap):.1e}")
    loss = lambda x: output_loss(network, cost, unflatten(x), z)  # noqa: E731
    value, loss_x = jax.value_and_grad(loss)(x)
    deltas = jnp.linalg.solve((one - jax.jacobian(drive)(x, w)).T, loss_x)
    (gradient,) = jax.vjp(lambda w: drive(x, w), w)[1](deltas)
    return Instant(unflatten(x), unflatten(deltas), _with_penalty(cost, w, gradient), value)


def _rest(network: AbstractNetwork) -> PyTree:
    if network.streams is not None:
        raise ConfigError("backprop looks at one stream; pass the network without streams")
    return network.init(jax.random.key(0))[0]


def _with_penalty(cost: Cost, w: PyTree, gradient: PyTree) -> PyTree:
    decay = cost.penalty_gradient(w)
    return gradient if decay is None else jax.tree.map(jnp.add, gradient, decay)


def _traced(tree: PyTree) -> bool:
    return any(isinstance(a, Tracer) for a in jax.tree.leaves(tree))
