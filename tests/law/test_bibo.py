"""I10: states stay bounded whatever weights, inputs, speeds and hop lengths do [NLP, Prop. 1]."""

from __future__ import annotations

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from localprop import Block, Cost, Digraph, Hamiltonian, Layered, Learner, SquaredError

HOPS, NEURONS = 5, 7
# Products of two such numbers, and sums of a few of them, are still numbers.
huge = st.floats(-1e150, 1e150)
lengths = st.floats(1e-300, 1e300)
speeds = st.one_of(st.just(np.inf), st.floats(1e-300, 1e300))
BOUNDED = ["tanh", "logistic", jnp.sin, "tanh", "logistic", lambda a: a / (1 + jnp.abs(a)), "tanh"]


def check_bound(network, x, weights, inputs, taus):
    """Relaxes under weights and inputs that change at every hop; |σ| ≤ 1 on every vertex."""
    law = Hamiltonian()
    phase = law.init(network, Cost(SquaredError()), jax.random.key(0))
    phase = eqx.tree_at(lambda p: p.x, phase, x)
    trajectory = _relax(law, network, phase, weights, inputs, taus)
    for start, path in zip(jax.tree.leaves(x), jax.tree.leaves(trajectory), strict=True):
        bound = np.abs(start) + 1
        # keep + pull may exceed 1 by the rounding of four operations in every hop.
        assert np.all(np.abs(path) <= bound * (1 + 8 * HOPS * np.finfo(float).eps))


@eqx.filter_jit
def _relax(law, network, phase, weights, inputs, taus):
    def hop(phase, now):
        w, u, tau = now
        phase = law.relax(network, eqx.tree_at(lambda p: p.w, phase, w), u, tau)
        return phase, phase.x

    return jax.lax.scan(hop, phase, (weights, inputs, taus))[1]


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_i10_digraphs_are_bounded(storage):
    with jax.enable_x64(True):
        network = Digraph.random(
            NEURONS, 2, density=0.5, activation=BOUNDED, speed=np.ones(NEURONS), storage=storage
        )
        arcs = network.init(jax.random.key(0))[1].shape

        @settings(max_examples=60, derandomize=True, deadline=None)
        @given(
            x=hnp.arrays(float, NEURONS, elements=huge),
            weights=hnp.arrays(float, (HOPS, *arcs), elements=huge),
            inputs=hnp.arrays(float, (HOPS, 2), elements=huge),
            speed=hnp.arrays(float, NEURONS, elements=speeds),
            taus=hnp.arrays(float, HOPS, elements=lengths),
        )
        def bounded(x, weights, inputs, speed, taus):
            adversarial = eqx.tree_at(lambda n: n.speed, network, jnp.asarray(speed))
            check_bound(adversarial, x, weights, inputs, taus)

        bounded()


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_i10_digraphs_are_bounded_in_native_loops(storage):
    """Without a target no weight moves, so that a sample of one hop relaxes and no more."""
    activations = ["tanh", "logistic", "tanh", "tanh", "logistic", "logistic", "tanh"]
    none, cost = np.full((1, 1), np.nan), Cost(SquaredError())
    with jax.enable_x64(True):

        @settings(max_examples=40, derandomize=True, deadline=None)
        @given(data=st.data(), speed=st.lists(speeds, min_size=NEURONS, max_size=NEURONS))
        def bounded(data, speed):
            network = Digraph.random(
                NEURONS, 2, density=0.5, activation=activations, speed=speed, storage=storage
            )
            learner = Learner(network, cost, Hamiltonian(), hops=1, settle=0, engine="native")
            phase = learner.init(jax.random.key(0))
            draw = lambda *shape: data.draw(hnp.arrays(float, shape, elements=huge))  # noqa: E731
            start = draw(NEURONS)
            phase = eqx.tree_at(lambda p: p.x, phase, jnp.asarray(start))
            for k in range(HOPS):
                phase = eqx.tree_at(lambda p: p.w, phase, jnp.asarray(draw(*phase.w.shape)))
                tau = data.draw(lengths)
                phase, _ = learner.run(phase, (draw(1, 2), none, np.array([tau])), record=())
                bound = (np.abs(start) + 1) * (1 + 8 * (k + 1) * np.finfo(float).eps)
                assert np.all(np.abs(phase.x) <= bound)

        bounded()


@pytest.mark.parametrize("speed", [1e-300, 1e-3, 3.0, 1e300, np.inf])
def test_i10_convolutions_with_feedback_are_bounded(speed):
    with jax.enable_x64(True):
        blocks = {
            "conv": Block(partial(eqx.nn.Conv2d, 2, 1, 3, padding=1), ["input", "read"], "tanh",
                          speed),
            "read": Block(partial(eqx.nn.Conv2d, 1, 1, 1), ["conv"], "logistic", shape=(1, 3, 3)),
        }  # fmt: skip
        network = Layered(blocks, inputs=(1, 3, 3), output="read")
        shapes = jax.tree.map(lambda a: a.shape, network.init(jax.random.key(0)))

        @settings(max_examples=15, derandomize=True, deadline=None)
        @given(data=st.data())
        def bounded(data):
            draw = lambda *shape: data.draw(hnp.arrays(float, shape, elements=huge))  # noqa: E731
            is_shape = lambda leaf: isinstance(leaf, tuple)  # noqa: E731
            x = jax.tree.map(lambda s: draw(*s), shapes[0], is_leaf=is_shape)
            weights = jax.tree.map(lambda s: draw(HOPS, *s), shapes[1], is_leaf=is_shape)
            taus = data.draw(hnp.arrays(float, HOPS, elements=lengths))
            check_bound(network, x, weights, draw(HOPS, 1, 3, 3), taus)

        bounded()
