"""Figures 1-4 and the tracking table: every policy, in flip time and replayed, beside baselines.

To *track* is to have at most a fifth of the error of doing nothing, from every start. It is no
learning: whoever repeats the last target tracks these slow signals better, and so the rows say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..law import CostateReversal, HamiltonianTrack, SignFlip
from ..law.policy import AbstractPolicy
from ..tracking.signals import AbstractSignal, Patched, Sine
from ..tracking.track import Tracking, track, track_starts
from ..tracking.tracker import LinearQuadratic, Tracker, tracker
from .claim import Claim, Part, spread

INITIALISATIONS = 20
TRACKED = 0.2  # of the error of doing nothing, x = w = 0, whose NRMSE is 1
PERIOD = 400.0  # of what costate reversal follows, in samples


@dataclass(frozen=True)
class Row:
    """One setting: what is tracked, and how."""

    id: str
    words: str
    source: str
    signal: AbstractSignal
    policy: AbstractPolicy
    settings: dict[str, Any]
    duration: float | None = None


def _flip(
    id: str, words: str, signal: AbstractSignal, q: float, c: float, dt: float, period: int,
    periods: int = 6,
) -> Row:  # fmt: skip
    setting = f"q = {q:g}, c = {c:g}, τ = {dt:g}, P = {period}"
    source = f"NLP Figure {id[1]}" if id.startswith("F") else "laws 7, table"
    settings = {"q": q, "speed": c, "dt": dt}
    words = f"sign flip, {words} ({setting})"
    duration = periods * 2 * np.pi / signal.omega
    return Row(id, words, source, signal, SignFlip(period), settings, duration)


def _reversal(id: str, words: str, signal: AbstractSignal) -> Row:
    words = f"costate reversal with one constant input, {words}"
    return Row(id, words, "NLP eqs. 18-19", signal, CostateReversal(), {}, 6 * PERIOD)


SLOW, FAST, PATCHED = Sine(0.02), Sine(0.1), Patched(0.02)
FLIPS = (
    _flip("F1", "0.5 sin 0.02t", SLOW, 10.0, 2.0, 0.01, 1, periods=2),
    _flip("F2", "0.5 sin 0.02t", SLOW, 1000.0, 1.0, 0.1, 1),
    _flip("F3", "a target of patches", PATCHED, 100.0, 2.0, 0.1, 2),
    _flip("TT-2", "0.5 sin 0.02t", SLOW, 100.0, 2.0, 0.1, 1),
    _flip("TT-4", "0.5 sin 0.1t", FAST, 100.0, 2.0, 0.1, 1),
    _flip("TT-5", "0.5 sin 0.1t", FAST, 1000.0, 5.0, 0.005, 5),
    _flip("TT-7", "a target of patches", PATCHED, 1000.0, 2.0, 0.02, 1, periods=3),
)
BALL = Row(
    "F4",
    "Hamiltonian track, 0.5 sin 0.02t (q = 100, R = 200, c = 1, τ = 0.05)",
    "NLP Figure 4, eq. 24",
    SLOW,
    HamiltonianTrack(200.0),
    {"q": 100.0, "speed": 1.0, "dt": 0.05},
)
REVERSALS = (
    _reversal("CR-400", "0.5 sin of period 400 samples", Sine(2 * np.pi / PERIOD)),
    _reversal("CR-100", "0.5 sin of period 100 samples", Sine(8 * np.pi / PERIOD)),
    _reversal("CR-patched", "patches of base period 400", Patched(2 * np.pi / PERIOD)),
)


@dataclass(frozen=True)
class Runs:
    """NRMSE of one row from every start, ∞ where it diverged, and what the baselines score."""

    nrmse: np.ndarray
    replayed: np.ndarray
    frozen: np.ndarray
    persistence: float

    def baselines(self) -> dict[str, float]:
        """Returns the scores of those who do not learn."""
        frozen = float(np.median(self.frozen))
        return {
            "persistence": self.persistence, "hidden weights frozen": frozen, "do nothing": 1.0
        }  # fmt: skip


def measure(seeds: Sequence[int]) -> Part:
    """Returns the claims. In float32, as everybody runs it."""
    starts = range(max(INITIALISATIONS, len(seeds)))
    every = (*FLIPS, BALL, *REVERSALS)
    found = {row.id: runs(row, starts) for row in every}
    claims = [untracked(FLIPS[0], found["F1"])]
    claims += [tracked(row, found[row.id]) for row in every[1:]]
    claims += [replay(row, found[row.id]) for row in every if row.id in ("F2", "F3", "F4")]
    claims += [_own_replay(found), _small_steps(starts), *_learning(found)]
    figures = {
        "figure_1": "F1", "figure_2": "F2", "figure_3": "F3", "figure_4": "F4",
        "costate_reversal": "CR-patched",
    }  # fmt: skip
    rows = {row.id: row for row in every}
    return Part(claims, {name: _first(rows[id]) for name, id in figures.items()})


def how(row: Row) -> Tracker:
    """Returns the tracker of a row."""
    settings = dict(row.settings)
    return tracker(row.policy, LinearQuadratic(settings.pop("q", 1000.0)), **settings)


def runs(row: Row, starts: Sequence[int]) -> Runs:
    """Tracks from every start, whole and with nothing free but the weights into the output."""
    whole, duration = how(row), row.duration
    outputs = jnp.zeros(whole.init(0).w.shape, bool).at[0].set(True)
    held = eqx.tree_at(
        lambda t: t.network.plastic, whole, outputs, is_leaf=lambda leaf: leaf is None
    )
    own = track_starts(row.signal, whole, starts, duration=duration)
    frozen = track_starts(row.signal, held, starts, duration=duration)
    return Runs(own.nrmse, own.replayed_nrmse, frozen.nrmse, persistence(row, whole.dt))


def persistence(row: Row, dt: float) -> float:
    """Returns the NRMSE of answering with the target of the step before."""
    span = row.signal.span if row.duration is None else row.duration
    z = row.signal(dt * np.arange(round(span / dt)))
    late = slice(len(z) // 3, None)
    last = np.concatenate([[0.0], z[:-1]])
    return float(np.sqrt(np.sum((z - last)[late] ** 2) / np.sum(z[late] ** 2)))


def tracked(row: Row, found: Runs) -> Claim:
    """Claims that a row tracks, and ranks it among those who do not learn."""
    return Claim.at_most(
        row.id,
        f"{row.words}: tracked, at most a fifth of the error of doing nothing (NRMSE, worst start)",
        row.source,
        against="doing nothing, NRMSE 1",
        measured=found.nrmse.max(),
        bound=TRACKED,
        baselines=found.baselines(),
        note=spread(found.nrmse, found.nrmse <= TRACKED),
    )


def untracked(row: Row, found: Runs) -> Claim:
    """Claims that the regulariser wins."""
    return Claim.at_least(
        row.id,
        f"{row.words}: not tracked, the regulariser wins and no start does better than doing "
        "nothing by 1 % (NRMSE, best start)",
        row.source,
        against="doing nothing, NRMSE 1",
        measured=found.nrmse.min(),
        bound=0.99,
        baselines=found.baselines(),
        note=spread(found.nrmse, found.nrmse >= 0.99),
    )


def replay(row: Row, found: Runs) -> Claim:
    """Claims that the weights are those of a network that tracks."""
    return Claim.at_most(
        f"{row.id}-replay",
        f"{row.words}: the weights found make a forward network track (NRMSE replayed, worst "
        "start)",
        f"{row.source}, laws 7, Replay",
        against="doing nothing, NRMSE 1",
        measured=found.replayed.max(),
        bound=TRACKED,
        baselines=found.baselines(),
        note=f"{spread(found.replayed, found.replayed <= TRACKED)}; the state ran backward half of "
        "the time, as no network does",
    )


def _own_replay(found: dict[str, Runs]) -> Claim:
    apart = lambda id: float(np.abs(found[id].replayed - found[id].nrmse).max())  # noqa: E731
    return Claim.at_most(
        "CR-replay",
        "costate reversal never runs its state backward: replaying the weights gives the run "
        "itself (largest difference of NRMSE)",
        "NLP eqs. 18-19, laws 7",
        against="a second integration of the forward network",
        measured=max(apart(row.id) for row in REVERSALS),
        bound=0.0,
        note=f"under the sign flip of F2 it is {apart('F2'):.2g}",
    )


def _small_steps(starts: Sequence[int]) -> Claim:
    """The flip at the ball's surface contracts by Euler's error, in proportion to the step."""
    two_periods = 4 * np.pi / SLOW.omega
    small = replace(BALL, settings={**BALL.settings, "dt": 0.01}, duration=two_periods)
    found = track_starts(SLOW, how(small), starts, duration=two_periods).nrmse
    return Claim.at_most(
        "F4-small",
        "Hamiltonian track: it tracks at a smaller step too, τ = 0.01 (NRMSE, worst start)",
        "NLP Figure 4, laws 7",
        against="doing nothing, NRMSE 1",
        measured=found.max(),
        bound=TRACKED,
        baselines={"persistence": persistence(small, 0.01), "do nothing": 1.0},
        note=f"{spread(found, found <= TRACKED)}; ∞: diverged. What contracts is Euler's own error",
    )


def _learning(found: dict[str, Runs]) -> list[Claim]:
    """Holds the better half of tracking against the simplest of all baselines."""
    claims = []
    for id, words, rows in (
        ("TT-learning", "the sign flip and the Hamiltonian track predict", (*FLIPS[1:], BALL)),
        ("CR-learning", "costate reversal predicts", REVERSALS),
    ):
        factors = {
            row.id: min(found[row.id].persistence, np.median(found[row.id].frozen))
            / found[row.id].nrmse.max()
            for row in rows
        }
        best = max(factors, key=lambda id: factors[id])
        claims.append(
            Claim.at_least(
                id,
                f"tracking is learning: {words} the next target better than the last target does, "
                "and than frozen hidden weights (rows, of all)",
                "NLP section 5",
                against="persistence, hidden weights frozen",
                measured=sum(f > 1 for f in factors.values()),
                bound=len(factors),
                note=f"error of the better baseline over the worst start's: at best {best} "
                f"{factors[best]:.2g}; where learning shows, LN and CJ1 tell",
            )
        )
    return claims


def _first(row: Row) -> Tracking:
    return track(row.signal, how(row), seed=0, duration=row.duration)
