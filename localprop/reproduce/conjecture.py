"""Conjecture 1: at finite speed costate reversal brings the loss down, whatever the depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ..cost import Cost, SquaredError
from ..law import untuned_law
from ..learner import Learner
from . import learning, lessons
from .claim import Claim, Part, spread

DEPTHS = (1, 2, 3)  # hidden layers
SPEED, HOP = 2.0, 0.5  # a hop is one relaxation time of a neuron
STRETCHES = 600


@dataclass(frozen=True)
class Evidence:
    """Normalised loss over time, `(seeds, stretches)`, by depth; `frozen`: hidden layers held."""

    time: np.ndarray
    losses: dict[int, np.ndarray]
    frozen: dict[int, np.ndarray]


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims. In float32, as everybody runs it."""
    found = {depth: at_depth(depth, seeds) for depth in DEPTHS}
    claims = [claim for both, _ in found.values() for claim in both]
    # Stretches that grow with time: most happens early.
    edges = np.unique(np.geomspace(1, STRETCHES, 24).astype(int))[:-1] - 1
    sizes = np.diff(np.append(edges, STRETCHES))
    time = learning.SAMPLES / STRETCHES * np.append(edges[1:], STRETCHES)

    def means(way: str) -> dict[int, np.ndarray]:
        return {
            d: np.add.reduceat(loss[way], edges, axis=1) / sizes for d, (_, loss) in found.items()
        }

    return Part(
        claims, {"conjecture_1": Evidence(time, means(learning.WHOLE), means(learning.FROZEN))}
    )


def at_depth(
    depth: int, seeds: Sequence[int], samples: int = learning.SAMPLES
) -> tuple[list[Claim], dict[str, np.ndarray]]:
    """Returns the claims of one depth, and losses in stretches, by way to learn.

    A sample is held for $4L + 6$ hops of $1/c$, of which all but four are settle hops: states and
    errors need several relaxation times per layer to arrive.
    """
    hops = 4 * depth + 6
    learner = Learner(
        learning.dense(8, depth, SPEED),
        Cost(SquaredError()),
        untuned_law(HOP, rate=learning.RATE),
        hops=hops,
        settle=hops - 4,
        duration=HOP * hops,
    )
    given = [lessons.teacher(seed, samples) for seed in seeds]
    found = learning.errors(learner, learning.free(learner.network), given, seeds)
    first = np.array([g.score(e) for g, e in zip(given, found[learning.FIRST], strict=True)])
    learns = learning.compare(
        f"CJ1-{depth}",
        f"evidence: at c = {SPEED:g} costate reversal teaches {learning.layers(depth)} what a "
        "teacher makes of unrelated inputs",
        "NLP Conjecture 1",
        given,
        found,
        learning.read_out(learner, given, seeds),
    )
    credit = Claim.at_most(
        f"CJ1-{depth}-credit",
        f"evidence: at c = {SPEED:g} the error crosses {depth} layers of weights: with the first "
        "of the hidden layers alone free to learn the loss falls to half of that of the mean "
        "(error over variance, worst start)",
        "NLP Conjecture 1",
        against="the mean of the targets, best of all who do not learn",
        measured=first.max(),
        bound=0.5,
        baselines={"the mean": 1.0, **learns.baselines},
        note=spread(first, first <= 0.5),
    )
    stretches = {
        name: np.stack([
            _stretches(error, lesson.answer) for error, lesson in zip(errors, given, strict=True)
        ])
        for name, errors in found.items()
    }  # fmt: skip
    return [learns, credit], stretches


def _stretches(error: np.ndarray, answer: np.ndarray) -> np.ndarray:
    count = min(STRETCHES, len(error))
    whole = error[: len(error) // count * count]
    return whole.reshape(count, -1).mean(axis=1) / np.var(answer)


def half_width(values: np.ndarray) -> Any:
    """Returns half the width of Student's 95 % interval of the mean, over the first axis."""
    spread = np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    return stats.t.ppf(0.975, len(values) - 1) * spread
