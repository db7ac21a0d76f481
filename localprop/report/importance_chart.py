"""The picture of how much each column matters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from .style import BLUE, GREY, save_any_name

MOST = 20  # columns that are drawn by themselves
LONGEST = 28  # characters of a name that are shown


def draw_importance(path: Path, shares: Mapping[str, float]) -> list[Path]:
    """Draws each column's share as a bar, the largest on top; writes `path` as PNG and SVG.

    Beyond twenty columns the smallest are drawn together, as one grey bar.

    **Arguments:** `shares` by column, the largest first, as `Online.importance` gives them.
    """
    names, values = list(shares), list(shares.values())
    rest = len(names) - MOST
    if rest > 0:
        names, values = [*names[:MOST], f"{rest} more"], [*values[:MOST], sum(values[MOST:])]
    colours = [BLUE] * len(names)
    if rest > 0:
        colours[-1] = GREY
    figure = Figure(figsize=(6.4, 1.1 + 0.26 * len(names)), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(range(len(names)), [100 * v for v in values], color=colours, height=0.7)
    axes.bar_label(bars, [f"{100 * v:.1f} %" for v in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), [_short(n) for n in names], parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.set_xlim(left=0)
    axes.xaxis.set_visible(False)
    figure.suptitle("how much each column matters", x=0.01, ha="left")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    return save_any_name(figure, path)


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
