"""The picture of a tracking run: target, state, replay, Lagrangian, Hamiltonian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ..report import style
from .track import Tracking


def draw_tracking(path: Path, run: Tracking) -> list[Path]:
    """Draws a run over time, as NLP's Figures 1-4 do; writes `path` as PNG and SVG.

    **Arguments:** `path`: without a suffix, or with one that is replaced; `run`: from `track`.
    """
    return style.save(tracking_figure(run), path)


def tracking_figure(run: Tracking) -> Figure:
    """Returns the figure, one column wide: signals, Lagrangian, Hamiltonian."""
    with style.applied():
        figure = Figure(figsize=(style.COLUMN, 3.7), layout="constrained")
        signals, lagrangian, hamiltonian = figure.subplots(
            3, 1, sharex=True, gridspec_kw={"height_ratios": [2.2, 1, 1]}
        )
        time = run.trace["time"]
        _draw_signals(signals, run)
        _draw_energy(lagrangian, time, run.trace["lagrangian"], style.BLUE)
        lagrangian.set_ylabel("Lagrangian\n(cost / time)")
        _draw_energy(hamiltonian, time, run.trace["hamiltonian"], style.GREEN)
        hamiltonian.set_ylabel("Hamiltonian\n(cost / time)")
        end = run.settings["steps"] * run.settings["dt"]
        hamiltonian.set(xlabel="time (units of the stream)", xlim=(0, end))
        for axes in (signals, lagrangian, hamiltonian):
            style.tidy(axes)
        figure.align_ylabels()
        return figure


def _draw_signals(axes: Axes, run: Tracking) -> None:
    time, trace = run.trace["time"], run.trace
    axes.plot(time, trace["target"], color=style.SILVER, linewidth=2.6, label="target $z$")
    if np.array_equal(trace["state"], trace["replay"]):
        label = f"state $x_0$ = replay (NRMSE {run.nrmse:.3g})"
        axes.plot(time, trace["state"], color=style.BLUE, linewidth=0.9, label=label)
    else:
        label = f"state $x_0$ (NRMSE {run.nrmse:.3g})"
        axes.plot(time, trace["state"], color=style.BLUE, linewidth=0.9, label=label)
        label = f"replay (NRMSE {run.replayed_nrmse:.3g})"
        dashes = {"color": style.VERMILLION, "linewidth": 0.9, "linestyle": (0, (4, 1.5))}
        axes.plot(time, trace["replay"], label=label, **dashes)
    axes.set_ylabel("signal (1)")
    axes.legend(
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderaxespad=0,
        labelspacing=0.2,
    )
    q, c, dt = (run.settings[name] for name in ("q", "speed", "dt"))
    speed = "∞" if c == "inf" else f"{c:g}"
    axes.set_title(f"{run.policy}\n$q$ = {q:g}\n$c$ = {speed}, $\\Delta t$ = {dt:g}", loc="right")


def _draw_energy(axes: Axes, time: np.ndarray, values: np.ndarray, color: str) -> None:
    """Draws values of many scales: logarithmic, and linear near 0 where they have both signs."""
    axes.plot(time, values, color=color, linewidth=0.7)
    if values.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())  # they would overlap
    elif values.any():
        linear = _linear_below(np.abs(values))
        axes.set_yscale("symlog", linthresh=linear, subs=None)
        axes.set_yticks(_ticks(values, linear))
        axes.axhline(0, color=style.BLACK, linewidth=0.4)


def _linear_below(sizes: np.ndarray) -> float:
    """Returns the power of ten below which the axis is linear: most values show above it."""
    smallest = float(np.percentile(sizes[sizes > 0], 10))
    return 10.0 ** np.round(np.log10(max(smallest, float(sizes.max()) / 1e6)))


def _ticks(values: np.ndarray, linear: float) -> list[float]:
    """Returns 0 and powers of ten that the values reach, few enough to be read."""
    first, last = (int(np.floor(np.log10(a))) for a in (linear, np.abs(values).max()))
    sizes = [10.0**k for k in range(last, first - 1, -max(2, (last - first + 1) // 2))]
    ticks = [sign * size for size in sizes for sign in (-1, 1)]
    return [0.0, *(tick for tick in ticks if values.min() <= tick <= values.max())]
