"""Least action: S1-S4, and the balance of energy over a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.integrate import solve_ivp

from .. import oracle
from ..cost import Cost, SquaredError
from ..law import Inertial, LeastAction, Overdamped, Phase, Splitting
from ..network import Digraph
from .claim import Claim, Part

STIFFNESSES = np.array([1e1, 1e2, 1e3, 1e4])
HARDER = (40.0, 80.0, 160.0)
TAUS = np.array([0.04, 0.02, 0.01, 0.005])
STILL = 1e30  # a mass under which weights do not move
COST = Cost(SquaredError(2.0), weight_decay=0.05)


@dataclass(frozen=True)
class Mismatch:
    """Relative distance of $\\epsilon$ to backprop's deltas, `(seeds, stiffnesses)`."""

    stiffnesses: np.ndarray
    distances: np.ndarray
    slopes: np.ndarray


@dataclass(frozen=True)
class Balance:
    """Energies along a run, by name, over `time`; `taus` and `gaps`: how the balance closes."""

    time: np.ndarray
    energies: dict[str, np.ndarray]
    taus: np.ndarray
    gaps: np.ndarray


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    mismatch, balance = _mismatch(seeds), _balance(seeds)
    orders = np.polyfit(np.log(TAUS), np.log(balance.gaps).T, 1)[0]
    farthest = orders[np.argmax(np.abs(orders - 2))]
    means = ", ".join(f"{d:.1e}" for d in mismatch.distances.mean(axis=0))
    claims = [
        Claim.within(
            "S1",
            "at rest the mismatch ε is backprop's δ but for O(1/κ): slope of log distance on log κ",
            "STLP, laws S1",
            against="reverse-mode autodiff; the exponent of the expansion in 1/κ",
            measured=mismatch.slopes.mean(),
            low=-1.05,
            high=-0.95,
            note=f"κ = 10 … 10⁴; mean over {len(seeds)} seeds, from {mismatch.slopes.min():.3f} to "
            f"{mismatch.slopes.max():.3f} (κ = 10 is not yet in the limit); distances {means}",
        ),
        *hard(seeds),
        Claim.within(
            "S3",
            "energy changes by friction and by the environment, and by nothing else: the balance "
            "closes with an error of order 2 in τ (exponent, by regression)",
            "STLP, laws S3",
            against="energy's own balance; the order of the splitting",
            measured=farthest,
            low=1.95,
            high=2.05,
            note=f"splitting, stream of sines; gap {balance.gaps[:, -1].max():.1e} at τ = "
            f"{TAUS[-1]:g}, energies up to {balance.energies['hamiltonian'].max():.2g}",
        ),
        *_overdamped(seeds),
    ]
    return Part(claims, {"least_action_mismatch": mismatch, "energy_balance": balance})


def _mismatch(seeds: Sequence[int]) -> Mismatch:
    network, cost = Digraph.layered([3, 5, 4, 2]), Cost(SquaredError())

    def distance(stiffness: float, key: Array) -> Array:
        a, b, c = jax.random.split(key, 3)
        u, z = jax.random.normal(a, (3,)), jax.random.normal(b, (2,))
        # A hop is a tenth of a neuron's relaxation time, whatever its stiffness.
        law = LeastAction(stiffness, Overdamped(0.1 / stiffness), mass=STILL)
        phase = law.init(network, cost, c)
        move = lambda _, p: law.hop(network, cost, p, u, z, 1.0)  # noqa: E731
        phase = jax.lax.fori_loop(0, 20_000, move, phase)
        signal = -stiffness * (phase.x - network.drive(phase.x, phase.w, u))
        deltas = oracle.backprop.feed_forward(network, cost, phase.w, u, z).deltas
        return jnp.linalg.norm(signal - deltas) / jnp.linalg.norm(deltas)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))
    columns = [jax.jit(jax.vmap(partial(distance, k)))(keys) for k in STIFFNESSES.tolist()]
    distances = np.stack(columns, axis=1)
    slopes = np.polyfit(np.log10(STIFFNESSES), np.log10(distances).T, 1)[0]
    return Mismatch(STIFFNESSES, distances, slopes)


def _input(t: Any) -> Array:
    return jnp.stack([jnp.sin(t), jnp.cos(1.3 * t)])


def _goal(t: Any) -> Array:
    return 0.6 * jnp.sin(0.7 * t + 1)[None]


