"""Linear-quadratic control by the law itself: the plant as a network, and policies that run it.

$\\dot x = Ax + w$ with the cost $\\int\\tfrac12(x^\\top Qx + w^\\top Rw + m|\\dot w|^2)\\,dt$ is a
digraph of linear neurons of speed $c$: the arcs between them are held at $1 + A/c$, and each has
one plastic arc $w_i$, from a constant neuron of value $1/c$, so that $c(D - x) = Ax + w$. The
regulariser is $V = \\tfrac12 w^\\top Rw$, the loss $L = \\tfrac12 x^\\top Qx$: nothing is added
to the network, the cost or the law. `oracle.linear_quadratic` has the same in matrices of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..cost import Cost
from ..law import (
    AbstractPolicy,
    Cauchy,
    Constant,
    CostateReversal,
    ExplicitEuler,
    ExponentialEuler,
    FastCostates,
    Hamiltonian,
    HamiltonianTrack,
    Phase,
    SignFlip,
)
from ..network import Digraph
from ..oracle.linear_quadratic import Plant

# The track's ball counts held arcs too, (1 + a/c)² of them: up to 9 on the plants below.
GAIN, HORIZON, RADIUS = 5.0, 0.25, 16.0


class Way(NamedTuple):
    """A policy with the steps that suit it, and what it is in numbers.

    **Fields:** `policy`; `tau`: length of a hop; `gains`: $(s_x, s_p)$ hop by hop, over and over;
    `friction`: of the costates, for a dissipation; `relaxes`: whether leaks are solved exactly and
    weights move with the new momentum, as by default, or all by explicit Euler, as in the paper.
    """

    policy: AbstractPolicy
    tau: float
    gains: tuple[tuple[float, float], ...]
    friction: Callable[[float], float] = lambda theta: theta
    relaxes: bool = False

    def law(self, mass: Any, dissipation: Any) -> Hamiltonian:
        """Returns the law that is run."""
        integrator = ExponentialEuler() if self.relaxes else ExplicitEuler()
        weights = "semi-implicit" if self.relaxes else "explicit"
        law = Hamiltonian(self.policy, Constant(1.0), 0.0, integrator, weights)
        return eqx.tree_at(lambda law: (law.mass.m, law.dissipation), law, (mass, dissipation))

    def cycle(self, plant: Plant, dissipation: float) -> list[np.ndarray]:
        """Returns the matrices of the hops, by `oracle.linear_quadratic`."""
        friction = self.friction(dissipation)
        steps = {"exponential": self.relaxes, "semi_implicit": self.relaxes}
        return [plant.hop(self.tau, *gains, friction, **steps) for gains in self.gains]


# The sign flip converges at a rate in proportion to its step, and so has a longer one. Inside its
# ball, where the origin lies, a Hamiltonian track is Cauchy's policy.
WAYS: dict[str, Way] = {
    "costate reversal": Way(CostateReversal(), 0.02, ((1.0, -1.0),), relaxes=True),
    "fast costates": Way(
        FastCostates(GAIN, HORIZON),
        0.02,
        ((1.0, -GAIN),),
        lambda theta: GAIN * (theta + 1 / HORIZON),
        relaxes=True,
    ),
    "sign flip": Way(SignFlip(1), 0.1, ((1.0, 1.0), (-1.0, -1.0))),
    "Hamiltonian track": Way(HamiltonianTrack(RADIUS), 0.02, ((1.0, 1.0),)),
    "Cauchy": Way(Cauchy(), 0.02, ((1.0, 1.0),)),
}


class Problems(NamedTuple):
    """Plants under a dissipation, many at once.

    **Fields:** `a`, `q`, `r`: `(points, n, n)`; `mass`, `dissipation`, `speed`: `(points,)`.
    """

    a: np.ndarray | Array
    q: np.ndarray | Array
    r: np.ndarray | Array
    mass: np.ndarray | Array
    dissipation: np.ndarray | Array
    speed: np.ndarray | Array

    def plant(self, k: int) -> Plant:
        """Returns one of the plants."""
        a, q, r = (np.asarray(value)[k] for value in (self.a, self.q, self.r))
        return Plant(a, q, r, float(self.mass[k]), float(self.speed[k]))


def random_problems(points: int, neurons: int = 1, seed: int = 0) -> Problems:
    """Returns random problems, every second of them without dissipation.

    $A$ has independent entries in $\\pm2/\\sqrt n$; $Q$ and $R$ have eigenvalues, $m$ values
    log-uniform in [0.1, 10]; $\\theta$ is uniform in [0, 4], $c$ log-uniform in [1, 10].
    """
    rng = np.random.default_rng(seed)
    shape = (points, neurons, neurons)

    def weights() -> np.ndarray:
        axes = np.linalg.qr(rng.standard_normal(shape))[0]
        return np.einsum("kij,kj,klj->kil", axes, 10 ** rng.uniform(-1, 1, shape[:2]), axes)

    return Problems(
        a=rng.uniform(-2, 2, shape) / np.sqrt(neurons),
        q=weights(),
        r=weights(),
        mass=10 ** rng.uniform(-1, 1, points),
        dissipation=rng.uniform(0, 4, points) * (np.arange(points) % 2),
        speed=10 ** rng.uniform(0, 1, points),
    )


class Outcome(NamedTuple):
    """What became of each point.

    **Fields:** `end`: $(x, w, p, \\pi)$ after the last hop; `cost`: of the trajectory; `replayed`:
    cost of the same weights in the forward network, which no policy moves backward. Infinite or
    NaN where numbers overflow.
    """

    end: Float[Array, "points N"]
    cost: Float[Array, " points"]
    replayed: Float[Array, " points"]


@partial(jax.jit, static_argnames=("way", "hops"))
def follow(way: str, problems: Problems, start: Float[Array, "points N"], hops: int) -> Outcome:
    """Lets a law run on every point, from $y = (x, w, p, \\pi)$, in one compiled loop.

    **Arguments:** `way`: one of `WAYS`; `problems`; `start`; `hops`: how many.
    """
    return jax.vmap(partial(_follow, WAYS[way], hops))(problems, start)


def parts(way: Way, problem: Problems) -> tuple[Digraph, Cost, Hamiltonian, Float[Array, " one"]]:
    """Returns the network, the cost, the law and the input that are one linear-quadratic problem.

    **Arguments:** `way`; `problem`: one point of `Problems`, its numbers traced or not.
    """
    n = problem.a.shape[-1]
    names = [f"x{i}" for i in range(n)]
    network = Digraph.complete(
        n,
        inputs=1,
        outputs=range(n),
        bias=False,
        activation="identity",
        speed=1.0,
        storage="dense",
        fixed={(a, b): 0.0 for a in names for b in names},
    )
    network = eqx.tree_at(lambda net: net.speed, network, problem.speed)
    cost = Cost(
        lambda x, _: x @ problem.q @ x / 2,
        weight_decay=1.0,
        regulariser=lambda w: w[:, 0] @ problem.r @ w[:, 0] / 2,
    )
    law = way.law(problem.mass, problem.dissipation)
    return network, cost, law, 1 / jnp.atleast_1d(problem.speed)


def phase_of(network: Digraph, law: Hamiltonian, problem: Problems, y: Array) -> Phase:
    """Returns the phase whose state, weights and costates are $y = (x, w, p, \\pi)$."""
    n = problem.a.shape[-1]
    phase = law.init(eqx.tree_at(lambda net: net.speed, network, 1.0), NO_COST, jax.random.key(0))
    x, w, p, momentum = jnp.split(y, 4)
    held = jnp.eye(n) + problem.a / problem.speed
    columns = lambda first, rest: jnp.concatenate([first[:, None], rest], axis=1)  # noqa: E731
    values = x, columns(w, held), problem.speed * p, columns(momentum, jnp.zeros((n, n)))
    return eqx.tree_at(lambda q: (q.x, q.w, q.costate, q.momentum), phase, values)


def vector_of(phase: Phase, problem: Problems) -> Array:
    """Returns $y = (x, w, p, \\pi)$ of a phase, with $p = \\lambda/c$."""
    costate = phase.costate / problem.speed
    return jnp.concatenate([phase.x, phase.w[:, 0], costate, phase.momentum[:, 0]])


NO_COST = Cost(lambda x, z: jnp.zeros(()))


def _follow(way: Way, hops: int, problem: Problems, start: Array) -> Outcome:
    network, cost, law, u = parts(way, problem)
    begin = phase_of(network, law, problem, start)
    none = jnp.zeros(problem.a.shape[-1])

    def rate(x: Array, w: Array, moved: Array) -> Array:
        spent = x @ problem.q @ x + w @ problem.r @ w
        return (spent + problem.mass * jnp.sum((moved / way.tau) ** 2)) / 2

    def one(carry: Any, _: None) -> tuple[Any, tuple[Array, Array]]:
        phase, replay = carry
        after = law.hop(network, cost, phase, u, none, way.tau)
        w = phase.w[:, 0]
        moved = after.w[:, 0] - w
        spent = rate(phase.x, w, moved), rate(replay, w, moved)
        replayed = law.relax(network, eqx.tree_at(lambda p: p.x, phase, replay), u, way.tau).x
        return (after, replayed), spent

    (end, _), spent = jax.lax.scan(one, (begin, begin.x), None, hops)
    cost_, replayed = (way.tau * (jnp.sum(rates) - rates[0] / 2) for rates in spent)
    return Outcome(vector_of(end, problem), cost_, replayed)
