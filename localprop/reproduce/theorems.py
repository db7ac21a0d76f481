"""Hamilton's equations: Theorems 1 and 2, Proposition 2, Corollary 2, conservation of energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.integrate import solve_ivp

from ..law.policy import AbstractPolicy, Cauchy, CostateReversal
from . import flow
from .claim import Claim, Part
from .flow import Setting, Vector

SPAN = 2.0  # units of time over which two forms of the equations are compared
TAUS = (0.02, 0.01, 0.005, 0.0025)


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    return Part([*_theorems(seeds), *_second_order(seeds), *_conservation(seeds)])


def _theorems(seeds: Sequence[int]) -> list[Claim]:
    setting, t = Setting(), 0.7
    law = jax.jit(lambda y: flow.law_rate(setting, Cauchy(), y, t))
    exact = jax.jit(lambda y: flow.hamiltonian_rate(setting, y, t))
    reversed_law = jax.jit(lambda y: flow.law_rate(setting, CostateReversal(), y, t))
    reversed_exact = jax.jit(lambda y: flow.hamiltonian_rate(setting, y, t, sign=-1.0))
    one, two, reversal = [], [], []
    for seed in seeds:
        y = setting.draw(seed)
        one.append(_relative(law(y), exact(y)))
        reversal.append(_relative(reversed_law(y), reversed_exact(y)))
        # The law's own rates, by the chain rule, against one-arc sums written out.
        rescaled = lambda y: _rescaled(setting, y, t)  # noqa: E731
        moved = jax.jvp(rescaled, (y,), (exact(y),))[1]
        moved = moved + jax.jvp(lambda s, y=y: _rescaled(setting, y, s), (t,), (1.0,))[1]
        two.append(max(_relative(_one_arc(setting, y, t), moved), one[-1]))
    network = "4 tanh neurons of four speeds, complete digraph, θ = 0.3"
    return [
        Claim.at_most(
            "T1",
            "rates of the law are the derivatives of the Hamiltonian (largest relative distance)",
            "NLP Theorem 1, eqs. 11-14",
            against="the paper's Hamiltonian, differentiated automatically",
            measured=max(one),
            bound=1e-12,
            note=network,
        ),
        Claim.at_most(
            "T2",
            "in the rescaled costate σ'(a)pₓ/φ each rate is a sum over single arcs (relative "
            "distance to the derivatives of the Hamiltonian)",
            "NLP Theorem 2",
            against="the paper's Hamiltonian, differentiated automatically",
            measured=max(two),
            bound=1e-12,
            note=network,
        ),
        Claim.at_most(
            "T1-reversed",
            "costate reversal flips the Hamiltonian's derivatives in the costates and nothing else",
            "NLP eqs. 18-19",
            against="the paper's Hamiltonian, differentiated automatically",
            measured=max(reversal),
            bound=1e-12,
            note=network,
        ),
    ]


def _rescaled(setting: Setting, y: Vector, t: Any) -> Array:
    """Returns NLP's costate, $\\sigma'(a_i) p_x^i / \\varphi$."""
    x, p_x, w, _ = flow.raw(setting, y, t)
    slope = 1 - jnp.tanh(w @ flow.sources(setting, x, t)) ** 2
    return slope * p_x / jnp.exp(setting.dissipation * t)


def _one_arc(setting: Setting, y: Vector, t: Any, sign: float = 1.0) -> Array:
    """Returns the rate of the rescaled costate, arc by arc.

    $$\\dot\\lambda_x^i = \\frac{\\sigma''(a_i)}{\\sigma'(a_i)}\\dot a_i\\lambda_x^i
      + s\\Bigl(c_i\\lambda_x^i - \\sigma'(a_i)\\bigl(\\textstyle\\sum_k c_k w_{ki}\\lambda_x^k
      + c L_{x_i}\\bigr)\\Bigr) - \\theta\\lambda_x^i$$
    """
    x, _, w, momentum = setting.split(y)
    speeds, first = jnp.asarray(setting.speeds), w.shape[1] - setting.neurons
    s, s_rate = jax.jvp(
        lambda x, t: flow.sources(setting, x, t),
        (x, jnp.asarray(t, float)),
        (speeds * (jnp.tanh(w @ flow.sources(setting, x, t)) - x), jnp.ones(())),
    )
    a = w @ s
    a_rate = momentum / setting.mass @ s + w @ s_rate
    drive = jnp.tanh(a)
    slope = 1 - drive**2
    costate = _rescaled(setting, y, t)
    loss_x = jnp.zeros_like(x).at[0].set(setting.scale * (x[0] - setting.goal(t)[0]))
    back = w[:, first:].T @ (speeds * costate) + jnp.mean(speeds) * loss_x
    pull = speeds * costate - slope * back
    return -2 * drive * a_rate * costate + sign * pull - setting.dissipation * costate


def _second_order(seeds: Sequence[int]) -> list[Claim]:
    """Integrates both forms and compares where they end."""
    setting = Setting()
    claims = []
    for id, source, policy, sign in (
        ("P2", "NLP Proposition 2", Cauchy(), 1.0),
        ("C2", "NLP Corollary 2", CostateReversal(), -1.0),
    ):
        first = jax.jit(partial(_first_form, setting, policy))
        second = jax.jit(partial(_second_form, setting, sign))
        distances = []
        for seed in seeds[:4]:
            y = setting.draw(seed, 0.5)
            ends = (_integrate(f, y) for f in (first, second))
            distances.append(_relative(*(jnp.asarray(e) for e in ends)))
        claims.append(
            Claim.at_most(
                id,
                "second-order form in w and the first-order form give one trajectory (relative "
                f"distance after {SPAN:g} units of time)",
                f"{source} (I5)",
                against="the second-order form written out, by SciPy's DOP853",
                measured=max(distances),
                bound=1e-8,
                note=f"{type(policy).__name__}; both at 1e-11, the first-order rates taken "
                "from the law's own hop",
            )
        )
    return claims


def _first_form(setting: Setting, policy: AbstractPolicy, t: Any, y: Vector) -> Vector:
    return flow.law_rate(setting, policy, y, t)


def _second_form(setting: Setting, sign: float, t: Any, y: Vector) -> Vector:
    """Returns rates of $(x, \\lambda, w, m\\dot w)$ by the second-order form in $w, \\lambda_x$.

    $m\\ddot w_{ij} + m\\theta\\dot w_{ij} = s(\\tfrac{c_i}{c}\\lambda_x^i x_j + kV_{w_{ij}})$.
    The costate is carried as $\\lambda$, and moves as its rescaled self does.
    """
    x, costate, w, momentum = setting.split(y)
    speeds = jnp.asarray(setting.speeds)
    s = flow.sources(setting, x, t)
    drive = jnp.tanh(w @ s)
    w_rate = momentum / setting.mass
    rescaled = _rescaled(setting, y, t)
    force = (speeds / jnp.mean(speeds) * rescaled)[:, None] * s[None] + setting.decay * w
    acceleration = sign * force / setting.mass - setting.dissipation * w_rate
    # λ = c_i λ_x / (c σ'): from the rate of λ_x by the quotient rule.
    x_rate = speeds * (drive - x)
    a_rate = (
        w_rate @ s
        + w @ jax.jvp(lambda x, t: flow.sources(setting, x, t), (x, t), (x_rate, jnp.ones(())))[1]
    )
    rescaled_rate = _one_arc(setting, y, t, sign)
    weight = speeds / (jnp.mean(speeds) * (1 - drive**2))
    costate_rate = weight * rescaled_rate + 2 * drive * a_rate * costate
    return ravel_pytree((x_rate, costate_rate, w_rate, setting.mass * acceleration))[0]


def _integrate(rate: Callable, y: Vector) -> np.ndarray:
    right = lambda t, y: np.asarray(rate(jnp.asarray(t), jnp.asarray(y)))  # noqa: E731
    return solve_ivp(right, (0, SPAN), np.asarray(y), "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]


def _conservation(seeds: Sequence[int]) -> list[Claim]:
    """Measures how the change of the Hamiltonian falls with the step."""
    setting = Setting(dissipation=0.0, moving=False)
    claims = []
    for name, order, step in (("Euler", 1, _euler), ("Runge and Kutta's", 4, _runge_kutta)):
        slopes, least = [], np.inf
        for seed in seeds[:4]:
            y = setting.draw(seed, 0.5)
            changes = [float(_change(setting, step, y, tau)) for tau in TAUS]
            slopes.append(np.polyfit(np.log(TAUS), np.log(changes), 1)[0])
            least = min(least, changes[-1])
        worst = max(slopes, key=lambda p: abs(p - order))
        claims.append(
            Claim.within(
                f"I9-{order}",
                f"energy H is conserved by the exact flow: its change falls like τ^{order} under "
                f"{name} rule of order {order} (exponent, by regression)",
                "NLP section 3, laws I9",
                against="the order of the rule",
                measured=worst,
                low=order - 0.1,
                high=order + 0.1,
                note=f"Cauchy, autonomous, θ = 0; smallest change of H {least:.1e}",
            )
        )
    return claims


def _euler(setting: Setting, y: Vector, tau: Any) -> Vector:
    return flow.hop(setting, Cauchy(), y, 0.0, tau)


def _runge_kutta(setting: Setting, y: Vector, tau: Any) -> Vector:
    rate = lambda y: flow.law_rate(setting, Cauchy(), y, 0.0)  # noqa: E731
    a = rate(y)
    b = rate(y + tau / 2 * a)
    c = rate(y + tau / 2 * b)
    d = rate(y + tau * c)
    return y + tau / 6 * (a + 2 * b + 2 * c + d)


@partial(jax.jit, static_argnums=(0, 1))
def _run(setting: Setting, step: Callable, y: Vector, tau: Any, steps: Any) -> Vector:
    return jax.lax.fori_loop(0, steps, lambda _, y: step(setting, y, tau), y)


def _change(setting: Setting, step: Callable, y: Vector, tau: Any) -> Array:
    end = _run(setting, step, y, tau, round(SPAN / tau))
    energy = lambda y: flow.law_hamiltonian(setting, y, 0.0)  # noqa: E731
    return jnp.abs(energy(end) - energy(y))


def _relative(a: Array, b: Array) -> float:
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