def hard(seeds: Sequence[int], stiffnesses: Sequence[float] = HARDER) -> list[Claim]:
    """Stiffens the connections of the law itself, along a motion of all its weights.

    Neurons have no mass and the speed $c = \\kappa$: to follow a drive that moves takes a force
    of $\\dot x/c$, so that it is of order $1/\\kappa$ as the displacement of the state is.
    """
    network, end = Digraph.layered([2, 3, 1]), 1.0
    gradient = jax.jit(
        lambda w, t: oracle.backprop.feed_forward(network, COST, w, _input(t), _goal(t)).gradient
    )
    deltas = jax.jit(
        lambda w, t: oracle.backprop.feed_forward(network, COST, w, _input(t), _goal(t)).deltas
    )
    run = jax.jit(partial(_stiff_run, network, end), static_argnums=0)
    signals, paths = [], []
    for seed in seeds[:2]:
        _, w0 = network.init(jax.random.key(seed))
        slope = lambda w, t, s=w0.shape: np.asarray(gradient(w.reshape(s), t)).ravel()  # noqa: E731
        start, times = np.asarray(w0).ravel(), np.array([0.0, end])
        moved = oracle.heavy_ball.flow(
            slope, start, np.zeros_like(start), times, mass=2.0, dissipation=0.5
        )[0]
        ends = [run(float(k), w0) for k in stiffnesses]
        # Over the size at the start: on the way deltas may pass through 0.
        size = float(jnp.linalg.norm(deltas(w0, 0.0)))
        signals.append([float(jnp.linalg.norm(e - deltas(w, end))) / size for w, e in ends])
        way = np.linalg.norm(moved[1] - start)
        paths.append([np.linalg.norm(np.ravel(w) - moved[1]) / way for w, _ in ends])
    claims = []
    for id, words, against, distances in (
        (
            "S2-multipliers",
            "the error signal of connections that stiffen becomes backprop's deltas along a motion",
            "autodiff at the law's own weights",
            np.array(signals),
        ),
        (
            "S2-weights",
            "the weights under connections that stiffen follow the heavy ball",
            "SciPy's heavy ball on autodiff's gradients",
            np.array(paths),
        ),
    ):
        slopes = np.polyfit(np.log10(stiffnesses), np.log10(distances).T, 1)[0]
        means = ", ".join(f"{d:.1e}" for d in distances.mean(axis=0))
        claims.append(
            Claim.within(
                id,
                f"hard connections: {words}, but for O(1/κ) (slope of log distance on log κ, "
                "mean over seeds)",
                "STLP, laws S2",
                against=against,
                measured=slopes.mean(),
                low=-1.1,
                high=-0.9,
                note=f"neurons without mass, c = κ = {', '.join(f'{k:g}' for k in stiffnesses)}; "
                f"from {slopes.min():.3f} to {slopes.max():.3f}; distances {means}",
            )
        )
    return claims


def _stiff_run(network: Digraph, end: float, stiffness: float, w: Array) -> tuple[Array, Array]:
    """Returns weights and error signal at the end; a hop is a tenth of a relaxation time."""
    tau, steps = 0.1 / stiffness**2, round(10 * end * stiffness**2)
    law = LeastAction(stiffness, Overdamped(stiffness), mass=2.0, dissipation=0.5)
    start = oracle.backprop.feed_forward(network, COST, w, _input(0.0), _goal(0.0)).x
    phase = law.init(network, COST, jax.random.key(0))
    phase = eqx.tree_at(lambda p: (p.x, p.w), phase, (start, w))

    def hop(k: Array, phase: Phase) -> Phase:
        return law.hop(network, COST, phase, _input(k * tau), _goal(k * tau), tau)

    phase = jax.lax.fori_loop(0, steps, hop, phase)
    return phase.w, -stiffness * (phase.x - network.drive(phase.x, phase.w, _input(end)))


def _law() -> LeastAction:
    return LeastAction(4.0, Inertial(0.5, 0.4), mass=2.0, dissipation=0.3, motion=Splitting())


def _energies(network: Digraph, phase: Phase, t: Any) -> dict[str, Array]:
    rate = lambda f: jax.jvp(f, (t,), (jnp.ones(()),))[1]  # noqa: E731
    e = _law().energies(network, COST, phase, _input(t), _goal(t), rate(_input), rate(_goal))
    return {name: getattr(e, name) for name in vars(e)}


def _run(network: Digraph, steps: int, phase: Phase, tau: Any) -> dict[str, Array]:
    """Returns the energies at the beginning of every hop and at the end."""

    def hop(phase: Phase, k: Array) -> tuple[Phase, dict[str, Array]]:
        t = k * tau
        # The splitting feels the force in the middle of the hop.
        middle = t + tau / 2
        after = _law().hop(network, COST, phase, _input(middle), _goal(middle), tau)
        return after, _energies(network, phase, t)

    last, path = jax.lax.scan(hop, phase, jnp.arange(steps))
    end = _energies(network, last, steps * tau)
    return jax.tree.map(lambda a, b: jnp.append(a, b), path, end)


