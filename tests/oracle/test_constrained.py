"""S2: hard connections, against autodiff, a separate Lagrangian, and a separate heavy ball."""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from jax.flatten_util import ravel_pytree

from localprop import ConfigError, Cost, Digraph, Layered, SharedWeights, SquaredError
from localprop.oracle import Constrained

pytestmark = pytest.mark.usefixtures("x64")

SIZES = (2, 4, 3, 1)
DECAY = 0.01


def _u(t):
    return jnp.array([jnp.sin(t), jnp.cos(0.7 * t)])


def _z(t):
    return jnp.array([0.3 * jnp.sin(0.5 * t)])


def _start(network, seed=0, speed=0.05):
    rng = np.random.default_rng(seed)
    w = ravel_pytree(network.init(jax.random.key(seed))[1])[0]
    return np.asarray(w), speed * rng.standard_normal(len(w))


def _layers(w, u):
    """The states of all neurons of `Layered.dense(SIZES)`, from flat weights, written out."""
    states, place = [u], 0
    for k, (a, b) in enumerate(pairwise(SIZES)):
        matrix = w[place : place + a * b].reshape(b, a)
        bias = w[place + a * b : place + a * b + b]
        place += a * b + b
        y = matrix @ states[-1] + bias
        states.append(y if k == len(SIZES) - 2 else jnp.tanh(y))
    return states[1:]


def _loss(w, t):
    return jnp.sum((_layers(w, _u(t))[-1] - _z(t)) ** 2) / 2 + DECAY / 2 * jnp.sum(w**2)


def _network():
    network = Layered.dense(SIZES)
    # The blocks' order in the flat vectors is alphabetical, and with it that of the layers.
    assert sorted(network.wiring) == list(network.wiring)
    return network


def _deltas(w, t):
    """dL / d(drive) of every neuron, by autodiff through the written-out layers."""

    def loss(pushes):
        y, place = _u(t), 0
        for k, (a, b) in enumerate(pairwise(SIZES)):
            matrix = w[place : place + a * b].reshape(b, a)
            v = matrix @ y + w[place + a * b : place + a * b + b]
            place += a * b + b
            y = (v if k == len(SIZES) - 2 else jnp.tanh(v)) + pushes[k]
        return jnp.sum((y - _z(t)) ** 2) / 2

    return jnp.concatenate(jax.grad(loss)([jnp.zeros(b) for b in SIZES[1:]]))


def test_s2_multipliers_of_massless_neurons_are_the_backprop_deltas():
    network = _network()
    w, w_rate = _start(network)
    now = Constrained(network, Cost(SquaredError(), DECAY)).instant(w, w_rate, 0.4, _u, _z)
    # Condition numbers here are below 1e3: float64 leaves 1e-12.
    np.testing.assert_allclose(now.multipliers, _deltas(w, 0.4), rtol=0, atol=1e-12)
    gradient = jax.grad(_loss)(w, 0.4)
    np.testing.assert_allclose(now.w_acceleration, -gradient, rtol=0, atol=1e-12)


def test_s2_multipliers_reach_the_deltas_in_proportion_to_the_neurons_mass():
    network = _network()
    w, w_rate = _start(network)
    deltas = _deltas(w, 0.4)

    def distance(neuron_mass):
        hard = Constrained(network, Cost(SquaredError(), DECAY), neuron_mass=neuron_mass, mass=2.0)
        found = hard.instant(w, w_rate, 0.4, _u, _z).multipliers
        return float(np.linalg.norm(found - deltas) / np.linalg.norm(deltas))

    masses = np.array([1e-1, 1e-2, 1e-3, 1e-4, 1e-5])
    distances = np.array([distance(m) for m in masses])
    slope = np.polyfit(np.log(masses[1:]), np.log(distances[1:]), 1)[0]
    assert abs(slope - 1) < 0.02
    assert distance(1e-7) < 1e-6


