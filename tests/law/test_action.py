"""The least-action principle: the action itself is stationary along the law's trajectory."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from localprop import Constant, Cost, Digraph, Inertial, LeastAction, SquaredError
from localprop.law import SemiImplicitEuler, Splitting

pytestmark = pytest.mark.usefixtures("x64")

NETWORK, DECAY, STIFFNESS = Digraph.complete(3, inputs=1), 0.05, 2.0
COST = Cost(SquaredError(), DECAY)
M_X, M_W, THETA, END = 0.8, 1.5, 0.7, 1.5
HOPS = (128, 256)


def _environment(t):
    return jnp.array([jnp.cos(2 * t)]), jnp.array([jnp.sin(1 + 3 * t)])


def _lagrangian(x, w, x_rate, w_rate, t):
    """T - U of laws.md, section 9, with no part of localprop in it."""
    u, z = _environment(t)
    mismatch = x - jnp.tanh(w @ jnp.concatenate([u, jnp.ones(1), x]))
    potential = STIFFNESS / 2 * jnp.sum(mismatch**2) + DECAY / 2 * jnp.sum(w**2)
    potential += jnp.sum((x[:1] - z) ** 2) / 2
    return M_X / 2 * jnp.sum(x_rate**2) + M_W / 2 * jnp.sum(w_rate**2) - potential


def _action(x, w, tau, theta):
    """The action of straight pieces between the points, by the rule of the midpoint."""
    middle = tau * (jnp.arange(len(x) - 1) + 0.5)
    mean, rate = (lambda y: (y[1:] + y[:-1]) / 2), (lambda y: (y[1:] - y[:-1]) / tau)
    pieces = jax.vmap(_lagrangian)(mean(x), mean(w), rate(x), rate(w), middle)
    return tau * jnp.sum(jnp.exp(theta * middle) * pieces)


def _trajectory(law, hops):
    """Returns the law's own states and weights, start included, in an environment that moves."""
    tau, rng = END / hops, np.random.default_rng(5)
    phase = law.init(NETWORK, COST, jax.random.key(1))
    draw = lambda a: jnp.asarray(rng.standard_normal(a.shape) / 2)  # noqa: E731
    drawn = draw(phase.x), draw(phase.costate), draw(phase.momentum)
    start = eqx.tree_at(lambda p: (p.x, p.costate, p.momentum), phase, drawn)

    def one(phase, k):
        after = law.hop(NETWORK, COST, phase, *_environment((k + law.motion.lead()) * tau), tau)
        return after, (after.x, after.w)

    x, w = jax.jit(lambda p: jax.lax.scan(one, p, jnp.arange(hops))[1])(start)
    return jnp.concatenate([start.x[None], x]), jnp.concatenate([start.w[None], w]), tau


SLOPES = jax.jit(jax.grad(_action, argnums=(0, 1)))


def _residual(trajectory, theta):
    """Returns the largest slope of the action at an inner point, per unit of time and of φ."""
    x, w, tau = trajectory
    hops, slopes = len(x) - 1, SLOPES(x, w, tau, theta)
    weight = tau * jnp.exp(theta * tau * jnp.arange(1, hops))
    return max(
        float(jnp.max(jnp.abs(s[1:-1].reshape(hops - 1, -1) / weight[:, None]))) for s in slopes
    )


def _law(motion, theta_x=THETA, theta_w=THETA):
    return LeastAction(STIFFNESS, Inertial(M_X, theta_x), Constant(M_W), theta_w, motion)


@pytest.mark.parametrize(("motion", "order"), [(Splitting(), 2), (SemiImplicitEuler(), 1)])
def test_the_action_is_stationary_along_the_trajectory_to_the_order_of_the_step(motion, order):
    coarse, fine = (_residual(_trajectory(_law(motion), hops), THETA) for hops in HOPS)
    # The next order's share of the error is a few percent at these steps.
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.15)


def test_with_two_frictions_no_common_weight_makes_the_action_stationary():
    law = _law(Splitting(), theta_x=1.0, theta_w=0.4)
    paths = [_trajectory(law, hops) for hops in HOPS]
    common = _residual(_trajectory(_law(Splitting()), HOPS[-1]), THETA)
    for theta in (0.0, 0.4, 0.7, 1.0):
        coarse, fine = (_residual(path, theta) for path in paths)
        assert fine > 0.9 * coarse, theta  # it does not go away with the step
        assert fine > 20 * common
