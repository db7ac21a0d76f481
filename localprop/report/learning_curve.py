"""The picture of a score along the stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..online.score import Score
from .style import BLUE, SKY, VERMILLION, save_any_name

STRETCHES = 50  # more points than this are noise to the eye


def draw_learning_curve(path: Path, score: Score, title: str) -> list[Path]:
    """Draws score and baseline over the samples; writes `path` as PNG and SVG.

    The thin line is the score within each stretch of the stream, the thick one over all samples so
    far, the dashed one the baseline's.
    """
    seen, within, fool = score.points()
    counts = np.diff(seen, prepend=0)
    figure = Figure(figsize=(6.4, 3.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    if len(seen):
        ends, means = _stretches(seen, within, counts)
        marker = "o" if len(seen) < 2 else None  # one point makes no line
        axes.plot(ends, means, color=SKY, linewidth=1, marker=marker, label="within each stretch")
        running = np.cumsum(within * counts) / seen
        axes.plot(seen, running, color=BLUE, linewidth=2.2, marker=marker, label="all rows so far")
        running = np.cumsum(fool * counts) / seen
        label = f"baseline: {score.baseline}"
        dashes = {"linestyle": "--", "marker": marker}
        axes.plot(seen, running, color=VERMILLION, linewidth=1.6, label=label, **dashes)
        axes.set_xlim(0, seen[-1])
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing was scored", transform=axes.transAxes, ha="center")
    axes.set_xlabel("rows scored")
    direction = "higher" if score.higher_is_better else "lower"
    axes.set_ylabel(f"{score.metric} ({direction} is better)")
    axes.set_title(title, loc="left", parse_math=False)  # a column may be called "$x"
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return save_any_name(figure, path)


def _stretches(
    seen: np.ndarray, within: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merges neighbouring points, so that at most about fifty remain."""
    together = max(1, len(seen) // STRETCHES)
    starts = np.arange(0, len(seen), together)
    if len(starts) > 1 and 2 * counts[starts[-1] :].sum() < counts[: starts[1]].sum():
        starts = starts[:-1]  # a last stretch of a few rows says nothing
    totals = np.add.reduceat(counts, starts)
    ends = seen[np.append(starts[1:], len(seen)) - 1]
    return ends, np.add.reduceat(within * counts, starts) / totals
