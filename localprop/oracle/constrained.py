"""Hard connections: least action with $x = D(x, w, u)$ as a constraint, by Lagrange multipliers.

A reference, and not local: the multipliers of all neurons come from one linear system at every
instant. As $m_x \\to 0$ they become backpropagation's deltas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
import scipy.sparse
import scipy.sparse.linalg
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..cost import Cost
from ..errors import ConfigError
from ..law.base import output_loss, prefix_map
from ..network import AbstractNetwork

Path = Callable[[Any], Array]


class Instant(NamedTuple):
    """Constrained motion at an instant, neurons and weights as flat vectors.

    **Fields:** `x`, `x_rate`: state on the constraint and its velocity; `multipliers`: $\\mu$;
    `w_acceleration`: $\\ddot w$.
    """

    x: Float[np.ndarray, " n"]
    x_rate: Float[np.ndarray, " n"]
    multipliers: Float[np.ndarray, " n"]
    w_acceleration: Float[np.ndarray, " N"]


class Trajectory(NamedTuple):
    """Constrained motion at given times, one row per time."""

    w: Float[np.ndarray, "T N"]
    w_rate: Float[np.ndarray, "T N"]
    x: Float[np.ndarray, "T n"]
    multipliers: Float[np.ndarray, "T n"]


class Constrained(eqx.Module):
    """Neurons and weights as masses, under the holonomic constraints $G = x - D(x, w, u) = 0$.

    $$m_x(\\ddot x + \\theta_x\\dot x) = -L_x + G_x^\\top\\mu, \\qquad
      m_w(\\ddot w + \\theta_w\\dot w) = -kV_w + G_w^\\top\\mu, \\qquad G = 0$$

    [STLP; laws.md, S2]. Two derivatives of the constraint give, with
    $\\gamma = \\tfrac{d^2}{dt^2}G$ at constant velocities,

    $$\\bigl(G_xG_x^\\top + \\tfrac{m_x}{m_w}G_wG_w^\\top\\bigr)\\mu =
      G_x(L_x + m_x\\theta_x\\dot x) + \\tfrac{m_x}{m_w}G_w(kV_w + m_w\\theta_w\\dot w)
      - m_x\\gamma,$$

    a sparse system that stays sound at $m_x = 0$, where $\\mu = \\delta_{BP}$ and the weights
    follow the heavy ball. The state is not integrated but solved for, so nothing drifts off the
    constraint. Meant for small networks and float64.

    **Arguments:** `network`, `cost`; `neuron_mass`: $m_x \\ge 0$; `mass`: $m_w > 0$;
    `neuron_dissipation`, `dissipation`: $\\theta_x, \\theta_w \\ge 0$, per unit of time.

    **Raises:** `ConfigError` for numbers that make no sense, or several streams.

    !!! example

        ```python
        >>> import jax.numpy as jnp, numpy as np
        >>> from localprop import Cost, Digraph, SquaredError
        >>> from localprop.oracle.constrained import Constrained
        >>> network = Digraph.layered([1, 1], bias=False, storage="sparse")
        >>> hard = Constrained(network, Cost(SquaredError()))
        >>> w, u, z = np.array([2.0]), jnp.array([1.0]), jnp.array([0.5])
        >>> now = hard.instant(w, np.zeros(1), 0.0, lambda t: u, lambda t: z)
        >>> now.x.tolist(), now.multipliers.tolist()  # 2 x 1, and its distance to the target
        ([2.0], [1.5])

        ```
    """

    network: AbstractNetwork
    cost: Cost
    neuron_mass: float
    mass: float
    neuron_dissipation: float
    dissipation: float
    rest: Float[np.ndarray, " n"]
    free: Float[np.ndarray, " N"]
    as_x: Callable[[Array], Any] = eqx.field(static=True)
    as_w: Callable[[Array], Any] = eqx.field(static=True)

    def __init__(
        self,
        network: AbstractNetwork,
        cost: Cost,
        *,
        neuron_mass: float = 0.0,
        mass: float = 1.0,
        neuron_dissipation: float = 0.0,
        dissipation: float = 0.0,
    ):
        self.network, self.cost = network, cost
        self.neuron_mass, self.mass = neuron_mass, mass
        self.neuron_dissipation, self.dissipation = neuron_dissipation, dissipation
        for name in ("neuron_mass", "neuron_dissipation", "dissipation"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        if not mass > 0:
            raise ConfigError(f"mass is {mass}; it must be above 0")
        if network.streams is not None:
            raise ConfigError("constraints hold one stream; pass the network without streams")
        x, w = network.init(jax.random.key(0))
        free = jax.tree.map(jnp.ones_like, w)
        if network.plastic is not None:
            free = prefix_map(lambda p, a: jnp.where(p, a, 0), network.plastic, free)
        rest, self.as_x = ravel_pytree(x)
        self.as_w = ravel_pytree(w)[1]
        self.rest, self.free = np.asarray(rest), np.asarray(ravel_pytree(free)[0])

    def instant(
        self,
        w: Float[np.ndarray, " N"],
        w_rate: Float[np.ndarray, " N"],
        t: float,
        u: Path,
        z: Path,
    ) -> Instant:
        """Returns state, multipliers and acceleration at time `t`.

        **Arguments:** `w`, `w_rate`: flat, in the order of `ravel_pytree`; `u`, `z`: input
        `(d,)` and target `(m,)` as twice differentiable functions of time.

        **Raises:** `ConfigError` where the state cannot be put on the constraint.
        """
        x = self._on_constraint(w, u(t))
        G_x, G_w = self._jacobians(x, w, u(t))
        L_x, V_w = (np.asarray(a) for a in _slopes(self, x, w, z(t)))
        G_t = _along(self, x, w, np.zeros_like(x), np.zeros_like(w), t, u)[0]
        x_rate = _solve(G_x, -(G_w @ w_rate + np.asarray(G_t)))
        gamma = np.asarray(_along(self, x, w, x_rate, w_rate, t, u)[1])

        ratio = self.neuron_mass / self.mass
        push_x = L_x + self.neuron_mass * self.neuron_dissipation * x_rate
        push_w = V_w + self.mass * self.dissipation * w_rate
        matrix = G_x @ G_x.T + ratio * (G_w @ G_w.T)
        side = G_x @ push_x + ratio * (G_w @ push_w) - self.neuron_mass * gamma
        multipliers = _solve(matrix, side)
        return Instant(x, x_rate, multipliers, (G_w.T @ multipliers - push_w) / self.mass)

    def follow(
        self,
        w0: Float[np.ndarray, " N"],
        w_rate0: Float[np.ndarray, " N"],
        times: Float[np.ndarray, " T"],
        u: Path,
        z: Path,
    ) -> Trajectory:
        """Returns the motion at `times`, by SciPy's DOP853 at relative tolerance 1e-10.

        **Arguments:** `w0`, `w_rate0`: at `times[0]`; `times`: increasing; `u`, `z`: as for
        `instant`.

        **Raises:** `ConfigError` for a motion that cannot be followed.
        """
        size = len(w0)

        def rate(t: float, y: np.ndarray) -> np.ndarray:
            now = self.instant(y[:size], y[size:], t, u, z)
            return np.concatenate([y[size:], now.w_acceleration])

        start, span = np.concatenate([w0, w_rate0]), (float(times[0]), float(times[-1]))
        found = scipy.integrate.solve_ivp(
            rate, span, start, "DOP853", t_eval=times, rtol=1e-10, atol=1e-12
        )
        if not found.success:
            raise ConfigError(f"the motion cannot be followed to {span[1]}: {found.message}")
        w, w_rate = found.y[:size].T, found.y[size:].T
        path = [self.instant(a, b, t, u, z) for a, b, t in zip(w, w_rate, times, strict=True)]
        states, multipliers = [now.x for now in path], [now.multipliers for now in path]
        return Trajectory(w, w_rate, np.stack(states), np.stack(multipliers))

    def _on_constraint(self, w: np.ndarray, u: Array) -> np.ndarray:
        """Solves $x = D(x, w, u)$: the relaxation from rest, polished by Newton's method."""
        x = self.rest
        for _ in range(self.network.depth):
            x = np.asarray(_drive(self, x, w, u))
        tolerance = 100 * np.finfo(x.dtype).eps
        for _ in range(20):
            gap = x - np.asarray(_drive(self, x, w, u))
            if np.max(np.abs(gap)) <= tolerance * (1 + np.max(np.abs(x))):
                return x
            x = x - _solve(self._jacobians(x, w, u)[0], gap)
        raise ConfigError(f"x = D has no solution near rest: |x - D| is {np.max(np.abs(gap)):.1e}")

    def _jacobians(self, x: np.ndarray, w: np.ndarray, u: Array) -> tuple[Any, Any]:
        """Returns $G_x$ and $G_w$, the latter 0 for weights of infinite mass."""
        D_x, D_w = _slopes_of_drive(self, x, w, u)
        G_x = scipy.sparse.eye_array(len(x)) - scipy.sparse.csc_array(D_x)
        return scipy.sparse.csc_array(G_x), -scipy.sparse.csc_array(D_w)


