"""I2 under dissipation at finite speed: a factor c/(c + θ) for every neuron on the way."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines import hop, hopper, on_both_engines

from localprop import Cost, Digraph, ExplicitEuler, ExponentialEuler, Hamiltonian, SquaredError

SIZES, SPEED, THETA = [3, 4, 4, 2], 1.0, 0.7
COST = Cost(SquaredError())


def loss(weights, u, z):
    """Half the squared error of a plain feed-forward map, which knows nothing of time."""
    x = u
    for k, (w, b) in enumerate(weights):
        x = w @ x + b if k == len(weights) - 1 else jnp.tanh(w @ x + b)
    return jnp.sum((x - z) ** 2) / 2


def layers(w):
    """Cuts the digraph's matrix into matrix and bias of each layer."""
    found, first, row = [], 0, 0
    for parents, size in pairwise(SIZES):
        block = w[row : row + size]
        found.append((block[:, first : first + parents], block[:, SIZES[0]]))
        first, row = SIZES[0] + 1 + row, row + size
    return found


@on_both_engines
@pytest.mark.parametrize("integrator", [ExponentialEuler(), ExplicitEuler()])
def test_i2_the_force_on_layer_l_is_the_gradient_times_the_factor_of_all_layers_behind_it(
    integrator, engine, x64
):
    network = Digraph.layered(SIZES, speed=SPEED)
    law = Hamiltonian(dissipation=THETA, integrator=integrator)
    u, z = jnp.array([0.3, -1.2, 0.8]), jnp.array([1.0, -0.5])
    phase = law.init(network, COST, jax.random.key(1))

    # Of the start e^-200 is left.
    after = hop(hopper(engine, network, COST, law, 0.5, held=400), phase, u, z)
    force = -np.asarray(after.momentum) / 0.5
    gradient = jax.grad(loss)(layers(phase.w), u, z)
    factor, depth = SPEED / (SPEED + THETA), len(SIZES) - 1
    for k, (found, expected) in enumerate(zip(layers(force), gradient, strict=True)):
        for part, whole in zip(found, expected, strict=True):
            np.testing.assert_allclose(part, factor ** (depth - k) * whole, rtol=1e-12, atol=1e-15)
