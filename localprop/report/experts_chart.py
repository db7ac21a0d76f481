"""The picture of what each expert of the bank weighs, along the stream."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..online.curve import Curve
from .style import BLACK, BLUE, GREEN, GREY, ORANGE, SILVER, SKY, VERMILLION, YELLOW, save_any_name

PALE = "#eeeeee"
# One expert has one colour in every picture.
COLOURS = {
    "fast": VERMILLION,
    "high": ORANGE,
    "slow": BLUE,
    "linear": SKY,
    "fast, corrected": GREEN,
    "last value": SILVER,
    "the class before": SILVER,
    "last season": GREEN,
    "shifted last season": GREY,
    "usual season": YELLOW,
    "shifted usual season": BLACK,
    "all others": PALE,
    "mean": YELLOW,
    "median": BLACK,
}
MOST, LEAST = 9, 0.02  # more experts are drawn together where each weighs less than this
OTHERS = (BLACK, GREY, SILVER)
DARK = (BLUE, VERMILLION, GREEN, BLACK)  # on which writing is white
PLACES = 200  # along the stream, where an area's name may stand
LETTER = 0.016  # width of a letter over that of the picture
LINE = 0.07  # height of a line of writing over that of the picture


def draw_experts(path: Path, experts: Mapping[str, float], weights: Curve) -> list[Path]:
    """Draws `experts_figure`; writes `path` as PNG and SVG."""
    return save_any_name(experts_figure(experts, weights), path)


def experts_figure(experts: Mapping[str, float], weights: Curve) -> Figure:
    """Returns the picture of what each expert weighs, one on top of the other.

    Each step is the mean within a stretch of the stream. An area has its name in it where there is
    room, and the legend, in the order of the areas, gives the means over all rows. Of more than
    nine experts those that weigh less than 2 % are one area.

    **Arguments:** `experts`: mean weights by name, as in `Result`; `weights` along the stream,
    of at least one row, in the same order.
    """
    seen, shares = weights.means()
    if len(experts) > MOST:
        experts, shares = _together(experts, shares)
    figure = Figure(figsize=(7.2, 3.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    ends = np.append(0, seen)
    tops = np.cumsum(np.vstack([np.zeros(len(seen)), shares]), axis=0)
    handles = []
    for k, (name, mean) in enumerate(experts.items()):
        colour = COLOURS.get(name, OTHERS[k % len(OTHERS)])
        axes.stairs(tops[k + 1], ends, baseline=tops[k], fill=True, color=colour, linewidth=0)
        axes.stairs(tops[k + 1], ends, baseline=None, color="white", linewidth=0.5)
        handles.append(Patch(facecolor=colour, label=f"{name}  {100 * mean:.0f} %"))
        if place := _place(ends, tops[k], tops[k + 1], LETTER * len(name)):
            ink = "white" if colour in DARK else "black"
            axes.text(place[0], place[1], name, ha="center", va="center", fontsize=8, color=ink)
    axes.legend(handles=handles[::-1], frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlim(0, seen[-1])
    axes.set_ylim(0, 1)
    axes.set_xlabel("rows scored")
    axes.set_ylabel("share in the prediction")
    axes.set_title("what each expert weighs", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _together(
    experts: Mapping[str, float], shares: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Returns the experts and their shares, `(experts, steps)`, the light ones as one."""
    light = np.array([mean < LEAST for mean in experts.values()])
    kept = {name: mean for name, mean in experts.items() if mean >= LEAST}
    kept["all others"] = sum(experts.values()) - sum(kept.values())
    return kept, np.vstack([shares[~light], shares[light].sum(axis=0)])


def _place(
    ends: np.ndarray, low: np.ndarray, high: np.ndarray, width: float
) -> tuple[float, float] | None:
    """Returns the middle of the highest box of this width within an area, if a line fits in it.

    **Arguments:** `ends` of the steps, `(steps + 1,)`; `low`, `high`: `(steps,)`; `width`: over
    that of the picture.
    """
    at = (np.arange(PLACES) + 0.5) / PLACES * ends[-1]
    step = np.searchsorted(ends[1:-1], at)
    places = min(PLACES, int(np.ceil(width * PLACES)))
    floor = np.lib.stride_tricks.sliding_window_view(low[step], places).max(axis=1)
    roof = np.lib.stride_tricks.sliding_window_view(high[step], places).min(axis=1)
    best = int(np.argmax(roof - floor))
    # Of boxes that are equally high the one in the middle, where its neighbours do not crowd it.
    same = np.flatnonzero(roof - floor >= roof[best] - floor[best] - 0.02)
    best = int(same[len(same) // 2])
    if roof[best] - floor[best] < LINE:
        return None
    return float(at[best : best + places].mean()), float(roof[best] + floor[best]) / 2