def _solve(matrix: Any, side: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.sparse.linalg.spsolve(scipy.sparse.csc_array(matrix), side))


@eqx.filter_jit
def _drive(hard: Constrained, x: Any, w: Any, u: Any) -> Array:
    return ravel_pytree(hard.network.drive(hard.as_x(x), hard.as_w(w), u))[0]


@eqx.filter_jit
def _slopes_of_drive(hard: Constrained, x: Any, w: Any, u: Any) -> tuple[Array, Array]:
    D_x, D_w = jax.jacobian(_drive, argnums=(1, 2))(hard, jnp.asarray(x), jnp.asarray(w), u)
    return D_x, D_w * hard.free


@eqx.filter_jit
def _slopes(hard: Constrained, x: Any, w: Any, z: Any) -> tuple[Array, Array]:
    """Returns $L_x$ and $kV_w$."""
    loss = lambda x: output_loss(hard.network, hard.cost, hard.as_x(x), z)  # noqa: E731
    penalty = lambda w: jnp.asarray(hard.cost.penalty(hard.as_w(w)))  # noqa: E731
    return jax.grad(loss)(jnp.asarray(x)), jax.grad(penalty)(jnp.asarray(w)) * hard.free


@eqx.filter_jit
def _along(
    hard: Constrained, x: Any, w: Any, x_rate: Any, w_rate: Any, t: Any, u: Path
) -> tuple[Array, Array]:
    """Returns the first and second derivative of $G$ along constant velocities."""

    def path(s: Array) -> Array:
        y = x + s * x_rate
        return y - _drive(hard, y, w + s * w_rate, u(t + s))

    slope = lambda s: jax.jvp(path, (s,), (jnp.ones_like(s),))[1]  # noqa: E731
    zero = jnp.zeros(())
    return jax.jvp(slope, (zero,), (jnp.ones_like(zero),))
