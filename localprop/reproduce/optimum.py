"""The boundary-value problem: what no policy can beat, and how far each policy stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jaxtyping import Float

from .. import oracle
from ..law import (
    Cauchy,
    CostateReversal,
    ExplicitEuler,
    ExponentialEuler,
    HamiltonianTrack,
    SignFlip,
)
from ..law.policy import AbstractPolicy
from ..tracking.signals import Patched
from ..tracking.tracker import LinearQuadratic, Tracker, tracker
from . import flow
from .claim import Claim, Part
from .flow import Setting

PERIODS, Q = 2, 100.0
TARGET = Patched(0.02, seed=1)
NAMES = {
    SignFlip: "sign flip",
    HamiltonianTrack: "Hamiltonian track",
    Cauchy: "Cauchy",
    CostateReversal: "costate reversal",
}


@dataclass(frozen=True)
class Optimum:
    """The best trajectory of a network and its policies' replays, over `time`."""

    time: np.ndarray
    target: np.ndarray
    best: np.ndarray
    replays: dict[str, np.ndarray]
    gaps: dict[str, float]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    paper = [SignFlip(2), HamiltonianTrack(1000.0, speed=2.0), Cauchy()]
    claims, curves = [_bvp()], {}
    for id, words, policies, settings in (
        ("paper", "the paper's net (c = 2, no input)", paper, {"speed": 2.0, "dt": 0.1}),
        (
            "bias",
            "the net of costate reversal (c = ∞, one constant input)",
            [CostateReversal()],
            {},
        ),
    ):
        found, curve = _compare(id, words, policies, settings, seeds[0])
        claims += found
        curves[f"optimum_{id}"] = curve
    return Part(claims, curves)


