"""Backpropagation through time, whole and truncated: exact credit over time, bought with memory.

The network hops under fixed weights, $x_{k+1} = x_k + \\alpha (D(x_k, w, u_k) - x_k)$, and pays
$\\sum_k L(x_{k+1}, z_k)$. The backward pass is written out, one vector-Jacobian product per hop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError
from ..law.base import output_loss
from ..network import AbstractNetwork


class Tape(NamedTuple):
    """What the backward pass needs: `states` $x_0..x_T$ `(T + 1, ...)`, inputs and targets."""

    states: PyTree
    u: PyTree
    z: PyTree


def hop(network: AbstractNetwork, x: PyTree, w: PyTree, u: Any, alpha: float = 1.0) -> PyTree:
    """Returns $x + \\alpha (D(x, w, u) - x)$, the recurrent network's step.

    **Arguments:** `alpha`: $1 - e^{-c\\tau}$, in (0, 1]; 1 is infinite speed.
    """
    return jax.tree.map(lambda x, d: x + alpha * (d - x), x, network.drive(x, w, u))


def record(
    network: AbstractNetwork, w: PyTree, u: Any, z: Any, x0: PyTree, alpha: float = 1.0
) -> Tape:
    """Runs forward over the whole stream and returns the tape; it grows with the stream.

    **Arguments:** `u`, `z`: `(T, d)` and `(T, m)`; `x0`: the first state; `alpha`: as for `hop`.
    """

    def step(x: PyTree, u: Any) -> tuple[PyTree, PyTree]:
        x = hop(network, x, w, u, alpha)
        return x, x

    _, later = jax.lax.scan(step, x0, u)
    states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), x0, later)
    return Tape(states, u, z)


def gradient(
    network: AbstractNetwork, cost: Cost, w: PyTree, tape: Tape, alpha: float = 1.0
) -> tuple[Scalar, PyTree]:
    """Returns $\\sum_k L$ and its gradient with respect to the weights, backward over the tape.

    $$\\delta_k = (\\partial x_{k+1}/\\partial x_k)^\\top\\delta_{k+1} + L_x(x_k), \\qquad
      g = \\sum_k (\\partial x_{k+1}/\\partial w)^\\top \\delta_{k+1}$$

    (Werbos 1990).

    **Arguments:** `tape`: from `record` with the same `w` and `alpha`.

    !!! example

        ```python
        >>> import jax.numpy as jnp
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.complete(1, inputs=1, bias=False, activation="identity")
        >>> w = jnp.array([[1.0, 0.5]])  # x <- u + x/2
        >>> u, z = jnp.ones((2, 1)), jnp.zeros((2, 1))
        >>> tape = oracle.bptt.record(network, w, u, z, jnp.zeros(1))
        >>> loss, g = oracle.bptt.gradient(network, Cost(SquaredError()), w, tape)
        >>> tape.states[:, 0], g  # with x1 = u0 w0 and x2 = u1 w0 + w1 x1, by hand
        (Array([0. , 1. , 1.5], dtype=float32), Array([[3.25, 1.5 ]], dtype=float32))

        ```
    """

    def back(carry: tuple[PyTree, PyTree, Scalar], sample: Any) -> tuple[Any, None]:
        delta, total, loss = carry
        x, after, u, z = sample
        value, loss_x = jax.value_and_grad(lambda x: output_loss(network, cost, x, z))(after)
        delta = jax.tree.map(jnp.add, delta, loss_x)
        pull = jax.vjp(lambda x, w: hop(network, x, w, u, alpha), x, w)[1]
        delta, on_weights = pull(delta)
        return (delta, jax.tree.map(jnp.add, total, on_weights), loss + value), None

    before = jax.tree.map(lambda a: a[:-1], tape.states)
    after = jax.tree.map(lambda a: a[1:], tape.states)
    nothing = jax.tree.map(lambda a: jnp.zeros_like(a[0]), tape.states)
    start = (nothing, jax.tree.map(jnp.zeros_like, w), jnp.zeros((), jnp.result_type(float)))
    samples = (before, after, tape.u, tape.z)
    (_, total, loss), _ = jax.lax.scan(back, start, samples, reverse=True)
    return loss, total


def window(network: AbstractNetwork, u: Any, z: Any, x0: PyTree, horizon: int) -> Tape:
    """Returns the empty tape of truncated backpropagation: the last `horizon` hops.

    Before the stream the tape holds `x0` and no targets (NaN), which teach nothing.

    **Arguments:** `u`, `z`: one sample, for its shape; `horizon`: hops, at least 1.

    **Raises:** `ConfigError` for a smaller horizon.
    """
    if horizon < 1:
        raise ConfigError(f"horizon {horizon}: go back at least one hop")
    del network
    repeat = lambda a, k: jnp.tile(a, (k,) + (1,) * jnp.ndim(a))  # noqa: E731
    states = jax.tree.map(lambda a: repeat(a, horizon + 1), x0)
    blank = jax.tree.map(lambda a: repeat(jnp.zeros_like(a), horizon), u)
    return Tape(
        states, blank, jax.tree.map(lambda a: repeat(jnp.full_like(a, jnp.nan), horizon), z)
    )


def push(
    network: AbstractNetwork, w: PyTree, tape: Tape, u: Any, z: Any, alpha: float = 1.0
) -> Tape:
    """Hops once and returns the tape with that hop in the place of the oldest.

    **Arguments:** `tape`: from `window`; `u`, `z`: the sample; `alpha`: as for `hop`.
    """
    last = jax.tree.map(lambda a: a[-1], tape.states)
    after = hop(network, last, w, u, alpha)
    shift = lambda a, new: jnp.concatenate([a[1:], jnp.asarray(new)[None]])  # noqa: E731
    return Tape(
        *(jax.tree.map(shift, old, new) for old, new in zip(tape, (after, u, z), strict=True))
    )


def truncated_gradient(
    network: AbstractNetwork, cost: Cost, w: PyTree, tape: Tape, seen: int, alpha: float = 1.0
) -> tuple[Scalar, PyTree]:
    """Returns the newest sample's loss and its gradient through the hops of the window.

    $$\\sum_{j > k - h} \\Bigl(\\frac{\\partial x_{k+1}}{\\partial x_{j+1}}
      \\frac{\\partial x_{j+1}}{\\partial w}\\Bigr)^\\top L_x$$

    (Williams & Peng 1990, with one loss per hop).

    **Arguments:** `tape`: after `push`; `seen`: how many samples were pushed so far.
    """
    horizon = len(jax.tree.leaves(tape.z)[0])
    newest = jax.tree.map(lambda a: a.at[:-1].set(jnp.nan), tape.z)
    # Hops from before the stream never happened.
    first = max(0, horizon - seen)
    part = Tape(
        jax.tree.map(lambda a: a[first:], tape.states),
        jax.tree.map(lambda a: a[first:], tape.u),
        jax.tree.map(lambda a: a[first:], newest),
    )
    return gradient(network, cost, w, part, alpha)
