"""The best that any weights' trajectory can do: Hamilton's equations as a boundary-value problem.

Direct transcription of the action on a grid (`transcription.py`), states eliminated by running
the network forward, minimised from several starts by a quasi-Newton method and then, where the
network is small enough, by Newton's (`newton.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from . import newton, quasi_newton
from .transcription import Grid, Problem, Slope, slope

# Above this many numbers in the curvature along the trajectory, only first derivatives are used.
MOST_CURVATURE = 50_000_000
# Grids longer than this are first solved on every f-th step, f as the network's speed allows.
LONG = 1000
# Relative difference in cost: of two minima, before they are polished; of one minimum, after.
APART, SAME = 1e-3, 1e-6


class Solution(eqx.Module):
    """A stationary trajectory of the action, in float64.

    **Fields:**

    - `x`, `w`: state and weights at the $T + 1$ instants, trees with a leading axis.
    - `p_x`, `p_w`: costates of NLP's eqs. 11-14, likewise. `p_x` is the exact discrete adjoint;
      `p_w` is $-mc\\varphi\\dot w$ of the trajectory itself (at the first instant, where the
      weights are given, the adjoint), so that `end` measures the minimisation.
    - `cost`: the action $F$.
    - `residual`: of the discrete Hamilton's equations that `transcription.py` states, per
      equation `"x"`, `"w"`, `"p_x"`, `"p_w"`: root mean square, relative to that of the rate.
    - `continuous_residual`: of the continuous equations by the trapezoidal rule, likewise; it
      tells how fine the grid is, and falls like $\\tau$. NaN where speed is infinite.
    - `end`: largest $|p_x(T)|$, $|p_w(T)|$; 0 in theory.
    - `starts`: cost of every start, in order, before and after the quasi-Newton descent.
    """

    x: PyTree
    w: PyTree
    p_x: PyTree
    p_w: PyTree
    cost: float
    residual: dict[str, float]
    continuous_residual: dict[str, float]
    end: float
    starts: tuple[tuple[float, float], ...]


def solve(
    problem: Problem,
    starts: Sequence[PyTree] = (),
    *,
    random_starts: int = 2,
    seed: int = 0,
    iterations: int = 100,
) -> Solution:
    """Returns the trajectory of least action that was found.

    $$\\min_w F(w), \\qquad \\text{stationary where } \\dot w = -p_w/(mc\\varphi), \\;
      p_x(T) = p_w(T) = 0$$

    [NLP, eqs. 8, 11-14]. Starts are weights held at `w0`, weights that glide from `w0` to random
    constants, and those handed in.

    **Arguments:**

    - `problem`: network, cost, stream, initial conditions, grid.
    - `starts`: weights' trajectories to start from, such as a policy's own: trees like `w0` with
      a leading axis of $T + 1$ instants.
    - `random_starts`, `seed`: how many random constants, and their seed.
    - `iterations`: of L-BFGS, per start.

    **Raises:** `ConfigError` for a start of another length. **Warns:** where the best of its own
    starts ends in a worse stationary trajectory than one that was handed in: then the action has
    several, and the least of those found need not be the least there is.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.complete(2, speed=[1.0, 2.0])
        >>> rng = np.random.default_rng(0)
        >>> z = 0.5 * np.sin(0.1 * np.arange(100))[:, None]
        >>> problem = oracle.Problem(
        ...     network, Cost(SquaredError(10.0), weight_decay=0.1), np.zeros((100, 0)), z,
        ...     x0=np.zeros(2), w0=rng.uniform(0, 1, (2, 3)), tau=0.2,
        ... )
        >>> solution = oracle.solve(problem)
        >>> solution.end < 1e-6, max(solution.residual.values()) < 1e-4
        (True, True)

        ```
    """
    with jax.enable_x64(True):
        grid = Grid(problem)
        every = _starting_points(grid, starts, random_starts, seed)
        stride = _stride(grid)
        coarse = grid if stride == 1 else Grid(_thin(problem, grid, stride))
        before = [float(slope(grid, w).action) for w in every]
        found = [quasi_newton.minimise(coarse, _thin_rows(w, stride), iterations) for w in every]
        after = [float(slope(coarse, w).action) for w in found]
        best, own = int(np.argmin(after)), len(every) - len(starts)
        cold = int(np.argmin(after[:own]))
        # L-BFGS stops anywhere near a minimum: only costs farther apart may be those of two.
        apart = after[cold] - after[best] > APART * abs(after[best])
        w = _finish(grid, coarse, found[best], stride)
        if min(before) < float(slope(grid, w).action):  # thinning misled: start from the best
            best, apart = int(np.argmin(before)), True
            w = _polish(grid, quasi_newton.minimise(grid, every[best], iterations))
        if best >= own and apart:
            w = _compare(grid, _finish(grid, coarse, found[cold], stride), w)
        return _solution(grid, w, tuple(zip(before, after, strict=True)))


def _finish(grid: Grid, coarse: Grid, w: np.ndarray, stride: int) -> np.ndarray:
    w = _polish(coarse, w)
    return w if stride == 1 else _polish(grid, _refine(grid, w, stride))


def _compare(grid: Grid, cold: np.ndarray, warm: np.ndarray) -> np.ndarray:
    """Returns the cheaper trajectory, and warns where the cold start ended in a worse one."""
    by_cold, by_warm = (float(slope(grid, w).action) for w in (cold, warm))
    if by_cold <= by_warm:
        return cold
    if by_cold - by_warm > SAME * abs(by_warm):
        warnings.warn(
            f"the action has several stationary trajectories: the oracle's own starts end at "
            f"{by_cold:.6g}, a trajectory that was handed in at {by_warm:.6g}, which is returned; "
            "that none is lower is not known, so hand in more starts, or raise random_starts",
            stacklevel=3,
        )
    return warm


def _starting_points(grid: Grid, starts: Sequence[PyTree], count: int, seed: int) -> list:
    rows, rng = len(grid.tau) + 1, np.random.default_rng(seed)
    rest = np.tile(grid.w0, (rows, 1))
    elapsed = np.concatenate([[0.0], np.cumsum(grid.tau)])
    # A tenth of the time to get there: a jump would cost kinetic energy without bound.
    glide = np.minimum(1.0, 10 * elapsed / elapsed[-1])[:, None] * grid.free
    goals = [rng.normal(size=len(grid.w0)) for _ in range(count)]
    return [rest, *(rest + glide * (g - rest) for g in goals), *(grid.flatten(w) for w in starts)]


def _polish(grid: Grid, w: np.ndarray) -> np.ndarray:
    size = len(grid.x0) + len(grid.w0)
    if len(grid.tau) * size**2 <= MOST_CURVATURE:
        return newton.minimise(grid, w)
    return quasi_newton.minimise(grid, w, 20_000)


def _stride(grid: Grid) -> int:
    """Returns of how many steps one coarse step is made: $c\\tau \\le 1$ for the fastest neuron."""
    speed = float(np.max(grid.speed))
    fastest = 1 / (speed * float(np.max(grid.tau)))
    return max(1, min(int(fastest), len(grid.tau) // LONG))


def _thin(problem: Problem, grid: Grid, stride: int) -> Problem:
    rows = np.arange(0, problem.steps, stride)
    pick = lambda tree: jax.tree.map(lambda a: a[rows], tree)  # noqa: E731
    return eqx.tree_at(
        lambda p: (p.u, p.z, p.tau),
        problem,
        (pick(grid.u), pick(grid.z), np.add.reduceat(grid.tau, rows)),
    )


def _thin_rows(w: np.ndarray, stride: int) -> np.ndarray:
    return w if stride == 1 else np.concatenate([w[:-1:stride], w[-1:]])


def _refine(grid: Grid, w: np.ndarray, stride: int) -> np.ndarray:
    fine = np.concatenate([[0.0], np.cumsum(grid.tau)])
    known = _thin_rows(fine, stride)
    return np.stack([np.interp(fine, known, column) for column in w.T], axis=1)


def _solution(grid: Grid, w: np.ndarray, starts: tuple[tuple[float, float], ...]) -> Solution:
    here = slope(grid, w)
    y = _canonical(grid, w, here)
    discrete = {k: float(v) for k, v in _discrete_residual(grid, *y).items()}
    if np.all(np.isfinite(grid.speed)):
        continuous = {k: float(v) for k, v in _continuous_residual(grid, *y).items()}
    else:
        continuous = dict.fromkeys(discrete, float("nan"))
    x, w, p_x, p_w = (np.asarray(a) for a in y)
    end = max(float(np.abs(p_x[-1]).max()), float(np.abs(p_w[-1]).max()))
    return Solution(
        grid.unflatten_x(x),
        grid.unflatten_w(w),
        grid.unflatten_x(p_x),
        grid.unflatten_w(p_w),
        float(here.action),
        discrete,
        continuous,
        end,
        starts,
    )


def _canonical(grid: Grid, w: np.ndarray, here: Slope) -> tuple[Any, Any, Any, Any]:
    """Returns $x, w, p_x, p_w$ at every instant."""
    later = -grid.m * grid.c * (grid.phi / grid.tau)[:, None] * (w[1:] - w[:-1])
    u, z = jax.tree.map(lambda a: jnp.asarray(a)[0], (grid.u, grid.z))
    p_x0, p_w0 = _adjoint(
        grid, here.x[0], w[0], u, z, grid.tau[0], grid.phi[0], here.p_x[0], later[0]
    )
    p_x = jnp.concatenate([p_x0[None], here.p_x])
    return here.x, jnp.asarray(w), p_x, jnp.concatenate([p_w0[None], later])


def _adjoint(
    grid: Grid, x: Any, w: Any, u: Any, z: Any, tau: Any, phi: Any, p_x: Any, p_w: Any
) -> tuple[Array, Array]:
    """Returns $(p_x^k, p_w^k)$ from $(p_x^{k+1}, p_w^{k+1})$ by the discrete equations."""
    pull = jax.vjp(lambda x, w: grid.hop(x, w, u, tau), x, w)[1]
    back_x, back_w = pull(p_x)
    weight = tau * phi * grid.c
    back_x = back_x + weight * jax.grad(grid.loss)(x, z)
    return back_x, p_w + (back_w + weight * jax.grad(grid.penalty)(w)) * grid.free


@eqx.filter_jit
def _discrete_residual(
    grid: Grid,
    x: Float[Any, "T1 n"],
    w: Float[Any, "T1 N"],
    p_x: Float[Any, "T1 n"],
    p_w: Float[Any, "T1 N"],
) -> dict[str, Array]:
    """Compares every difference quotient with the discrete equation's right-hand side."""
    tau = grid.tau[:, None]
    hop = jax.vmap(grid.hop)(x[:-1], w[:-1], grid.u, grid.tau)
    back = jax.vmap(partial(_adjoint, grid))(
        x[:-1], w[:-1], grid.u, grid.z, grid.tau, grid.phi, p_x[1:], p_w[1:]
    )
    rates = {
        "x": ((x[1:] - x[:-1]) / tau, (hop - x[:-1]) / tau),
        "w": ((w[1:] - w[:-1]) / tau, -p_w[1:] / (grid.m * grid.c * grid.phi[:, None])),
        "p_x": ((p_x[1:] - p_x[:-1]) / tau, (p_x[1:] - back[0]) / tau),
        "p_w": ((p_w[1:] - p_w[:-1]) / tau, (p_w[1:] - back[1]) / tau),
    }
    return {name: _relative(lhs, rhs) for name, (lhs, rhs) in rates.items()}


@eqx.filter_jit
def _continuous_residual(grid: Grid, x: Array, w: Array, p_x: Array, p_w: Array) -> dict:
    """Compares difference quotients with the mean of the continuous right-hand side (section 3)."""
    speed, c = grid.speed, grid.c

    def rates(x: Array, w: Array, p_x: Array, p_w: Array, u: Any, z: Any, phi: Any) -> tuple:
        drive, pull = jax.vjp(lambda x, w: grid.drive(x, w, u), x, w)
        from_x, from_w = pull(speed * p_x)
        return (
            speed * (drive - x),
            -p_w / (grid.m * c * phi) * grid.free,
            speed * p_x - from_x - c * phi * jax.grad(grid.loss)(x, z),
            -(from_w + c * phi * jax.grad(grid.penalty)(w)) * grid.free,
        )

    y = (x, w, p_x, p_w)
    now = [a[:-1] for a in y]
    right = jax.vmap(rates)(now[0], now[1], now[2], now[3], grid.u, grid.z, grid.phi)
    # The sample at the very end is not given, so the last step is left out.
    mean = [(a[:-1] + a[1:]) / 2 for a in right]
    quotient = [(a[1:-1] - a[:-2]) / grid.tau[:-1, None] for a in y]
    names = ("x", "w", "p_x", "p_w")
    return {k: _relative(q, r) for k, q, r in zip(names, quotient, mean, strict=True)}


def _relative(quotient: Array, rate: Array) -> Array:
    """Root mean square of the difference over that of the rate (0 where both vanish)."""
    size = jnp.maximum(jnp.sum(quotient**2), jnp.sum(rate**2))
    off = jnp.sum((quotient - rate) ** 2)
    return jnp.sqrt(jnp.where(size == 0, 0.0, off / jnp.where(size == 0, 1.0, size)))
