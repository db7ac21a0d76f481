"""How many hops a network needs until its state and its error costate have settled."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..cost import Cost, SquaredError
from ..forked import refuse_lame_fork
from ..law import Hamiltonian, Phase
from ..law.base import pull_back, squares
from ..network import AbstractNetwork, Digraph, FeedbackWeights, Layered, SharedWeights

STARTS, SHARE = 16, 3 / 4  # random weights, inputs and targets; how many of them shall settle
TOLERANCE = 0.05  # of the force at the fixed point
LAW, COST = Hamiltonian(), Cost(SquaredError())
MOST = 64  # hops; one sample that takes more is no sample of a stream


def settled_depth(network: AbstractNetwork, tau: float = 1.0, *, once: bool = False) -> int | None:
    """Returns $d$ such that the force has settled after $2d$ hops of a held sample.

    Without cycles $d$ is the depth, and the force is exact. With cycles nothing is ever exact: an
    error that goes round comes back times the cycle's gain, and the arcs alone do not say how
    large it is. So it is measured, from the weights with which the network begins: $2d$ is the
    first hop from which on $|f - f_\\infty| \\le 0.05\\,|f_\\infty|$ for three in four random
    weights, inputs and targets, where $f$ is the force $D_w^\\top\\lambda$ under costate reversal.
    Weights that have grown may need more.

    **Arguments:** `tau`: length of a hop, which counts where speeds are finite; `once`: whether
    neurons of finite speed move in the first hop only, and no error crosses an arc into them. Then
    what brings the sample to them is waited for by nobody, and $d$ is the longest way that begins
    with an input or with one of them (laws.md, section 15).

    **Returns:** `None` for a network that does not settle so within 64 hops.

    !!! example

        ```python
        >>> from localprop import Digraph
        >>> from localprop.learner.settling import settled_depth
        >>> settled_depth(Digraph.layered([2, 8, 8, 1]))
        3
        >>> ring = [("u", "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
        >>> ring = Digraph.from_edges(ring, inputs=["u"], outputs=["a"])
        >>> ring.depth, settled_depth(ring)
        (1, 5)

        ```
    """
    while isinstance(network, SharedWeights | FeedbackWeights):
        network = network.network
    if not isinstance(network, Digraph | Layered):
        return network.depth
    within = network.depth_within_sample if once else None
    if within is not None or not network.cyclic:
        return network.depth if within is None else within
    refuse_lame_fork()
    with jax.ensure_compile_time_eval():  # a number of hops, also where the learner is traced
        return _measured(network, tau)


def _measured(network: Digraph | Layered, tau: float) -> int | None:
    """Returns what `settled_depth` does, of a network with cycles."""
    starts = [_start(network, key) for key in jax.random.split(jax.random.key(0), STARTS)]
    # Twice as long at every try, so that a network that settles soon is not waited for.
    hops = 16
    while hops <= 2 * MOST:
        late = sorted(
            int(_last_unsettled(network, *start, jnp.asarray(hops), jnp.asarray(tau)))
            for start in starts
        )
        needed = late[math.ceil(SHARE * STARTS) - 1]
        if needed <= min(hops // 2, MOST):
            return max(-(-needed // 2), network.depth)
        hops *= 2
    return None


def _start(network: Digraph | Layered, key: Array) -> tuple[Phase, Any, Array]:
    """Returns a phase at rest with random weights, an input and a target."""
    keys = jax.random.split(key, 3)
    start = LAW.init(network, COST, keys[0])
    z = network.output(start.x)
    return start, _input(network, keys[1]), jax.random.normal(keys[2], z.shape, z.dtype)


@eqx.filter_jit
def _last_unsettled(
    network: Digraph | Layered, start: Phase, u: Any, z: Array, hops: Any, tau: Any
) -> Array:
    """Returns after how many of the hops the force stays near what it is at the end."""
    force = lambda p: pull_back(network, COST, p, u, z, p.costate)[2]  # noqa: E731
    hop = lambda p: LAW.settle(network, COST, p, u, z, tau)  # noqa: E731
    end = force(jax.lax.fori_loop(0, hops, lambda _, p: hop(p), start))

    def look(k: Any, carry: Any) -> Any:
        phase, last = carry
        off = squares(jax.tree.map(jnp.subtract, force(phase), end))
        # Not "above", which is false of what is no number.
        near = off <= TOLERANCE**2 * squares(end)
        return hop(phase), jnp.where(near, last, k + 1)

    return jax.lax.fori_loop(0, hops, look, (start, jnp.zeros((), jnp.int32)))[1]


def _input(network: Digraph | Layered, key: Array) -> Any:
    if isinstance(network, Digraph):
        return jax.random.normal(key, (network.inputs,))
    keys = jax.random.split(key, max(len(network.inputs), 1))
    named = zip(keys, network.inputs.items(), strict=False)
    return {name: jax.random.normal(k, shape) for k, (name, shape) in named}