def test_s2_weights_of_massless_neurons_follow_the_heavy_ball():
    network = _network()
    w, w_rate = _start(network)
    mass, theta, times = 2.0, 0.3, np.linspace(0, 3, 7)
    hard = Constrained(network, Cost(SquaredError(), DECAY), mass=mass, dissipation=theta)
    path = hard.follow(w, w_rate, times, _u, _z)
    gradient = jax.jit(jax.grad(_loss))

    def rate(t, y):
        w, v = np.split(y, 2)
        return np.concatenate([v, -theta * v - np.asarray(gradient(w, t)) / mass])

    y0 = np.concatenate([w, w_rate])
    ball = scipy.integrate.solve_ivp(rate, (0, 3), y0, "LSODA", times, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(path.w, ball.y[: len(w)].T, rtol=0, atol=1e-6)
    states = [np.concatenate(_layers(w, _u(t))) for w, t in zip(path.w, times, strict=True)]
    np.testing.assert_allclose(path.x, np.stack(states), rtol=0, atol=1e-12)


def test_heavy_neurons_follow_lagranges_equations_in_the_weights_alone():
    """With x = X(w, t), T = m_w|ẇ|²/2 + m_x|Ẋ|²/2 and V = ℓ: no constraint, no multiplier."""
    network = _network()
    w, w_rate = _start(network, seed=1, speed=0.5)
    m_x, m_w, theta, t = 0.7, 1.3, 0.4, 0.9

    def kinetic(w, v, t):
        states = lambda w, t: jnp.concatenate(_layers(w, _u(t)))  # noqa: E731
        x_rate = jax.jvp(states, (w, t), (v, jnp.ones_like(t)))[1]
        return m_w / 2 * jnp.sum(v**2) + m_x / 2 * jnp.sum(x_rate**2)

    w, v, t = jnp.asarray(w), jnp.asarray(w_rate), jnp.asarray(t)
    momentum = jax.grad(kinetic, argnums=1)
    inertia = jax.jacobian(momentum, argnums=1)(w, v, t)
    drift = jax.jvp(lambda w, t: momentum(w, v, t), (w, t), (v, jnp.ones_like(t)))[1]
    force = jax.grad(kinetic)(w, v, t) - jax.grad(_loss)(w, t) - theta * momentum(w, v, t) - drift
    expected = jnp.linalg.solve(inertia, force)

    cost = Cost(SquaredError(), DECAY)
    hard = Constrained(
        network, cost, neuron_mass=m_x, mass=m_w, neuron_dissipation=theta, dissipation=theta
    )
    now = hard.instant(np.asarray(w), w_rate, 0.9, _u, _z)
    np.testing.assert_allclose(now.w_acceleration, expected, rtol=0, atol=1e-11)


def test_the_constraint_holds_on_a_digraph_with_cycles_and_weights_at_rest():
    network = Digraph.random(
        7, 2, outputs=(0,), density=0.3, seed=3, storage="sparse", fixed={("1", "x0"): 0.2}
    )
    w, w_rate = _start(network, seed=2)
    held = ~np.asarray(network.plastic)
    w_rate[held] = 0
    hard = Constrained(network, Cost(SquaredError(), DECAY), neuron_mass=0.5)
    path = hard.follow(w, w_rate, np.array([0.0, 0.5, 1.0]), _u, _z)
    for w_t, x, t in zip(path.w, path.x, (0.0, 0.5, 1.0), strict=True):
        drive = network.drive(jnp.asarray(x), jnp.asarray(w_t), _u(t))
        np.testing.assert_allclose(x, drive, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(path.w[:, held], np.full((3, 1), 0.2))


@pytest.mark.parametrize(
    "wrong", [{"mass": 0.0}, {"neuron_mass": -1.0}, {"dissipation": -0.1}], ids=str
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Constrained(Digraph.layered([1, 1]), Cost(SquaredError()), **wrong)


def test_several_streams_are_refused():
    with pytest.raises(ConfigError, match="one stream"):
        Constrained(SharedWeights(Digraph.layered([1, 1]), 2), Cost(SquaredError()))
