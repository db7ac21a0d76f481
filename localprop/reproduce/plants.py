"""Linear plants under the law itself: where each policy brings them to rest, and at what cost.

The paper's Example 2 solves linear-quadratic control by Riccati's equation. Here nothing does but
the law (`stability.py`), and the map that is derived in laws.md, section 13, is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..oracle.linear_quadratic import bounds
from .claim import Claim, Part
from .stability import GAIN, HORIZON, WAYS, Problems, follow, random_problems

POINTS, HOPS, FLIPS = 100, 4000, 20_000
# A point is judged where it must grow or shrink by so much, whatever its transient.
FACTOR = np.log(10)
AT_REST = 0.02  # of the start
SEED, SMALL = 7, 1e-3  # small: deep in the ball of the Hamiltonian track
POLICIES = ("costate reversal", "fast costates", "sign flip", "Hamiltonian track")
# Of what a claim is made, and which of the plants are meant.
TO_REST = {
    "reversal": ("costate reversal", ""),
    "track": ("Hamiltonian track", ""),
    "fast": ("fast costates", f", if laws 13 finds the gain {GAIN:g} enough,"),
}
SOURCE = "NLP Example 2, laws 13"


@dataclass(frozen=True)
class Runs:
    """What a law did on every plant, in units of where it started.

    **Fields:** `grown`: log of $|y|$ at the end, from somewhere at random; `low`, `high`: between
    what it must lie, by eigenvalues; from $x = 1$ and all else at rest: `size`, of $y$ at the end,
    `cost`, of the trajectory, and `replayed`, of its weights in the forward network.
    """

    grown: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray
    cost: np.ndarray
    replayed: np.ndarray

    @property
    def rests(self) -> np.ndarray:
        """Where the law came to rest."""
        return self.size < AT_REST


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims; to be called in float64."""
    del seeds  # the plants are random, and many
    problems = random_problems(POINTS, seed=SEED)
    found = {name: run(name, problems) for name in POLICIES}
    held = [brought_to_rest(id, problems, found) for id in TO_REST]
    return Part([_predicted(found), *held, _unstable(problems, found), *_worth(problems, found)])


def run(name: str, problems: Problems) -> Runs:
    """Lets a law run on every plant of one state."""
    points, way = len(problems.mass), WAYS[name]
    hops = FLIPS if name == "sign flip" else HOPS  # which is slow
    anywhere = np.random.default_rng(SEED).standard_normal((points, 4))
    anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
    cycles = [way.cycle(problems.plant(k), float(problems.dissipation[k])) for k in range(points)]
    times = hops // len(way.gains)
    low, high = np.transpose([bounds(c, y, times) for c, y in zip(cycles, anywhere, strict=True)])
    start = SMALL * np.concatenate([anywhere, np.eye(4)[np.zeros(points, int)]])
    twice = jax.tree.map(lambda v: jnp.concatenate([jnp.asarray(v)] * 2), problems)
    out = follow(name, twice, jnp.asarray(start), hops)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        size = np.linalg.norm(np.asarray(out.end), axis=1) / SMALL
        costs = [np.asarray(value)[points:] / SMALL**2 for value in (out.cost, out.replayed)]
        # What overflows has diverged.
        size, *costs = (np.where(np.isnan(v), np.inf, v) for v in (size, *costs))
        grown = np.log(size[:points])
    return Runs(grown, low, high, size[points:], *costs)


def _predicted(found: dict[str, Runs]) -> Claim:
    wrong, judged = {}, {}
    for name, law in found.items():
        converges, diverges = law.high < -FACTOR, law.low > FACTOR
        wrong[name] = np.sum((converges & (law.grown >= 0)) | (diverges & (law.grown <= 0)))
        judged[name] = np.sum(converges | diverges)
    words = ", ".join(f"{name} {judged[name]}" for name in found)
    return Claim.at_most(
        "LQ-eigenvalues",
        "on random linear plants the law comes to rest and diverges where the map of stability "
        "says (plants on which it does not, all policies together)",
        SOURCE,
        against="eigenvalues of matrices written apart in NumPy",
        measured=sum(wrong.values()),
        bound=0,
        note=f"{POINTS} plants a policy, of which must grow or shrink by 10 in the run: {words}",
    )


