"""The pictures of the papers' claims, one column wide each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..report import style
from ..tracking.figure import tracking_figure
from ..tracking.track import Tracking
from .conjecture import Evidence, half_width
from .least_action import Balance, Mismatch
from .optimum import Optimum
from .propagation import Distances
from .sign_flip import Convergence

CAPTIONS = {
    "figure_1": "Figure 1 of NLP: q = 10, the regulariser wins and the target is not tracked.",
    "figure_2": "Figure 2 of NLP: q = 1000, tracked in flip time; the replay is what a forward "
    "network does under the same weights.",
    "figure_3": "Figure 3 of NLP: a target of patches under the sign flip.",
    "figure_4": "Figure 4 of NLP: the Hamiltonian track.",
    "costate_reversal": "Costate reversal with one constant input on the patched target; its "
    "state never runs backward.",
    "corollary_1": "Corollary 1: the costate approaches backprop's deltas like 1/c.",
    "sign_flip": "What the sign flip really does: Euler's own error converges, at a rate "
    "proportional to τ; a reversible integrator stays where it is.",
    "optimum_paper": "The best trajectory of the paper's net, and its policies' weights replayed.",
    "optimum_bias": "The best trajectory of a net of infinite speed with one constant input, and "
    "costate reversal.",
    "conjecture_1": "Conjecture 1: loss over time at finite speed, by number of hidden layers, and "
    "with all hidden layers frozen; mean and 95 % interval over seeds.",
    "least_action_mismatch": "S1: the mismatch at rest approaches backprop's deltas like 1/κ.",
    "energy_balance": "S3: energies over a run under least action, and how their balance closes.",
}
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))


def draw(folder: Path, curves: dict[str, Any]) -> dict[str, list[Path]]:
    """Draws every figure for which there are curves; returns its PNG and SVG, by name."""
    named = [name for name in CAPTIONS if name in curves]
    return {name: style.save(figure_of(curves[name]), folder / name) for name in named}


def figure_of(curve: Any) -> Figure:
    """Returns the figure that belongs to a kind of curves."""
    with style.applied():
        if isinstance(curve, Tracking):
            return tracking_figure(curve)
        if isinstance(curve, Distances):
            words = ("speed of the neurons $c$ (1 / time)", "$|\\lambda-\\delta|\\,/\\,|\\delta|$")
            return _slope(curve.speeds, curve.distances, "/c", *words)
        if isinstance(curve, Mismatch):
            words = ("stiffness $\\kappa$ (1)", "$|\\epsilon-\\delta|\\,/\\,|\\delta|$")
            return _slope(curve.stiffnesses, curve.distances, "/\\kappa", *words)
        kinds = {
            Convergence: _sign_flip,
            Optimum: _optimum,
            Evidence: _conjecture,
            Balance: _balance,
        }
        return kinds[type(curve)](curve)


def _one(height: float = 2.2) -> tuple[Figure, Any]:
    figure = Figure(figsize=(style.COLUMN, height), layout="constrained")
    axes = figure.add_subplot()
    style.tidy(axes)
    return figure, axes


def _slope(x: np.ndarray, y: np.ndarray, over: str, xlabel: str, ylabel: str) -> Figure:
    figure, axes = _one()
    for k, row in enumerate(y):
        label = f"each of {len(y)} seeds" if k == 0 else None
        axes.loglog(x, row, "o", color=style.SKY, markersize=3, markeredgewidth=0, label=label)
    mean = np.exp(np.log(y).mean(axis=0))
    axes.loglog(x, mean, color=style.BLUE, linewidth=1.4, label="geometric mean")
    guide = mean[0] * x[0] / x / 3
    axes.loglog(x, guide, color=style.BLACK, linestyle="--", linewidth=0.8, label=f"$1{over}$")
    axes.set(xlabel=xlabel, ylabel=f"distance to backprop\n{ylabel} (1)")
    axes.legend(frameon=False)
    return figure


def _sign_flip(curve: Convergence) -> Figure:
    figure, axes = _one()
    lines = (
        ("midpoint", "implicit midpoint, reversible", style.BLACK),
        ("euler-half", "explicit Euler, $\\tau/2$", style.SKY),
        ("euler", "explicit Euler, $\\tau$", style.VERMILLION),
    )
    for (name, label, colour), dashes in zip(lines, DASHES, strict=False):
        size = np.maximum(curve.sizes[name], 1e-16)
        axes.semilogy(curve.time, size, color=colour, linestyle=dashes, label=label)
    axes.set(
        xlabel="hops × $\\tau$ (units of time)",
        ylabel="$|\\dot y|$ over its start (1)",
        xlim=(0, curve.time[-1]),
        ylim=(1e-16, 20),
    )
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


def _optimum(curve: Optimum) -> Figure:
    figure, axes = _one(2.6)
    axes.plot(curve.time, curve.target, color=style.GREY, linewidth=2.6, label="target $z$")
    axes.plot(curve.time, curve.best, color=style.BLACK, linewidth=0.9, label="oracle (cost × 1)")
    colours = (style.VERMILLION, style.BLUE, style.GREEN)
    for (name, replay), colour, dashes in zip(
        curve.replays.items(), colours, DASHES[1:], strict=False
    ):
        label = f"{name} replayed (cost × {curve.gaps[name]:.2f})"
        axes.plot(curve.time, replay, color=colour, linestyle=dashes, linewidth=0.9, label=label)
    axes.set(
        xlabel="time (units of the stream)",
        ylabel="signal (1)",
        xlim=(0, curve.time[-1]),
        ylim=(-1.05, 1.05),
    )
    axes.legend(
        frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1), borderaxespad=0.2,
        labelspacing=0.2,
    )  # fmt: skip
    return figure


def _conjecture(curve: Evidence) -> Figure:
    figure, axes = _one()
    colours = (style.BLUE, style.ORANGE, style.GREEN)
    for (depth, losses), colour, dashes in zip(curve.losses.items(), colours, DASHES, strict=False):
        logs = np.log(losses)
        middle, half = logs.mean(axis=0), half_width(logs)
        label = f"{depth} hidden layer{'s' if depth > 1 else ''}"
        axes.loglog(curve.time, np.exp(middle), color=colour, linestyle=dashes, label=label)
        low, high = np.exp(middle - half), np.exp(middle + half)
        axes.fill_between(curve.time, low, high, color=colour, alpha=0.2, linewidth=0)
        frozen = np.exp(np.log(curve.frozen[depth]).mean(axis=0))
        label = "hidden layers frozen" if depth == min(curve.losses) else None
        axes.loglog(curve.time, frozen, color=colour, linewidth=0.6, alpha=0.6, label=label)
    axes.set(
        xlabel="samples seen",
        ylabel="squared error\nover variance (1)",
        xlim=(curve.time[0], curve.time[-1]),
    )
    axes.legend(frameon=False)
    return figure


def _balance(curve: Balance) -> Figure:
    figure = Figure(figsize=(style.COLUMN, 4.0), layout="constrained")
    energies, closing = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1.7, 1]})
    e, start = curve.energies, curve.energies["hamiltonian"][0]
    kinetic = e["neuron_kinetic"] + e["weight_kinetic"]
    lines = (
        ("energy $E$", e["hamiltonian"], style.BLACK, "-", 1.6),
        ("$E(0)$ − friction + work", start - e["lost"] + e["received"], style.YELLOW, "-", 0.6),
        ("kinetic", kinetic, style.BLUE, DASHES[1], 0.9),
        ("connections", e["connection"], style.ORANGE, DASHES[3], 0.9),
        ("cost $\\ell$", e["cost"], style.GREEN, DASHES[2], 1.1),
    )
    for label, values, colour, dashes, width in lines:
        energies.plot(
            curve.time, values, color=colour, linestyle=dashes, linewidth=width, label=label
        )
    energies.set(xlabel="time (units of the stream)", ylabel="energy (1)", xlim=(0, curve.time[-1]))
    energies.legend(
        frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, borderaxespad=0.2,
        labelspacing=0.2,
    )  # fmt: skip
    mean = np.exp(np.log(curve.gaps).mean(axis=0))
    closing.loglog(curve.taus, mean, "o-", color=style.BLUE, markersize=3, label="largest gap")
    guide = mean[-1] * (curve.taus / curve.taus[-1]) ** 2 / 2
    closing.loglog(curve.taus, guide, "--", color=style.BLACK, linewidth=0.8, label="$\\tau^2$")
    closing.set(xlabel="step $\\tau$ (units of time)", ylabel="gap in the\nbalance (1)")
    closing.set_xticks(curve.taus, [f"{t:g}" for t in curve.taus])
    closing.minorticks_off()
    closing.legend(frameon=False)
    for axes in (energies, closing):
        style.tidy(axes)
    figure.align_ylabels()
    return figure
