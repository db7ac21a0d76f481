"""Newton's method for a learning problem on a grid, by one sweep of Riccati's recursion."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .transcription import Grid, Slope, slope


def minimise(
    grid: Grid, w: Float[Any, "T1 N"], iterations: int = 400, tolerance: float = 1e-10
) -> np.ndarray:
    """Returns the weights' trajectory at which the gradient of the action vanishes.

    A descent method. Where the Hessian is not positive definite, its Gauss-Newton part takes its
    place; steps are shortened until the action falls enough (Armijo), and rolled out with the
    sweep's feedback (differential dynamic programming), which keeps long trajectories together.

    **Arguments:** `w`: the start; `iterations`: at most; `tolerance`: largest component of the
    gradient per unit of time and action, at which to stop.
    """
    here, caution = slope(grid, w), 0.0
    floor = tolerance * max(1.0, float(here.action) / float(np.sum(grid.tau)))
    for _ in range(iterations):
        if float(np.abs(here.gradient).max()) <= floor * float(np.mean(grid.tau)):
            break
        gains, fall, caution = _positive_sweep(grid, w, here, caution)
        taken = _line_search(grid, w, here, gains, fall)
        if taken is None:
            break  # the action cannot fall further in float64
        w, here = taken
        caution = 0.0 if caution < 0.02 else caution / 4
    return np.asarray(w)


def _positive_sweep(grid: Grid, w: Any, here: Slope, caution: float) -> tuple[Array, float, float]:
    """Returns gains and slope with as much of the Hessian as leaves it positive definite.

    `caution` is the share of the network's curvature that is left out, from 0 (Newton) to 1
    (Gauss-Newton, always positive for a convex loss).
    """
    while True:
        # As an array: a Python number would be compiled in.
        gains, fall = sweep(grid, w, here.x, here.p_x, np.asarray(1.0 - caution))
        if np.isfinite(float(fall)) or caution == 1.0:
            return gains, float(fall), caution
        caution = min(1.0, max(4 * caution, 0.02))


def _line_search(
    grid: Grid, w: Any, here: Slope, gains: Array, fall: float
) -> tuple[Any, Slope] | None:
    # Close to the minimum the action cannot tell: let its own rounding error pass.
    noise = 1e-13 * abs(float(here.action))
    length = 1.0
    while length > 1e-6:
        there_w = roll_out(grid, w, here.x, gains, np.asarray(length))
        there = slope(grid, there_w)
        if float(there.action) <= float(here.action) + 1e-4 * length * fall + noise:
            smaller = np.abs(there.gradient).max() < np.abs(here.gradient).max()
            if -length * fall > noise or smaller:
                return there_w, there
        length /= 2
    return None


@eqx.filter_jit
def sweep(
    grid: Grid,
    w: Float[Any, "T1 N"],
    x: Float[Any, "T1 n"],
    p_x: Float[Any, "T n"],
    full: Any,
) -> tuple[Array, Array]:
    """Returns gains $(K, k)$ per step and the slope of the action along $k$.

    $\\delta v = K\\,(\\delta x, \\delta w) + k$ minimises the second-order model of the action.

    The model is linear-quadratic, so one backward sweep of Riccati's recursion solves it. With
    `full` = 0 the curvature of the network is left out (Gauss-Newton). NaN where the model has no
    minimum.
    """
    n = x.shape[1]
    s = jnp.concatenate([x[:-1], w[:-1]], axis=1)

    def running(s: Array, sample: Any) -> Array:
        _, z, tau, phi, _ = sample
        return tau * phi * grid.c * (grid.penalty(s[n:]) + grid.loss(s[:n], z))

    def motion(s: Array, sample: Any) -> Array:
        u, _, tau, _, _ = sample
        return grid.hop(s[:n], s[n:], u, tau)

    samples = (grid.u, grid.z, grid.tau, grid.phi, full * p_x)
    hamiltonian = lambda s, a: running(s, a) + a[4] @ motion(s, a)  # noqa: E731
    curvature = jax.vmap(jax.hessian(hamiltonian))(s, samples)
    force = jax.vmap(jax.grad(running))(s, samples)
    moves = jax.vmap(jax.jacobian(motion))(s, samples)
    inertia = grid.tau * grid.phi * grid.m * grid.c
    v = (w[1:] - w[:-1]) / grid.tau[:, None]
    return _backward(grid, curvature, force, moves, inertia, v)


def _backward(
    grid: Grid, curvature: Array, force: Array, moves: Array, inertia: Any, v: Array
) -> tuple[Array, Array]:
    """Riccati's recursion, from the end to the start."""
    n, weights = len(grid.x0), len(grid.w0)
    free = jnp.asarray(grid.free)
    held = jnp.diag(1 - free)

    def back(value: Any, sample: Any) -> tuple[Any, Any]:
        V, g = value
        Q, q, A_x, r, v, tau = sample
        # A = [A_x; 0 1], and the weights' rows of A are not multiplied out.
        VA = (V[:, :n] @ A_x).at[:, n:].add(V[:, n:])
        Q_ss = (Q + A_x.T @ VA[:n]).at[n:].add(VA[n:])
        q_s = (q + A_x.T @ g[:n]).at[n:].add(g[n:])
        Q_vv = r * jnp.eye(weights) + tau**2 * V[n:, n:]
        # Fixed weights have no control: their rows become v = 0.
        Q_vv = Q_vv * jnp.outer(free, free) + held
        Q_vs, q_v = free[:, None] * tau * VA[n:], free * (r * v + tau * g[n:])
        factor = jnp.linalg.cholesky(Q_vv)
        right = jnp.concatenate([Q_vs, q_v[:, None]], axis=1)
        gain = -jax.scipy.linalg.cho_solve((factor, True), right)
        V = Q_ss + Q_vs.T @ gain[:, :-1]
        return ((V + V.T) / 2, q_s + Q_vs.T @ gain[:, -1]), (gain, q_v @ gain[:, -1])

    size = n + weights
    end = (jnp.zeros((size, size)), jnp.zeros(size))
    samples = (curvature, force, moves, inertia, v, jnp.asarray(grid.tau))
    _, (gains, falls) = jax.lax.scan(back, end, samples, reverse=True)
    return gains, jnp.sum(falls)


@eqx.filter_jit
def roll_out(
    grid: Grid, w: Float[Any, "T1 N"], x: Float[Any, "T1 n"], gains: Array, length: Any
) -> Float[Any, "T1 N"]:
    """Returns the weights that the network meets when it follows the gains, $k$ times `length`."""

    def forth(here: tuple[Array, Array], sample: Any) -> tuple[tuple[Array, Array], Array]:
        x, w = here
        old_x, old_w, next_w, gain, u, tau = sample
        away = jnp.concatenate([x - old_x, w - old_w])
        dv = gain[:, :-1] @ away + length * gain[:, -1]
        after = grid.hop(x, w, u, tau), w + (next_w - old_w) + tau * dv
        return after, w

    samples = (x[:-1], w[:-1], w[1:], gains, grid.u, jnp.asarray(grid.tau))
    (_, last), path = jax.lax.scan(forth, grid.initial, samples)
    return jnp.concatenate([path, last[None]])
