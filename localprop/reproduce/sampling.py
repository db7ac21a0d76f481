"""Unevenly spaced samples: I11."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from ..law import Hamiltonian
from ..law.policy import CostateReversal
from ..learner import Learner
from . import flow
from .claim import Claim, Part
from .flow import Setting, Vector

END, SAMPLES, HALVINGS = 4.0, 64, (0, 2, 4)


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    setting = Setting()
    orders: dict[str, list[float]] = {"even": [], "uneven": []}
    apart = 0.0
    for seed in seeds[:4]:
        start = setting.draw(seed, 0.5)
        exact = _exact(setting, start)
        rng = np.random.default_rng(seed)
        uneven = rng.uniform(0.1, 1.9, SAMPLES)
        grids = {"even": np.full(SAMPLES, END / SAMPLES), "uneven": uneven * END / uneven.sum()}
        ends = {}
        for name, durations in grids.items():
            found = [_learn(setting, start, np.repeat(durations / 2**k, 2**k)) for k in HALVINGS]
            errors = [np.linalg.norm(y - exact) / np.linalg.norm(exact) for y in found]
            orders[name].append(-np.polyfit(HALVINGS, np.log2(errors), 1)[0])
            ends[name] = found[-1]
        gap = np.linalg.norm(ends["uneven"] - ends["even"]) / np.linalg.norm(exact)
        apart = max(apart, float(gap))
    return Part(
        [
            Claim.at_least(
                f"I11-{name}",
                f"{name}ly spaced samples: the learner converges to the solution of the continuous "
                "equations (order in the sample's duration, by regression)",
                "laws I11",
                against="SciPy's solution of the continuous equations",
                measured=min(order),
                bound=0.9,
                note="durations over a factor of 19; " * (name == "uneven")
                + f"on the finest grids even and uneven are {apart:.1e} apart",
            )
            for name, order in orders.items()
        ]
    )


def _exact(setting: Setting, start: Vector) -> np.ndarray:
    rate = jax.jit(lambda t, y: flow.hamiltonian_rate(setting, y, t, sign=-1.0))
    right = lambda t, y: np.asarray(rate(jnp.asarray(t), jnp.asarray(y)))  # noqa: E731
    return solve_ivp(right, (0, END), np.asarray(start), rtol=1e-10, atol=1e-12).y[:, -1]


def _learn(setting: Setting, start: Vector, durations: np.ndarray) -> np.ndarray:
    law = Hamiltonian(CostateReversal(), setting.mass, setting.dissipation)
    learner = Learner(setting.network(), setting.cost(), law, hops=2, settle=0)
    fields = lambda p: (p.x, p.costate, p.w, p.momentum)  # noqa: E731
    phase = eqx.tree_at(fields, learner.init(jax.random.key(0)), setting.split(start))
    times = jnp.asarray(np.cumsum(durations) - durations)
    u, z = (np.asarray(jax.vmap(f)(times)) for f in (setting.input, setting.goal))
    after, _ = learner.run(phase, (u, z, durations), record=(), chunk=SAMPLES)
    return np.concatenate([np.ravel(a) for a in fields(after)])
