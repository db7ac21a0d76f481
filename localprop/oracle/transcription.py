"""The learning problem on a grid of time: action, exact costates, residual of Hamilton's equations.

State and weights live on the grid $t_0, \\dots, t_T$, the control $v_k = \\dot w$ on its $T$ steps:

$$x_{k+1} = \\Phi(x_k, w_k, u_k), \\quad w_{k+1} = w_k + \\tau_k v_k, \\quad
  F = \\sum_{k<T} \\tau_k\\varphi_k c \\bigl[\\tfrac m2 |v_k|^2 + k V(w_k) + L(x_k, z_k)\\bigr],$$

where $\\Phi$ is the hop that a policy makes with the state running forward. Stationarity of $F$ is
a symplectic discretisation of Hamilton's equations [NLP, eqs. 11-14], exact for this grid:

$$p_x^k = \\Phi_x^\\top p_x^{k+1} + \\tau_k\\varphi_k c L_x, \\quad
  p_w^k = p_w^{k+1} + \\Phi_w^\\top p_x^{k+1} + \\tau_k\\varphi_k c k V_w, \\quad
  p_w^{k+1} = -m c \\varphi_k v_k, \\quad p_x^T = p_w^T = 0.$$
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree, Scalar

from ..cost import Cost
from ..errors import ConfigError
from ..law import AbstractIntegrator, ExplicitEuler
from ..law.base import output_loss, prefix_map
from ..network import AbstractNetwork
from ..network.base import plain_speeds


class Problem(eqx.Module):
    """What is to be minimised: a network on a given stream, from given initial conditions.

    $$F(w) = \\int_0^T \\bigl[\\tfrac{mc}{2}|\\dot w|^2 + c\\,\\ell(w, x, t)\\bigr]
             e^{\\theta t} dt, \\qquad \\ell = k V(w) + L(x_O, z(t))$$

    [NLP, eq. 8], $c$ the mean speed (1 where speed is infinite). Tracking with the cost
    $\\int \\frac q2 (x_0 - z)^2 + \\frac r2 |\\dot w|^2 + r_w |w|^2$ is `mass=r/c`,
    `Cost(SquaredError(q/c), weight_decay=2*r_w/c)`.

    **Arguments:**

    - `network`, `cost`: any network without a stream axis; any cost.
    - `u`, `z`: inputs `(T, d)` and targets `(T, m)`, held over each step; trees are fine.
    - `x0`, `w0`: given state and weights at time 0.
    - `tau`: length of the steps, one for all or `(T,)`.
    - `mass`, `dissipation`: $m > 0$ and $\\theta \\ge 0$.
    - `integrator`: of the state; explicit Euler by default.

    **Raises:** `ConfigError` for numbers or shapes that make no sense.

    !!! example

        ```python
        >>> import numpy as np
        >>> from localprop import Cost, Digraph, SquaredError, oracle
        >>> network = Digraph.complete(1, bias=False, speed=1.0)
        >>> u, z = np.zeros((10, 0)), np.ones((10, 1))
        >>> problem = oracle.Problem(
        ...     network, Cost(SquaredError()), u, z, x0=np.zeros(1), w0=np.ones((1, 1)), tau=0.1
        ... )
        >>> at_rest = np.ones((11, 1, 1))
        >>> x, action = problem.replay(at_rest)  # x stays 0: the action is 1/2 per unit of time
        >>> round(action, 6)
        0.5

        ```
    """

    network: AbstractNetwork
    cost: Cost
    u: PyTree
    z: PyTree
    x0: PyTree
    w0: PyTree
    tau: Any
    mass: float = 1.0
    dissipation: float = 0.0
    integrator: AbstractIntegrator = ExplicitEuler()

    def __check_init__(self):
        if self.network.streams is not None:
            raise ConfigError("the oracle follows one stream; pass the network without streams")
        if not self.mass > 0 or not self.dissipation >= 0:
            raise ConfigError(
                f"mass {self.mass}, dissipation {self.dissipation}: above 0, and 0 or more"
            )
        tau = np.asarray(self.tau)
        if not np.all((tau > 0) & np.isfinite(tau)) or tau.shape not in ((), (self.steps,)):
            raise ConfigError("tau is one number above 0, or one for each of the T steps")
        if isinstance(self.integrator, ExplicitEuler) and np.isinf(self.speeds).any():
            raise ConfigError(
                "explicit Euler needs a finite speed; give the network speed=..., or take "
                "integrator=ExponentialEuler()"
            )
        for name in ("u", "z"):
            for leaf in jax.tree.leaves(getattr(self, name)):
                if len(leaf) != self.steps:
                    raise ConfigError(f"{name} has {len(leaf)} rows for {self.steps} steps")

    @property
    def steps(self) -> int:
        """$T$, the number of steps of the grid."""
        return len(jax.tree.leaves(self.z)[0])

    @property
    def speeds(self) -> Float[np.ndarray, " n"]:
        """$c_i$ of every component of the state, flat."""
        speeds = plain_speeds(self.network, "the oracle")
        spread = prefix_map(lambda c, x: np.broadcast_to(c, np.shape(x)), speeds, self.x0)
        return np.concatenate([np.ravel(s) for s in jax.tree.leaves(spread)]).astype(np.float64)

    @property
    def scale(self) -> float:
        """$c$, the mean speed, 1 where it is infinite."""
        c = float(np.mean(self.speeds))
        return c if np.isfinite(c) else 1.0

    def replay(self, w: PyTree) -> tuple[PyTree, float]:
        """Returns the forward network's state under a weights' trajectory, and the action $F$.

        **Arguments:** `w`: a tree like `w0` with a leading axis of $T + 1$ instants.
        """
        with jax.enable_x64(True):
            grid = Grid(self)
            action, x = _action_and_state(grid, grid.flatten(w))
            return grid.unflatten_x(np.asarray(x)), float(action)


class Grid(eqx.Module):
    """A `Problem` as functions of flat vectors, in float64; to be used where x64 is on."""

    problem: Problem
    x0: Float[np.ndarray, " n"]
    w0: Float[np.ndarray, " N"]
    u: PyTree
    z: PyTree
    tau: Float[np.ndarray, " T"]
    phi: Float[np.ndarray, " T"]
    free: Float[np.ndarray, " N"]
    speed: Float[np.ndarray, " n"]
    c: float
    m: float

    def __init__(self, problem: Problem):
        double = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float64), tree)  # noqa: E731
        self.problem = problem
        self.x0 = np.asarray(ravel_pytree(double(problem.x0))[0])
        self.w0 = np.asarray(ravel_pytree(double(problem.w0))[0])
        self.u, self.z = double(problem.u), double(problem.z)
        self.tau = np.broadcast_to(np.asarray(problem.tau, np.float64), (problem.steps,))
        begin = np.concatenate([[0.0], np.cumsum(self.tau)[:-1]])
        self.phi = np.exp(problem.dissipation * begin)
        self.c, self.m = problem.scale, float(problem.mass)
        plastic = True if problem.network.plastic is None else problem.network.plastic
        free = prefix_map(lambda p, w: np.broadcast_to(p, np.shape(w)), plastic, problem.w0)
        self.free = np.asarray(ravel_pytree(double(free))[0])
        self.speed = problem.speeds

    @property
    def initial(self) -> tuple[Array, Array]:
        return jnp.asarray(self.x0), jnp.asarray(self.w0)

    def flatten(self, w: PyTree) -> np.ndarray:
        """Returns a trajectory of weights as `(T + 1, N)`, fixed weights and $w(0)$ as given."""
        leaves = jax.tree.leaves(w)
        rows = len(self.tau) + 1
        if any(len(a) != rows for a in leaves):
            raise ConfigError(
                f"a weights' trajectory has {rows} instants, one more than there are steps; "
                f"this one has {len(leaves[0])}"
            )
        flat = np.concatenate([np.asarray(a, np.float64).reshape(rows, -1) for a in leaves], axis=1)
        flat = np.where(self.free, flat, self.w0)
        flat[0] = self.w0
        return flat

    def unflatten_x(self, x: np.ndarray) -> PyTree:
        return _unflatten(x, self.problem.x0)

    def unflatten_w(self, w: np.ndarray) -> PyTree:
        return _unflatten(w, self.problem.w0)

    def drive(self, x: Array, w: Array, u: PyTree) -> Array:
        """Returns $D(x, w, u)$, flat."""
        return ravel_pytree(self.problem.network.drive(self._x(x), self._w(w), u))[0]

    def hop(self, x: Array, w: Array, u: PyTree, tau: Any) -> Array:
        """Returns $\\Phi(x, w, u)$, the state one step later."""
        network, integrator = self.problem.network, self.problem.integrator

        def step(speed: Any, x: Array, drive: Array) -> Array:
            keep, pull = integrator.gains(speed, 1.0, 0.0, tau)
            return keep * x + pull * drive

        x_tree = self._x(x)
        drive = network.drive(x_tree, self._w(w), u)
        return ravel_pytree(prefix_map(step, network.speeds(), x_tree, drive))[0]

    def loss(self, x: Array, z: PyTree) -> Scalar:
        """Returns $L(x_O, z)$."""
        return output_loss(self.problem.network, self.problem.cost, self._x(x), z)

    def penalty(self, w: Any) -> Scalar:
        """Returns $k V(w)$."""
        return jnp.asarray(self.problem.cost.penalty(self._w(w)), jnp.float64)

    def _x(self, x: Array) -> PyTree:
        return _unflatten(x[None], self.problem.x0, row=0)

    def _w(self, w: Array) -> PyTree:
        return _unflatten(w[None], self.problem.w0, row=0)


def _unflatten(rows: Any, like: PyTree, row: int | None = None) -> PyTree:
    """Cuts `(T, size)` into a tree like `like` with a leading axis, or its one `row` without."""
    leaves, structure = jax.tree.flatten(like)
    bounds = np.cumsum([np.size(a) for a in leaves])[:-1]
    parts = jnp.split(rows, bounds, axis=1) if row is not None else np.split(rows, bounds, axis=1)
    shaped = [p.reshape(-1, *np.shape(a)) for p, a in zip(parts, leaves, strict=True)]
    return structure.unflatten([s if row is None else s[row] for s in shaped])


def action(
    grid: Grid, w: Float[Any, "T1 N"], push: Float[Any, "T n"]
) -> tuple[Scalar, Float[Any, "T1 n"]]:
    """Returns $F$ and the state, where `push[k]` is added to $x_{k+1}$.

    At `push = 0` the gradient with respect to `push[k]` is the costate $p_x^{k+1}$.
    """

    def step(x: Array, sample: Any) -> tuple[Array, Array]:
        w, u, tau, push = sample
        return grid.hop(x, w, u, tau) + push, x

    last, x = jax.lax.scan(step, grid.initial[0], (w[:-1], grid.u, grid.tau, push), unroll=4)
    v = (w[1:] - w[:-1]) / grid.tau[:, None]
    rate = jax.vmap(grid.penalty)(w[:-1]) + jax.vmap(grid.loss)(x, grid.z)
    total = jnp.sum(grid.tau * grid.phi * grid.c * (grid.m / 2 * jnp.sum(v**2, axis=1) + rate))
    return total, jnp.concatenate([x, last[None]])


class Slope(NamedTuple):
    """The action with its exact derivatives."""

    action: Scalar
    x: Float[Any, "T1 n"]
    gradient: Float[Any, "T1 N"]
    p_x: Float[Any, "T n"]


@eqx.filter_jit
def slope(grid: Grid, w: Float[Any, "T1 N"]) -> Slope:
    """Returns the action, the state, $\\partial F/\\partial w_k$ and the costates $p_x^{k+1}$.

    Rows of the gradient belonging to $w(0)$ and columns of fixed weights are zero.
    """
    push = jnp.zeros((len(grid.tau), len(grid.x0)))
    differentiate = jax.value_and_grad(action, argnums=(1, 2), has_aux=True)
    (total, x), (gradient, p_x) = differentiate(grid, w, push)
    return Slope(total, x, (gradient * grid.free).at[0].set(0.0), p_x)


@eqx.filter_jit
def _action_and_state(grid: Grid, w: Any) -> tuple[Scalar, Any]:
    return action(grid, w, jnp.zeros((len(grid.tau), len(grid.x0))))
