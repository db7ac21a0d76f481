"""Locality of the methods that localprop is compared with, measured on their references."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..cost import Cost
from ..errors import ConfigError
from ..network import AbstractNetwork
from .rules import Rules
from .wiring import Wiring, example

# Length of the stream at which tapes are counted, and of truncated tapes; of the short stream on
# which dependencies are measured; and up to which size they are.
SAMPLES, HORIZON, SHORT, MOST_WEIGHTS = 1000, 10, 3, 2000


class Method(NamedTuple):
    """One row of the comparison.

    **Fields:** `method`; `forbidden`: dependencies of the weights' step that run along no arc
    (for the methods of reference, those seen at a random point; `None` where the network is too
    large to look); `numbers`, `bytes`: carried from step to step; `formula`; `grows_with`.
    """

    method: str
    forbidden: int | None
    numbers: int
    bytes: int
    formula: str
    grows_with: str


def reference_methods(network: AbstractNetwork, cost: Cost, wires: Wiring) -> tuple[Method, ...]:
    """Returns the rows of backprop, BPTT, truncated BPTT and RTRL, from what they really carry."""
    from ..oracle import bptt, rtrl  # which takes time to import

    x, w = network.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(3), 4)
    x, w = example(x, keys[0]), jax.tree.map(lambda a: 0.5 * a, example(w, keys[1]))
    u, z = example(wires.sample, keys[2]), example(wires.target, keys[3])
    many = lambda tree, k: jax.tree.map(lambda a: jnp.tile(a, (k,) + (1,) * a.ndim), tree)  # noqa: E731
    propagate = _propagation(network, cost, w, u, z)

    def through_time(x: Any, w: Any, z: Any) -> Any:
        tape = bptt.record(network, w, many(u, SHORT), many(z, SHORT), x)
        return bptt.gradient(network, cost, w, tape)[1]

    def truncated(x: Any, w: Any, z: Any) -> Any:
        tape = bptt.record(network, w, many(u, SHORT), many(z, SHORT), x)
        return bptt.truncated_gradient(network, cost, w, tape, SHORT)[1]

    influence = example(jax.eval_shape(rtrl.start, x, w).influence, keys[0])

    def real_time(x: Any, w: Any, z: Any) -> Any:
        return rtrl.step(network, cost, w, rtrl.Influence(x, influence), u, z)[2]

    tape = jax.eval_shape(lambda: bptt.record(network, w, many(u, SAMPLES), many(z, SAMPLES), x))
    window = jax.eval_shape(lambda: bptt.window(network, u, z, x, HORIZON))
    carry = jax.eval_shape(lambda: rtrl.start(x, w))
    rows = [
        ("backprop", lambda x, w, z: propagate(w, z), (x, x), "2n + N", "nothing"),
        (f"BPTT, T = {SAMPLES}", through_time, tape, "(T + 1)n + T(d + m) + N", "T, the stream"),
        (f"truncated BPTT, h = {HORIZON}", truncated, window, "(h + 1)n + h(d + m) + N", "h"),
        ("RTRL", real_time, carry, "n + nN + N, O(n³)", "neurons × weights"),
    ]  # fmt: skip
    return tuple(
        Method(
            name,
            _forbidden(update, x, w, z, wires),
            sum(a.size for a in jax.tree.leaves((carried, w))),
            sum(a.size * a.dtype.itemsize for a in jax.tree.leaves((carried, w))),
            formula,
            grows,
        )
        for name, update, carried, formula, grows in rows
    )


def _propagation(network: AbstractNetwork, cost: Cost, w: Any, u: Any, z: Any) -> Any:
    from ..oracle import backprop

    try:
        backprop.feed_forward(network, cost, w, u, z)
        return lambda w, z: backprop.feed_forward(network, cost, w, u, z).gradient
    except ConfigError:  # a cycle
        return lambda w, z: backprop.settled(network, cost, w, u, z).gradient


def _forbidden(update: Any, x: Any, w: Any, z: Any, wires: Wiring) -> int | None:
    """Counts the dependencies of the gradient, seen at a random point, that no arc carries."""
    flat, unflatten = ravel_pytree((x, w, z))
    if len(flat) > MOST_WEIGHTS:
        return None
    slope = jax.jit(jax.jacobian(lambda a: ravel_pytree(update(*unflatten(a)))[0]))(flat)
    rules = Rules(wires)
    flatten = lambda tree: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)])  # noqa: E731
    x_label, w_label, z_label = map(flatten, (wires.state, wires.synapse, wires.target))
    labels = np.concatenate([x_label, rules.bounds[3] + w_label, rules.bounds[2] + z_label]).astype(
        int
    )
    allowed = rules.allowed("w", labels)[:, w_label].T
    return int(np.sum((np.asarray(slope) != 0) & ~allowed))
