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
    grid: Grid,
    w: Float[Any, "T1 N"],
    iterations: int = 200,
    tolerance: float = 1e-10,
) -> np.ndarray:
    """Returns the weights' trajectory at which the gradient of the action vanishes.

    A descent method: the Hessian is shifted until it is positive definite, and steps are halved
    until the action falls enough (Armijo).

    **Arguments:** `w`: the start; `iterations`: at most; `tolerance`: largest component of the
    gradient per unit of time and action, at which to stop.
    """
    shift, here = 0.0, slope(grid, w)
    floor = tolerance * max(1.0, float(here.action) / float(np.sum(grid.tau)))
    for _ in range(iterations):
        if float(np.abs(here.gradient).max()) <= floor * float(np.mean(grid.tau)):
            break
        step, shift = _descent_direction(grid, w, here, shift)
        taken = _line_search(grid, w, here, step)
        if taken is None:
            break  # the action cannot fall further in float64
        length, w, here = taken
        # A full step says that the quadratic model is good: trust it more.
        shift = 0.0 if shift < 1e-3 else shift / 4 if length == 1.0 else shift
    return w


def _descent_direction(
    grid: Grid, w: np.ndarray, here: Slope, shift: float
) -> tuple[np.ndarray, float]:
    """Returns Newton's step with the smallest tried shift at which the Hessian is positive."""
    while True:
        # As an array: a Python number would be compiled in.
        step = np.asarray(newton_step(grid, w, here.x, here.p_x, np.asarray(shift)))
        if np.all(np.isfinite(step)):  # a Cholesky factor that does not exist is NaN
            return step, shift
        shift = max(4 * shift, 1e-2)


def _line_search(
    grid: Grid, w: np.ndarray, here: Slope, step: np.ndarray
) -> tuple[float, np.ndarray, Slope] | None:
    fall = float(np.sum(np.asarray(here.gradient) * step))
    # Close to the minimum the action cannot tell: let its own rounding error pass.
    noise = 1e-13 * abs(float(here.action))
    length = 1.0
    while length > 1e-6:
        there = slope(grid, w + length * step)
        if float(there.action) <= float(here.action) + 1e-4 * length * fall + noise:
            smaller = np.abs(there.gradient).max() < np.abs(here.gradient).max()
            if -length * fall > noise or smaller:
                return length, w + length * step, there
        length /= 2
    return None


@eqx.filter_jit
def newton_step(
    grid: Grid,
    w: Float[Any, "T1 N"],
    x: Float[Any, "T1 n"],
    p_x: Float[Any, "T n"],
    shift: Any,
) -> Float[Any, "T1 N"]:
    """Returns the step $\\delta w$ that minimises the second-order model of the action.

    The model along a trajectory is linear-quadratic in $(\\delta x, \\delta w)$ with control
    $\\delta v$, so one backward Riccati sweep and one forward sweep solve it. NaN where the
    Hessian, with `shift` added per weight and unit of time, is not positive definite.
    """
    n, weights = x.shape[1], w.shape[1]
    s = jnp.concatenate([x[:-1], w[:-1]], axis=1)

    def running(s: Array, sample: Any) -> Array:
        _, z, tau, phi, _ = sample
        return tau * phi * grid.c * (grid.penalty(s[n:]) + grid.loss(s[:n], z))

    def motion(s: Array, sample: Any) -> Array:
        u, _, tau, _, _ = sample
        return grid.hop(s[:n], s[n:], u, tau)

    samples = (grid.u, grid.z, grid.tau, grid.phi, p_x)
    hamiltonian = lambda s, a: running(s, a) + a[4] @ motion(s, a)  # noqa: E731
    curvature = jax.vmap(jax.hessian(hamiltonian))(s, samples)
    on_weights = jnp.concatenate([jnp.zeros(n), jnp.ones(weights)])
    curvature += (shift * grid.tau * grid.phi)[:, None, None] * jnp.diag(on_weights)
    force = jax.vmap(jax.grad(running))(s, samples)
    moves = jax.vmap(jax.jacobian(motion))(s, samples)
    inertia = grid.tau * grid.phi * grid.m * grid.c
    v = (w[1:] - w[:-1]) / grid.tau[:, None]

    gains = _backward(grid, curvature, force, moves, inertia, v)
    return _forward(grid, gains, moves)


def _backward(
    grid: Grid, curvature: Array, force: Array, moves: Array, inertia: Any, v: Array
) -> Array:
    """Riccati's recursion; returns per step the gain $(K, k)$ of $\\delta v = K\\delta s + k$."""
    n, weights = len(grid.x0), len(grid.w0)
    free = jnp.asarray(grid.free)
    held = jnp.diag(1 - free)

    def back(value: Any, sample: Any) -> tuple[Any, Array]:
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
        return ((V + V.T) / 2, q_s + Q_vs.T @ gain[:, -1]), gain

    size = n + weights
    end = (jnp.zeros((size, size)), jnp.zeros(size))
    samples = (curvature, force, moves, inertia, v, jnp.asarray(grid.tau))
    return jax.lax.scan(back, end, samples, reverse=True)[1]


def _forward(grid: Grid, gains: Array, moves: Array) -> Array:
    """Rolls the linear model out under the gains; returns $\\delta w$."""
    n = len(grid.x0)

    def forth(ds: Array, sample: Any) -> tuple[Array, Array]:
        gain, A_x, tau = sample
        dv = gain[:, :-1] @ ds + gain[:, -1]
        return jnp.concatenate([A_x @ ds, ds[n:] + tau * dv]), ds[n:]

    start = jnp.zeros(n + len(grid.w0))
    last, dw = jax.lax.scan(forth, start, (gains, moves, jnp.asarray(grid.tau)))
    return jnp.concatenate([dw, last[None, n:]])