def brought_to_rest(id: str, problems: Problems, found: dict[str, Runs]) -> Claim:
    """Claims that a policy leaves stable what is so by itself."""
    name, words = TO_REST[id]
    own, free = problems.a[:, 0, 0] < 0, problems.dissipation == 0
    at = own & (gain_needed(problems) < GAIN) if id == "fast" else own
    rests = found[name].grown < 0
    return Claim.at_least(
        f"LQ-{id}",
        f"{name}: every random linear plant that is stable by itself{words} is so under the law "
        "(share that shrinks)",
        SOURCE,
        against="weights at rest, under which all do",
        measured=np.mean(rests[at]),
        bound=1.0,
        **_beside({"do nothing": 1.0}, np.mean(rests[at])),
        note=f"{at.sum()} of {own.sum()} such plants; of all {np.mean(rests[own]):.0%}, without "
        f"dissipation {np.mean(rests[own & free]):.0%}",
    )


def _unstable(problems: Problems, found: dict[str, Runs]) -> Claim:
    unstable = problems.a[:, 0, 0] > 0
    # The sign flip rests on all of them, but it moves the plant backward half of the time: what
    # replays at more than a thousand times the scale of its cost has run away.
    scale = 1e3 * (problems.q + problems.r)[:, 0, 0]
    held = {name: law.rests & (law.replayed < scale) for name, law in found.items()}
    shares = {name: float(np.mean(h[unstable])) for name, h in held.items()}
    best = max(shares, key=lambda name: shares[name])
    words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return Claim.at_least(
        "LQ-unstable",
        "some policy holds every random linear plant that is unstable by itself (share, of the "
        "best policy, its weights replayed)",
        SOURCE,
        against="the optimum, by Riccati's equation, which holds all",
        measured=shares[best],
        bound=1.0,
        **_beside({"optimum": 1.0, "do nothing": 0.0}, shares[best]),
        note=f"{np.sum(unstable)} plants; by policy {words}",
    )


def _worth(problems: Problems, found: dict[str, Runs]) -> list[Claim]:
    own = problems.a[:, 0, 0] < 0
    best = np.array([problems.plant(k).optimum()[0, 0] / 2 for k in range(len(own))])
    claims = []
    for id, name in (("reversal", "costate reversal"), ("fast", "fast costates")):
        law, nothing = found[name], _cost_of_rest(name, problems)
        at = own & law.rests
        saved = (nothing[at] - law.cost[at]) / (nothing[at] - best[at])
        gap = law.cost[at] / best[at]
        claims.append(
            Claim.at_least(
                f"LQ-worth-{id}",
                f"{name}: control costs less than none, on plants stable by themselves that it "
                "brings to rest (share of what the optimum saves, median)",
                SOURCE,
                against="weights at rest; the optimum, by Riccati's equation",
                measured=np.median(saved),
                bound=0.0,
                **_beside({"do nothing": 0.0, "optimum": 1.0}, np.median(saved)),
                note=f"{at.sum()} plants; worse than nothing on {np.mean(saved < 0):.0%}; cost "
                f"over the optimum's: median {np.median(gap):.3g}, worst {gap.max():.3g}",
            )
        )
    return claims


def _beside(baselines: dict[str, float], own: Any) -> dict[str, Any]:
    """Returns the baselines of a share, and their order: the largest first."""
    ordered = sorted({**baselines, "law": float(own)}.items(), key=lambda pair: -pair[1])
    words = " > ".join(f"{name} {value:.3g}" for name, value in ordered)
    return {"baselines": baselines, "ranking": words}


def gain_needed(problems: Problems) -> np.ndarray:
    """Returns the gain above which fast costates hold a plant with $a \\le 0$ (laws 13)."""
    a, q, r = (v[:, 0, 0] for v in problems[:3])
    f = problems.dissipation + 1 / HORIZON
    mass = problems.mass
    return np.asarray(q / mass * (2 * f - a) / (f * (f - a) ** 2 * (r / mass - f * a)))


def _cost_of_rest(name: str, problems: Problems) -> np.ndarray:
    """Returns what the plant costs by itself, summed over hops as the law's own cost is."""
    way, a, c = WAYS[name], problems.a[:, 0, 0], problems.speed
    share = -np.expm1(-c * way.tau) if way.relaxes else c * way.tau
    keep = (1 + share * a / c) ** 2
    with np.errstate(divide="ignore"):
        whole = np.where(a < 0, 1 / (1 - keep) - 0.5, np.inf)
    return np.asarray(way.tau * problems.q[:, 0, 0] / 2 * whole)
