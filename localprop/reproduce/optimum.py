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
from .claim import Claim, Part, spread
from .flow import Setting

PERIODS, Q = 2.0, 100.0
STARTS = 4  # of the policies; the oracle solves the problem of the first
# The problem that is small enough for collocation, and the steps of its grids.
SMALL = Setting((2.0, 2.0), inputs=1, mass=0.25, dissipation=0.0, decay=0.1, scale=10.0)
END, STEPS = 5.0, (125, 250, 500)
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
    claims, curves = list(refined()), {}
    for id, words, policies, settings in (
        ("paper", "the paper's net (c = 2, no input)", paper, {"speed": 2.0, "dt": 0.1}),
        (
            "bias",
            "the net of costate reversal (c = ∞, one constant input)",
            [CostateReversal()],
            {},
        ),
    ):
        found, curve = compare(id, words, policies, settings, seeds[:STARTS])
        claims += found
        curves[f"optimum_{id}"] = curve
    return Part(claims, curves)


def compare(
    id: str,
    words: str,
    policies: Sequence[AbstractPolicy],
    settings: dict,
    seeds: Sequence[int],
    periods: float = PERIODS,
) -> tuple[list[Claim], Optimum]:
    """Solves the problem of one network, from rest and from its policies' weights, and compares."""
    every = [tracker(p, LinearQuadratic(Q), **settings) for p in policies]
    problem, *others = (_problem(every[0], seed, periods) for seed in seeds)
    weights = [_weights(how, problem) for how in every]
    finite = [w for w in weights if np.all(np.abs(w) < 1e3)]
    solution = oracle.solve(problem, finite, random_starts=0, seed=seeds[0])
    z = problem.z[:, 0]
    nothing = float(problem.tau * Q / 2 * np.sum(z**2))
    claims, replays, costs = [], {}, {}
    for policy, how, w in zip(policies, every, weights, strict=True):
        name = NAMES[type(policy)]
        state, cost = problem.replay(w)
        costs[name] = cost = cost if np.isfinite(cost) else np.inf
        more = [other.replay(_weights(how, other))[1] for other in others]
        shares = np.nan_to_num([cost, *more], nan=np.inf, posinf=np.inf) / nothing
        if np.isfinite(cost):
            replays[name] = np.asarray(state)[:-1, 0]
        claims.append(
            Claim.at_most(
                f"I8-worth-{name.replace(' ', '-').lower()}",
                f"{name} is worth its while on {words}, patched target: its weights replayed cost "
                "less than doing nothing (cost over that of doing nothing, worst start)",
                "laws 8",
                against="doing nothing, x = w = 0",
                measured=shares.max(),
                bound=1.0,
                baselines={"oracle": solution.cost / nothing, "do nothing": 1.0},
                note=f"{spread(shares, shares <= 1)}; of the first the optimality gap is "
                f"{cost / solution.cost:.3g}: {cost:.4g} against the oracle's "
                f"{solution.cost:.4g}; doing nothing costs {nothing:.4g}"
                + ("" if np.isfinite(shares).all() else "; ∞: its weights diverge"),
            )
        )
    error = solution.x[:-1, 0] - z
    late = slice(len(z) // 3, None)
    nrmse = float(np.sqrt(np.sum(error[late] ** 2) / np.sum(z[late] ** 2)))
    claims.append(stationary(id, words, problem, solution, f"NRMSE of the oracle {nrmse:.3g}"))
    time = problem.tau * np.arange(len(z))
    gaps = {name: cost / solution.cost for name, cost in costs.items()}
    return claims, Optimum(time, z, np.asarray(solution.x)[:-1, 0], replays, gaps)


def stationary(
    id: str, words: str, problem: oracle.Problem, solution: oracle.Solution, note: str = ""
) -> Claim:
    """Looks for a way down from the oracle's weights, with the paper's cost written apart."""
    rng, width, count = np.random.default_rng(0), 1e-4, 5
    rows, *shape = np.shape(solution.w)
    # Smooth directions that leave the given weights at t = 0 alone.
    waves = np.sin(np.pi * (np.arange(count) + 0.5) * np.linspace(0, 1, rows)[:, None])
    ways = np.einsum("tk,k...->kt...", waves, rng.standard_normal((count, *shape)))
    here, up, down = (
        action(problem, solution.w[None] + sign * width * ways) for sign in (0.0, 1.0, -1.0)
    )
    bend = up + down - 2 * here
    fall = np.where(bend > 0, ((up - down) / 2) ** 2 / (2 * np.abs(bend)), np.inf) / here
    apart = abs(here[0] / solution.cost - 1)
    return Claim.at_most(
        f"I8-stationary-{id}",
        f"no direction leads down from the oracle's weights on {words}: what the best step along "
        f"one of {count} would save, in shares of the cost",
        "NLP eqs. 11-14 (I8)",
        against="the paper's cost and network, written apart in NumPy",
        measured=max(float(fall.max()), apart),
        bound=1e-8,
        note="; ".join(filter(None, [f"both costs agree to {apart:.0e}", note])),
    )


def action(problem: oracle.Problem, w: np.ndarray) -> np.ndarray:
    """Returns $\\int \\tfrac q2(x_0-z)^2 + \\tfrac r2|\\dot w|^2 + r_w|w|^2$ [NLP, section 5].

    Sums over the grid, for a batch of weights' trajectories `(batch, T + 1, n, sources)`, with
    the tracking problem's own numbers and the forward network written out.
    """
    setting, tau = LinearQuadratic(Q), float(problem.tau)
    speed = float(np.ravel(problem.network.speed)[0])
    share = 1.0 if np.isinf(speed) else speed * tau
    w = np.asarray(w, float)
    x = np.broadcast_to(np.asarray(problem.x0, float), (len(w), len(problem.x0)))
    constant = np.ones((len(w), w.shape[-1] - x.shape[1]))
    error = 0.0
    for k, z in enumerate(np.asarray(problem.z, float)[:, 0]):
        error = error + (x[:, 0] - z) ** 2
        drive = np.tanh(np.einsum("bij,bj->bi", w[:, k], np.concatenate([constant, x], axis=1)))
        x = x + share * (drive - x)
    rate = np.sum(np.diff(w, axis=1) ** 2, axis=(1, 2, 3)) / tau**2
    size = np.sum(w[:, :-1] ** 2, axis=(1, 2, 3))
    return tau * (setting.q / 2 * error + setting.r / 2 * rate + setting.rw * size)


def _problem(how: Tracker, seed: int, periods: float) -> oracle.Problem:
    """Returns the tracking problem on the grid of the policy's own hops."""
    tau = how.dt / how.hops
    steps = round(periods * 2 * np.pi / TARGET.omega / how.dt)
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


def refined(steps: Sequence[int] = STEPS) -> list[Claim]:
    """Solves one small problem on finer and finer grids, and by collocation.

    The second solution is `scipy.integrate.solve_bvp`'s, of the Hamiltonian's derivatives.
    """
    setting = SMALL
    x0, _, w0, _ = (np.asarray(a) for a in setting.split(setting.draw(1, 0.4)))
    expected = _collocation(setting, x0, w0)
    found = [_transcribed(setting, x0, w0, count) for count in steps]
    apart = np.array([abs(solution.cost / expected - 1) for solution in found])
    worst = np.array([max(solution.continuous_residual.values()) for solution in found])
    halvings = np.log2(np.asarray(steps) / steps[0])
    order = lambda numbers: -np.polyfit(halvings, np.log2(numbers), 1)[0]  # noqa: E731
    # At order 1 the error of the finest grid is what the last halving took off.
    limit = 2 * found[-1].cost - found[-2].cost
    finer = steps[-1] / steps[0]
    numbers = lambda values: ", ".join(f"{v:.2g}" for v in values)  # noqa: E731
    grids = ", ".join(str(count) for count in steps)
    net = "2 neurons, 12 weights and states"
    return [
        Claim.within(
            "I8-bvp",
            "the oracle's cost converges to that of scipy.integrate.solve_bvp like τ (order)",
            "NLP section 3 (I8)",
            against="SciPy's collocation of the Hamiltonian's derivatives",
            measured=order(apart),
            low=0.9,
            high=1.1,
            note=f"{net}; relative difference {numbers(apart)} on {grids} steps",
        ),
        Claim.at_most(
            "I8-bvp-limit",
            "and in the limit, extrapolated from the two finest grids, it is that cost (relative "
            "difference)",
            "NLP section 3 (I8)",
            against="SciPy's collocation, to 1e-5",
            measured=abs(limit / expected - 1),
            bound=apart[-1] / 10,
            note=f"{limit:.6g} against {expected:.6g}; the bound is a tenth of the finest grid's",
        ),
        Claim.at_most(
            "I8-residual",
            "the oracle's trajectory solves the continuous equations of Hamilton: their relative "
            f"residual on the finest of the grids of {grids} steps (the worst equation)",
            "NLP eqs. 11-14 (I8)",
            against="order 1: the coarsest grid's, divided by how much finer this one is",
            measured=worst[-1],
            bound=1.1 * worst[0] / finer,
            note=f"order {order(worst):.3f}; residuals {numbers(worst)}, by the trapezoidal rule",
        ),
    ]


def _collocation(setting: Setting, x0: np.ndarray, w0: np.ndarray) -> float:
    """Returns the cost of SciPy's solution; NaN where it has none."""
    n, weights, speed = x0.size, w0.size, setting.speeds[0]
    rate = jax.jit(
        jax.vmap(lambda t, y: flow.hamiltonian_rate(setting, y, t), in_axes=(0, 1), out_axes=1)
    )
    w_at = slice(2 * n, 2 * n + weights)

    def ends(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        last = np.concatenate([b[n : 2 * n], b[2 * n + weights :]])
        return np.concatenate([a[:n] - x0, a[w_at] - w0.ravel(), last])

    t = np.linspace(0, END, 120)
    guess = np.zeros((2 * n + 2 * weights, len(t)))
    guess[:n], guess[w_at] = x0[:, None], w0.ravel()[:, None]
    right = lambda t, y: np.asarray(rate(jnp.asarray(t), jnp.asarray(y)))  # noqa: E731
    found = scipy.integrate.solve_bvp(right, ends, t, guess, tol=1e-5, max_nodes=20_000)
    if not found.success:
        return float("nan")
    fine = np.linspace(0, END, 8001)
    y = found.sol(fine)
    goal = np.asarray(jax.vmap(setting.goal)(jnp.asarray(fine)))[:, 0]
    density = speed * (
        np.sum(y[2 * n + weights :] ** 2, axis=0) / (2 * setting.mass)
        + setting.scale / 2 * (y[0] - goal) ** 2
        + setting.decay / 2 * np.sum(y[w_at] ** 2, axis=0)
    )
    return float(scipy.integrate.simpson(density, x=fine))


def _transcribed(setting: Setting, x0: np.ndarray, w0: np.ndarray, steps: int) -> oracle.Solution:
    times = jnp.asarray(END / steps * np.arange(steps))
    problem = oracle.Problem(
        setting.network(),
        setting.cost(),
        np.asarray(jax.vmap(setting.input)(times)),
        np.asarray(jax.vmap(setting.goal)(times)),
        x0,
        w0,
        END / steps,
        mass=setting.mass,
    )
    return oracle.solve(problem, random_starts=1)