def _balance(seeds: Sequence[int]) -> Balance:
    span, network = 40.0, Digraph.layered([2, 6, 1])
    runs = {tau: jax.jit(partial(_run, network, round(span / tau))) for tau in TAUS.tolist()}
    gaps, energies, time = [], {}, np.zeros(0)
    for seed in seeds[:4]:
        phase = _law().init(network, COST, jax.random.key(seed))
        row = []
        for tau, run in runs.items():
            path = {n: np.asarray(a) for n, a in run(phase, tau).items()}
            time = tau * np.arange(len(path["loss"]))
            path |= {
                "lost": _accumulate(path["dissipated"], tau),
                "received": _accumulate(path["exchanged"], tau),
            }
            expected = path["hamiltonian"][0] - path["lost"] + path["received"]
            path["gap"] = path["hamiltonian"] - expected
            row.append(np.abs(path["gap"]).max())
            energies = energies if seed != seeds[0] else path
        gaps.append(row)
    every = max(1, len(time) // 2000)
    thin = {name: a[::every] for name, a in energies.items()}
    return Balance(time[::every], thin, TAUS, np.array(gaps))


def _accumulate(power: np.ndarray, tau: float) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum((power[1:] + power[:-1]) * tau / 2)])


def _overdamped(seeds: Sequence[int]) -> list[Claim]:
    """Follows $\\dot x = -cU_x$ with held weights, against SciPy on a potential written out."""
    network, speed, stiffness, end = Digraph.complete(4, 2), 0.5, 3.0, 4.0
    u, z, sizes = jnp.array([0.4, -0.7]), jnp.array([0.8]), (4e-3, 2e-3, 1e-3)

    def potential(x: Array, w: Array) -> Array:
        drive = jnp.tanh(w @ jnp.concatenate([u, jnp.ones(1), x]))
        return stiffness / 2 * jnp.sum((x - drive) ** 2) + (x[0] - z[0]) ** 2

    slope = jax.jit(jax.grad(potential))

    @eqx.filter_jit
    def run(law: LeastAction, phase: Phase, tau: Array, steps: int) -> Array:
        move = lambda _, p: law.hop(network, COST, p, u, z, tau)  # noqa: E731
        return jax.lax.fori_loop(0, steps, move, phase).x

    orders: dict[str, list[float]] = {"inertial": [], "overdamped": []}
    nearest = dict.fromkeys(orders, 0.0)
    for seed in seeds[:4]:
        phase = LeastAction(mass=STILL).init(network, COST, jax.random.key(seed))
        right = lambda _, x, w=phase.w: -speed * np.asarray(slope(x, w))  # noqa: E731
        exact = solve_ivp(right, (0, end), np.zeros(4), "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        for name, order in orders.items():
            errors = []
            for size in sizes:
                if name == "inertial":
                    neurons = Inertial(size, 1 / (speed * size))
                    law = LeastAction(stiffness, neurons, STILL, motion=Splitting())
                    x = run(law, phase, jnp.asarray(size / 4), round(4 * end / size))
                else:
                    law = LeastAction(stiffness, Overdamped(speed), STILL)
                    x = run(law, phase, jnp.asarray(size), round(end / size))
                errors.append(_relative(np.asarray(x), exact))
            order.append(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
            nearest[name] = max(nearest[name], errors[-1])
    worst = {name: max(order, key=lambda p: abs(p - 1)) for name, order in orders.items()}
    return [
        Claim.within(
            "S4-limit",
            "as m_x → 0 with θ m_x = 1/c neurons follow predictive coding's gradient flow "
            "-cU_x: the distance falls like m_x (exponent, by regression)",
            "STLP, laws S4",
            against="SciPy's gradient flow of the potential, written out",
            measured=worst["inertial"],
            low=0.9,
            high=1.1,
            note=f"distance {nearest['inertial']:.1e} at m_x = {sizes[-1]:g}; the flow by SciPy",
        ),
        Claim.within(
            "S4-overdamped",
            "overdamped neurons (m_x = 0) converge to that gradient flow like τ (exponent)",
            "STLP, laws S4",
            against="SciPy's gradient flow of the potential, written out",
            measured=worst["overdamped"],
            low=0.9,
            high=1.1,
            note=f"distance {nearest['overdamped']:.1e} at τ = {sizes[-1]:g}",
        ),
    ]


def _relative(a: Array | np.ndarray, b: Array | np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
