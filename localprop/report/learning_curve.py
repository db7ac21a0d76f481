"""The picture of a score along the stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..score import Score


def draw_learning_curve(path: Path, score: Score, title: str) -> list[Path]:
    """Draws score and baseline over the samples; writes `path` as PNG and SVG.

    The thin line is the score within each stretch of the stream, the thick one over all samples so
    far, the dashed one the baseline's.
    """
    seen, within, baseline_within = score.points()
    counts = np.diff(seen, prepend=0)
    running = np.cumsum(within * counts) / seen
    fool = np.cumsum(baseline_within * counts) / seen
    figure = Figure(figsize=(6.4, 3.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(seen, within, color="#9ecae1", linewidth=0.8, label="within each stretch")
    axes.plot(seen, running, color="#08519c", linewidth=2, label="all rows so far")
    axes.plot(seen, fool, color="#d95f02", linewidth=1.5, linestyle="--", label=score.baseline)
    axes.set_xlabel("rows learned")
    axes.set_ylabel(score.metric)
    axes.set_title(title, loc="left")
    axes.set_xlim(0, seen[-1] if len(seen) else 1)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file in files:
        figure.savefig(file)
    return files
