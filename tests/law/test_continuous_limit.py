"""I11: hops converge to the continuous equations of costate reversal, on any grid."""

from __future__ import annotations

import equinox as eqx
import independent_maps as maps
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engines import on_engines
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

from localprop import Cost, Hamiltonian, Learner, SquaredError

pytestmark = pytest.mark.usefixtures("x64")

END, MASS, THETA, DECAY = 4.0, 2.0, 0.5, 0.1
SPEEDS = [0.5, 1.0, 2.0, 1.5, 0.7, 3.0, 1.0, 2.5, 0.9]
CONV_SPEEDS = (1.0, 3.0, 2.0, 1.5, 0.8)
CASES = {
    "dense": lambda: (maps.cyclic_digraph("dense", SPEEDS), jnp.asarray(SPEEDS)),
    "sparse": lambda: (maps.cyclic_digraph("sparse", SPEEDS), jnp.asarray(SPEEDS)),
    "convolution": lambda: (
        maps.cyclic_convolution(CONV_SPEEDS),
        dict(zip(["conv", "flat", "hidden", "head", "context"], CONV_SPEEDS, strict=True)),
    ),
}


def inputs(case, t):
    phase = np.arange(np.prod(case.input_shape)).reshape(case.input_shape)
    return np.sin(np.multiply.outer(t, 1 + phase / 7) + phase)


def target(t):
    return np.stack([np.cos(t), np.sin(1.3 * t)], axis=-1)


def exact_end(case, speed, phase):
    """Integrates section 4's equations of costate reversal, written out on flat vectors."""
    start, unflatten = ravel_pytree((phase.x, phase.costate, phase.w, phase.momentum))

    @jax.jit
    def rates(y, u, z):
        x, costate, w, momentum = unflatten(y)
        drive, pull = jax.vjp(lambda x, w: case.drive(x, w, u), x, w)
        d_x, d_w = pull(costate)
        l_x = jax.grad(lambda x: maps.squared_error(case.output(x), z))(x)
        every = jax.tree.map
        return ravel_pytree((
            every(lambda c, d, x: c * (d - x), speed, drive, x),
            every(lambda c, d, g, y: c * (d + g - y) - THETA * y, speed, d_x, l_x, costate),
            every(lambda p: p / MASS, momentum),
            every(lambda p, d, w: -THETA * p - (d + DECAY * w), momentum, d_w, w),
        ))[0]  # fmt: skip

    right = lambda t, y: np.asarray(rates(y, inputs(case, t), target(t)))  # noqa: E731
    return solve_ivp(right, (0, END), start, rtol=1e-9, atol=1e-11).y[:, -1]


@on_engines(CASES, "convolution")
def test_i11_uneven_and_even_samples_converge_to_the_continuous_trajectory(name, engine):
    case, speed = CASES[name]()
    law = Hamiltonian(mass=MASS, dissipation=THETA)
    cost = Cost(SquaredError(), weight_decay=DECAY)
    learner = Learner(case.network, cost, law, hops=2, settle=0, engine=engine)
    phase = eqx.tree_at(
        lambda p: p.w, learner.init(jax.random.key(0)), maps.random_weights(case.network, 0)
    )
    exact = exact_end(case, speed, phase)

    def error(durations):
        times = np.cumsum(durations) - durations
        stream = (inputs(case, times), target(times), durations)
        after, _ = learner.run(phase, stream, record=(), chunk=64)
        end = ravel_pytree((after.x, after.costate, after.w, after.momentum))[0]
        np.testing.assert_allclose(after.time, END, rtol=1e-12)
        return np.linalg.norm(end - exact) / np.linalg.norm(exact)

    uneven = np.random.default_rng(1).uniform(0.1, 1.9, 64)
    for durations in (uneven * END / uneven.sum(), np.full(64, END / 64)):
        # Every sample halved twice: a method of first order keeps a quarter of its error. Were the
        # limit another one, the ratio would fall to 1.
        errors = [error(np.repeat(durations / 2**k, 2**k)) for k in (0, 2, 4)]
        ratios = np.array(errors[:-1]) / errors[1:]
        assert np.all((ratios > 3.4) & (ratios < 4.6)), (errors, ratios)
