"""Linear-quadratic control and the plain forward solution: Examples 1 and 2, Proposition 3."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from .. import oracle
from ..law.policy import Cauchy
from . import flow
from .claim import Claim, Part
from .flow import Setting


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    return Part([_divergence(), _scalar(seeds), _matrix(seeds), _costate(seeds)])


def _divergence() -> Claim:
    """Follows Cauchy's policy without a loss, $\\ddot w + \\theta\\dot w - w = 0$."""
    theta, tau, span = 0.5, 1e-3, 12.0
    setting = Setting((1.0, 1.0), mass=1.0, dissipation=theta, decay=1.0, target=False)
    y = setting.draw(0)
    marks = jnp.arange(0, round(span / tau), 200)

    @partial(jax.jit, static_argnums=1)
    def sizes(y, count):
        def stretch(y, _):
            y = jax.lax.fori_loop(0, 200, lambda _, y: flow.hop(setting, Cauchy(), y, 0.0, tau), y)
            return y, jnp.linalg.norm(setting.split(y)[2])

        return jax.lax.scan(stretch, y, None, length=count)[1]

    size = np.asarray(sizes(y, len(marks)))
    times = 200 * tau * (1 + np.arange(len(marks)))
    late = times > span / 2
    rate = np.polyfit(times[late], np.log(size[late]), 1)[0]
    expected = (-theta + np.sqrt(theta**2 + 4)) / 2
    euler = tau * expected  # Euler's steps take off half of it
    return Claim.within(
        "E1",
        "the plain forward solution diverges: growth rate of |w| over (-θ + √(θ² + 4))/2",
        "NLP Example 1 (I6)",
        against="the closed form",
        measured=rate / expected,
        low=1 - euler,
        high=1 + euler,
        note=f"θ = {theta:g}: measured {rate:.5f} against {expected:.5f} per unit of time; the "
        f"bound is twice the error of Euler's steps of {tau:g}",
    )


def _scalar(seeds: Sequence[int]) -> Claim:
    worst, times = 0.0, np.linspace(0, 12, 60)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        a, b, q, r = rng.uniform(-1, 1), *rng.uniform(0.5, 2, 3)
        theta = oracle.riccati.reversed_in_time(a, b, q, r, times)[:, 0, 0]
        s = b**2 / r
        mu = np.sqrt(a**2 + s * q)
        closed = q * np.tanh(mu * times) / (mu - a * np.tanh(mu * times))
        worst = max(worst, float(np.max(np.abs(theta - closed)) / closed[-1]))
    return Claim.at_most(
        "E2-scalar",
        "scalar Riccati equation reversed in time is q tanh μt / (μ - a tanh μt) (largest relative "
        "distance)",
        "NLP Example 2 (I7)",
        against="the closed form",
        measured=worst,
        bound=1e-9,
        note=f"{len(seeds)} random problems",
    )


def _problem(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    a, b, root = (
        rng.standard_normal((4, 4)),
        rng.standard_normal((4, 2)),
        rng.standard_normal((4, 4)),
    )
    return a, b, root @ root.T + np.eye(4), np.diag(rng.uniform(0.5, 2, 2))


def _matrix(seeds: Sequence[int]) -> Claim:
    worst = 0.0
    for seed in seeds:
        a, b, q, r = _problem(seed)
        limit = scipy.linalg.solve_continuous_are(a, b, q, r)
        closed_loop = a - b @ np.linalg.solve(r, b.T @ limit)
        slowest = -np.linalg.eigvals(closed_loop).real.max()
        p = oracle.riccati.reversed_in_time(a, b, q, r, np.array([0.0, 14 / slowest]))[-1]
        worst = max(worst, float(np.linalg.norm(p - limit) / np.linalg.norm(limit)))
    return Claim.at_most(
        "P3",
        "matrix Riccati equation reversed in time, from P = 0, converges to the algebraic solution "
        "(relative distance after 14 of its slowest times)",
        "NLP Proposition 3, Example 2 (I7)",
        against="SciPy's algebraic solver",
        measured=worst,
        bound=1e-8,
        note=f"{len(seeds)} random problems of 4 states and 2 controls; e^-28 = 7e-13",
    )


def _costate(seeds: Sequence[int]) -> Claim:
    """Solves the boundary-value problem by the exponential of Hamilton's matrix instead."""
    worst, end = 0.0, 2.0
    for seed in seeds:
        a, b, q, r = _problem(seed)
        x0 = np.random.default_rng(seed).standard_normal(4)
        system = np.block([[a, -b @ np.linalg.solve(r, b.T)], [-q, -a.T]])
        flow_matrix = scipy.linalg.expm(system * end)
        # p(T) = 0 fixes p(0).
        p0 = -np.linalg.solve(flow_matrix[4:, 4:], flow_matrix[4:, :4] @ x0)
        gain = oracle.riccati.reversed_in_time(a, b, q, r, np.array([0.0, end]))[-1]
        worst = max(worst, float(np.linalg.norm(gain @ x0 - p0) / np.linalg.norm(p0)))
    return Claim.at_most(
        "P3-costate",
        "the costate of a linear-quadratic problem is p = P x, P of Riccati's equation (relative "
        "distance at t = 0 to the boundary-value problem's)",
        "NLP Proposition 3",
        against="the boundary-value problem, by the matrix exponential",
        measured=worst,
        bound=1e-8,
    )
