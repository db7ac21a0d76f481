"""The picture of a tracking run: target, state, replay, Lagrangian, Hamiltonian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, SymmetricalLogLocator

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
        lagrangian.plot(time, run.trace["lagrangian"], color=style.BLUE, linewidth=0.7)
        lagrangian.set(yscale="log", ylabel="Lagrangian\n(cost / time)")
        lagrangian.yaxis.set_minor_formatter(NullFormatter())  # they would overlap
        _draw_hamiltonian(hamiltonian, time, run.trace["hamiltonian"])
        hamiltonian.set(xlabel="time (units of the stream)", xlim=(0, time[-1]))
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


def _draw_hamiltonian(axes: Axes, time: np.ndarray, values: np.ndarray) -> None:
    """Draws values of both signs and of many scales: linear near 0, logarithmic beyond."""
    axes.plot(time, values, color=style.GREEN, linewidth=0.7)
    largest = float(np.abs(values).max()) or 1.0
    if values.min() > 0:
        axes.set_yscale("log")
    else:
        linear = 10.0 ** np.ceil(np.log10(max(float(np.median(np.abs(values))), largest / 300)))
        axes.set_yscale("symlog", linthresh=linear)
        locator = SymmetricalLogLocator(linthresh=linear, base=10)
        locator.set_params(numticks=5)
        axes.yaxis.set_major_locator(locator)
        axes.axhline(0, color=style.BLACK, linewidth=0.4)
    axes.set_ylabel("Hamiltonian\n(cost / time)")