def _compare(
    id: str, words: str, policies: Sequence[AbstractPolicy], settings: dict, seed: int
) -> tuple[list[Claim], Optimum]:
    """Solves the problem of one network, from rest and from its policies' weights."""
    every = [tracker(p, LinearQuadratic(Q), **settings) for p in policies]
    problem = _problem(every[0], seed)
    weights = [_weights(t, problem) for t in every]
    finite = [w for w in weights if np.all(np.abs(w) < 1e3)]
    solution = oracle.solve(problem, finite, random_starts=0, seed=seed)
    z = problem.z[:, 0]
    untracked = float(problem.tau * Q / 2 * np.sum(z**2))
    claims, replays, gaps = [], {}, {}
    for policy, w in zip(policies, weights, strict=True):
        name = NAMES[type(policy)]
        state, cost = problem.replay(w)
        cost = cost if np.isfinite(cost) else np.inf
        gaps[name] = cost / solution.cost
        if np.isfinite(cost):
            replays[name] = np.asarray(state)[:-1, 0]
        diverges = "" if np.isfinite(cost) else "; its weights diverge"
        claims.append(
            Claim.at_least(
                f"I8-gap-{name.replace(' ', '-').lower()}",
                f"optimality gap of {name} on {words}, patched target: replayed cost over the "
                "oracle's",
                "laws 8",
                measured=gaps[name],
                bound=1.0,
                note=f"{cost:.4g} against {solution.cost:.4g}; doing nothing costs {untracked:.4g}"
                f"{diverges}",
            )
        )
    error = solution.x[:-1, 0] - z
    late = slice(len(z) // 3, None)
    nrmse = float(np.sqrt(np.sum(error[late] ** 2) / np.sum(z[late] ** 2)))
    worst = max(solution.residual, key=lambda name: solution.residual[name])
    residual = solution.residual[worst]
    claims += [
        Claim.at_most(
            f"I8-end-{id}",
            f"costates of the oracle vanish at the end, p(T) = 0, on {words} (largest)",
            "NLP eqs. 11-14 (I8)",
            measured=solution.end,
            bound=1e-6,
            note=f"NRMSE of the oracle {nrmse:.3g}",
        ),
        Claim.at_most(
            f"I8-residual-{id}",
            f"the oracle solves Hamilton's equations on its grid, on {words} (relative residual)",
            "NLP eqs. 11-14 (I8)",
            measured=residual,
            bound=1e-4,
            note=f"the largest, of {worst}{_continuous(solution)}",
        ),
    ]
    time = problem.tau * np.arange(len(z))
    return claims, Optimum(time, z, np.asarray(solution.x)[:-1, 0], replays, gaps)


def _continuous(solution: oracle.Solution) -> str:
    """Says how fine the grid is; without meaning at infinite speed."""
    residual = max(solution.continuous_residual.values())
    if not np.isfinite(residual):
        return ""
    return (
        f"; the continuous equations by the trapezoidal rule {residual:.2g}: the target jumps, and "
        "elsewhere the grid errs by O(cτ)"
    )


def _problem(how: Tracker, seed: int) -> oracle.Problem:
    """Returns the tracking problem on the grid of the policy's own hops."""
    tau = how.dt / how.hops
    steps = round(PERIODS * 2 * np.pi / TARGET.omega / how.dt)
    z = np.repeat(TARGET(how.dt * np.arange(steps)), how.hops)[:, None]
    phase = how.init(seed)
    infinite = how.network.speed == np.inf
    return oracle.Problem(
        how.network,
        how.cost,
        np.zeros((len(z), 0)),
        z,
        np.asarray(phase.x),
        np.asarray(phase.w),
        tau,
        mass=how.problem.r / how.scale,
        integrator=ExponentialEuler() if infinite else ExplicitEuler(),
    )


@eqx.filter_jit
def _run(how: Tracker, start, z, tau):
    def hop(phase, z):
        after = how.law.hop(how.network, how.cost, phase, jnp.zeros(0), z, tau)
        return after, after.w

    return jax.lax.scan(hop, start, z)[1]


def _weights(how: Tracker, problem: oracle.Problem) -> Float[np.ndarray, "T1 neurons sources"]:
    """Returns the weights that a policy gives, at every instant of the grid."""
    start = eqx.tree_at(
        lambda p: (p.x, p.w),
        how.init(0),
        (jnp.asarray(problem.x0), jnp.asarray(problem.w0)),
    )
    path = _run(how, start, jnp.asarray(problem.z), jnp.asarray(problem.tau))
    return np.concatenate([np.asarray(problem.w0)[None], np.asarray(path)])


def _bvp() -> Claim:
    """Solves one small problem by collocation too, with the Hamiltonian's derivatives."""
    end, speed = 5.0, 2.0
    setting = Setting((speed, speed), inputs=1, mass=0.25, dissipation=0.0, decay=0.1, scale=10.0)
    y0 = setting.draw(1, 0.4)
    x0, _, w0, _ = (np.asarray(a) for a in setting.split(y0))
    n, weights = x0.size, w0.size
    rate = jax.jit(
        jax.vmap(lambda t, y: flow.hamiltonian_rate(setting, y, t), in_axes=(0, 1), out_axes=1)
    )
    w_at = slice(2 * n, 2 * n + weights)

    def ends(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        last = np.concatenate([b[n : 2 * n], b[2 * n + weights :]])
        return np.concatenate([a[:n] - x0, a[w_at] - w0.ravel(), last])

    t = np.linspace(0, end, 120)
    guess = np.zeros((2 * n + 2 * weights, len(t)))
    guess[:n], guess[w_at] = x0[:, None], w0.ravel()[:, None]
    right = lambda t, y: np.asarray(rate(jnp.asarray(t), jnp.asarray(y)))  # noqa: E731
    found = scipy.integrate.solve_bvp(right, ends, t, guess, tol=1e-5, max_nodes=20_000)
    fine = np.linspace(0, end, 8001)
    y = found.sol(fine)
    goal = np.asarray(jax.vmap(setting.goal)(jnp.asarray(fine)))[:, 0]
    density = speed * (
        np.sum(y[2 * n + weights :] ** 2, axis=0) / (2 * setting.mass)
        + setting.scale / 2 * (y[0] - goal) ** 2
        + setting.decay / 2 * np.sum(y[w_at] ** 2, axis=0)
    )
    expected = float(scipy.integrate.simpson(density, x=fine))

    steps = 1000
    times = jnp.asarray(end / steps * np.arange(steps))
    problem = oracle.Problem(
        setting.network(),
        setting.cost(),
        np.asarray(jax.vmap(setting.input)(times)),
        np.asarray(jax.vmap(setting.goal)(times)),
        x0,
        w0,
        end / steps,
        mass=setting.mass,
    )
    solution = oracle.solve(problem, random_starts=1)
    return Claim.at_most(
        "I8-bvp",
        "on a net small enough for it, scipy.integrate.solve_bvp finds the same cost (relative "
        "difference)",
        "NLP section 3 (I8)",
        measured=abs(solution.cost / expected - 1) if found.success else np.nan,
        bound=0.01,
        note=f"2 neurons, 12 weights and states; {solution.cost:.5g} against {expected:.5g}",
    )
