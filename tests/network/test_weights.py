"""Which arrays of a block are weights: buffers never move, and no weight is in two blocks."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Block, Cost, GraphError, Hamiltonian, Layered, SquaredError
from localprop.network.weights import plastic_arrays


class Fourier(eqx.Module):
    """Random features: frequencies that are drawn once, and a gain that is learned."""

    frequencies: jax.Array
    gain: jax.Array
    unread: jax.Array

    def __init__(self, size, *, key):
        self.frequencies = jax.random.normal(key, (size, 2))
        self.gain, self.unread = jnp.ones(size), jnp.ones(3)

    def __call__(self, u):
        return self.gain * jnp.sin(jax.lax.stop_gradient(self.frequencies) @ u)


def network(first):
    top = Block(partial(eqx.nn.Linear, 4, 1), ["features"])
    return Layered({"features": Block(first, ["input"]), "top": top}, inputs=(2,), output="top")


@pytest.mark.parametrize("first", [partial(Fourier, 4), Fourier(4, key=jax.random.key(3))])
def test_a_buffer_never_moves_not_even_by_decay(first):
    net, cost = network(first), Cost(SquaredError(), weight_decay=0.1)
    law = Hamiltonian(mass=10.0, dissipation=0.5)
    start = phase = law.init(net, cost, jax.random.key(0))
    for _ in range(5):
        phase = law.hop(net, cost, phase, jnp.array([0.3, -1.0]), jnp.array([1.0]), 1.0)
    before, after = start.w["features"], phase.w["features"]
    np.testing.assert_array_equal(after.frequencies, before.frequencies)
    np.testing.assert_array_equal(after.unread, before.unread)
    assert np.all(after.gain != before.gain)
    assert np.all(phase.w["top"].weight != start.w["top"].weight)


def test_plastic_arrays_are_those_with_a_slope():
    """Against reverse-mode differentiation at a point without zeros."""

    def drive(w):
        still = jax.lax.stop_gradient(w["still"])
        looped = jax.lax.scan(lambda s, _: (s * w["looped"], None), still, length=2)[0]
        return jnp.maximum(looped, 0) + jax.jit(jnp.tanh)(w["inner"]) + jnp.round(still)

    w = {name: jnp.full(3, 0.7) for name in ("still", "looped", "inner", "unread")}
    slopes = jax.grad(lambda w: jnp.sum(drive(w)))(w)
    assert plastic_arrays(drive, w) == {name: bool(np.any(s)) for name, s in slopes.items()}
    # A slope that is zero at this point alone is a slope.
    assert plastic_arrays(lambda w: jnp.sum(w**2), jnp.zeros(2)) is True


def test_ordinary_networks_have_no_buffers():
    assert Layered.dense([2, 3, 1]).plastic is None
    held = Layered(
        {
            "a": Block(partial(eqx.nn.Linear, 2, 2), ["input"], fixed=True),
            "b": Block(partial(eqx.nn.Linear, 2, 1), ["a"]),
        },
        inputs=(2,),
        output="b",
    )
    assert held.plastic == {"a": False, "b": True}


def test_one_module_in_two_blocks_is_refused():
    """They would be tied in the user's eyes, and learn apart."""
    shared = eqx.nn.Linear(2, 2, key=jax.random.key(0))
    mlp = eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(1))

    def blocks(a, b, **settings):
        chain = {"a": Block(a, ["input"], **settings), "b": Block(b, ["a"], "tanh", **settings)}
        return Layered(chain, inputs=(2,), output="b")

    said = r"blocks 'a' and 'b' hold the same weights, of shape \(.*copy.deepcopy"
    with pytest.raises(GraphError, match=said):
        blocks(shared, shared)
    with pytest.raises(GraphError, match=said):
        blocks(mlp, mlp)
    with pytest.raises(GraphError, match=said):  # a part of the other
        blocks(shared, eqx.nn.Sequential([eqx.nn.Lambda(jnp.tanh), shared]))
    made = blocks(lambda key: shared, lambda key: shared)
    with pytest.raises(GraphError, match=said):
        made.init(jax.random.key(0))
    blocks(shared, shared, fixed=True)  # what never moves stays equal
    ravel = eqx.nn.Lambda(jnp.ravel)
    blocks(ravel, ravel)
