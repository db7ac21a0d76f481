"""What the sign flip really does: Euler's own error converges, a reversible integrator does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..law.policy import SignFlip
from . import flow
from .claim import Claim, Part
from .flow import Setting, Vector

TAU, PAIRS = 0.1, 20_000
SETTING = Setting((2.0, 2.0, 2.0), inputs=0, mass=0.4, dissipation=0.0, decay=0.3, scale=5.0)
HELD = Setting(
    (2.0, 2.0, 2.0), inputs=0, mass=0.4, dissipation=0.0, decay=0.3, scale=5.0, moving=False
)
EMPTY = Setting(
    (2.0, 2.0, 2.0), inputs=0, mass=0.4, dissipation=0.0, decay=0.3, scale=5.0, target=False
)


@dataclass(frozen=True)
class Convergence:
    """Size of $F = \\dot y$ over its start, along flips, for every way to step; `time` hops × τ."""

    time: np.ndarray
    sizes: dict[str, np.ndarray]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    curve = _follow(seeds[0])
    last = {name: float(size[-1]) for name, size in curve.sizes.items()}
    euler, half, midpoint = (last[name] for name in ("euler", "euler-half", "midpoint"))
    claims = [
        _remainder(seeds),
        _saddle(),
        Claim.at_most(
            "SF-euler",
            f"explicit Euler with a flip at every step converges to rest: |ẏ| after {PAIRS:,} "
            "pairs over its start",
            "NLP eq. 23, laws 7",
            against="the same flips under a reversible integrator",
            measured=euler,
            bound=1e-3 * midpoint,
            baselines={"implicit midpoint": midpoint},
            note=f"τ = {TAU:g}, target held; at τ = {TAU / 2:g} after the same time {half:.2g}",
        ),
        Claim.within(
            "SF-midpoint",
            "a reversible integrator (implicit midpoint) with the same flips does not converge: "
            "|ẏ| at the end over its start",
            "laws 7",
            against="time reversal: every pair of its steps is the identity",
            measured=midpoint,
            low=0.999999,
            high=1.000001,
            note="so it is Euler's error that makes the sign flip converge",
        ),
        _proportional(curve),
    ]
    return Part(claims, {"sign_flip": curve})


def _pair(setting: Setting, y: Vector, t: Any, tau: Any) -> Vector:
    policy = SignFlip(1)
    y = flow.hop(setting, policy, y, t, tau, 0)
    return flow.hop(setting, policy, y, t + tau, tau, 1)


def _remainder(seeds: Sequence[int]) -> Claim:
    """Compares a pair of hops with $-\\tau^2(F_yF + F_t)$, F from the Hamiltonian."""
    taus, t, orders = np.array([0.02, 0.01, 0.005, 0.0025]), jnp.asarray(0.3), []
    rate = partial(flow.hamiltonian_rate, SETTING)
    pair = jax.jit(partial(_pair, SETTING))
    for seed in seeds:
        y = SETTING.draw(seed)
        here = rate(y, t)
        expected = jax.jvp(rate, (y, t), (here, jnp.ones(())))[1]
        left = [float(jnp.linalg.norm(pair(y, t, s) - y + s**2 * expected)) for s in taus]
        orders.append(np.polyfit(np.log(taus), np.log(left), 1)[0])
    return Claim.at_least(
        "SF-pair",
        "one pair of Euler steps moves by -τ²(F_y F + F_t): order in τ of what is left over",
        "laws 7",
        against="F from the Hamiltonian, differentiated automatically",
        measured=min(orders),
        bound=2.9,
        note="the smallest over seeds; 3 in theory",
    )


def _saddle() -> Claim:
    pairs, setting = 50, EMPTY
    y = setting.draw(0)
    x, costate, w, momentum = setting.split(y)
    y = jnp.concatenate([x, jnp.zeros_like(costate), w.ravel(), momentum.ravel()])
    step = jax.jit(lambda y: _pair(setting, y, jnp.zeros(()), TAU))
    end = y
    for _ in range(pairs):
        end = step(end)
    shrink = (1 - TAU**2 * setting.decay / setting.mass) ** pairs
    expected = shrink * jnp.concatenate([w.ravel(), momentum.ravel()])
    measured = jnp.concatenate([a.ravel() for a in setting.split(end)[2:]])
    return Claim.at_most(
        "SF-saddle",
        "at a saddle ±μ both branches contract by 1 - τ²μ² per pair (relative distance after 50)",
        "laws 7",
        against="the closed form",
        measured=jnp.linalg.norm(measured - expected) / jnp.linalg.norm(expected),
        bound=1e-12,
        note="ẅ = (k/m) w, μ² = k/m",
    )


def _midpoint(y: Vector, tau: Array) -> Vector:
    """One step of the implicit midpoint rule, by fixed-point iteration."""
    rate = lambda y: flow.hamiltonian_rate(HELD, y, 0.0)  # noqa: E731
    return jax.lax.fori_loop(0, 40, lambda _, e: y + tau * rate((y + e) / 2), y)


def _follow(seed: int) -> Convergence:
    start = HELD.draw(seed, 0.3)
    zero = jnp.zeros(())
    size = lambda y: jnp.linalg.norm(flow.hamiltonian_rate(HELD, y, 0.0))  # noqa: E731
    frames = 200

    @partial(jax.jit, static_argnums=(0, 1))
    def sizes(pair: Callable, count: int) -> Array:
        def frame(y, _):
            return jax.lax.fori_loop(0, count, lambda _, y: pair(y), y), size(y)

        return jax.lax.scan(frame, start, None, length=frames + 1)[1] / size(start)

    def reversible(y):
        return _midpoint(_midpoint(y, jnp.asarray(TAU)), jnp.asarray(-TAU))

    count = PAIRS // frames
    curves = {
        "euler": sizes(lambda y: _pair(HELD, y, zero, TAU), count),
        "euler-half": sizes(lambda y: _pair(HELD, y, zero, TAU / 2), 2 * count),
        "midpoint": sizes(reversible, max(1, count // 20)),
    }
    time = 2 * TAU * count * np.arange(frames + 1)
    return Convergence(time, {name: np.asarray(curve) for name, curve in curves.items()})


def _proportional(curve: Convergence) -> Claim:
    """Compares the exponential rates at τ and τ/2, over the part where both are exponential."""
    rates = []
    for name in ("euler", "euler-half"):
        size = curve.sizes[name]
        part = (size < 0.1 * size[0]) & (size > 1e-9)
        part = part if part.sum() > 5 else np.arange(len(size)) > len(size) // 2
        rates.append(np.polyfit(curve.time[part], np.log(size[part]), 1)[0])
    return Claim.within(
        "SF-rate",
        "the rate of convergence is proportional to τ: rate at τ over rate at τ/2",
        "laws 7",
        against="the expansion of a pair of steps: a factor of 2",
        measured=rates[0] / rates[1],
        low=1.8,
        high=2.2,
        note=f"rates {-rates[0]:.3g} and {-rates[1]:.3g} per unit of time",
    )
