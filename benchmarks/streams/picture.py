"""The picture: places over all streams, and error against time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from localprop.report import style

from .methods import METHODS
from .standing import Summary

COLOURS = {
    "localprop": style.VERMILLION,
    "backprop": style.BLUE,
    "river": style.GREEN,
    "sklearn": style.SKY,
    "vw": style.ORANGE,
    "moa": style.YELLOW,
}
FAMILIES = {
    "localprop": "localprop", "backprop": "its network, backpropagation", "river": "River",
    "sklearn": "scikit-learn", "vw": "Vowpal Wabbit", "moa": "MOA", "": "no model",
}  # fmt: skip


def draw(summaries: dict[str, Summary], path: Path) -> None:
    """Draws the methods, best mean place first, and writes a PNG.

    **Arguments:** `summaries`: by method, of those to be shown.
    """
    order = sorted(summaries, key=lambda name: summaries[name].place)
    with style.applied():
        figure = Figure(figsize=(7.2, 1.1 + 0.19 * len(order)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        _places(left, order, summaries)
        _times(right, order, summaries)
        families = [f for f in FAMILIES if any(_family(name) == f for name in order)]
        for family in families:
            colour = COLOURS.get(family, style.GREY)
            right.plot([], [], "o", color=colour, label=FAMILIES[family])
        figure.legend(
            loc="outside lower center", ncols=len(families), frameon=False, handletextpad=0.1
        )
        figure.savefig(path, dpi=200)


def _colour(name: str) -> str:
    return COLOURS.get(name.split("-")[0], style.GREY)


def _ink(name: str) -> str:
    light = _colour(name) in (style.SKY, style.YELLOW, style.ORANGE)
    return style.BLACK if light else "white"


def _places(axes: Axes, order: list[str], summaries: dict[str, Summary]) -> None:
    most = max(s.streams for s in summaries.values())
    for row, name in enumerate(order):
        found = summaries[name]
        axes.plot(
            *(found.places, [row] * len(found.places)), "|",
            color=_colour(name), alpha=0.55, markersize=6, markeredgewidth=1.1,
        )  # fmt: skip
        _numbered(axes, found.place, row, row + 1, name)
    labels = []
    for name in order:
        told = METHODS[name].told.replace("**", "").replace("`", "")
        few = summaries[name].streams
        labels.append(told if few == most else f"{told}, {few} of {most}")
    axes.set_yticks(range(len(order)), labels=labels)
    for label, name in zip(axes.get_yticklabels(), order, strict=True):
        label.set_fontweight("bold" if name.startswith("localprop") else "normal")
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel("place on every stream, and their mean")
    axes.xaxis.set_major_locator(FixedLocator([1, 3, *range(5, 26, 5)]))
    style.tidy(axes)
    axes.tick_params(axis="y", length=0)


def _times(axes: Axes, order: list[str], summaries: dict[str, Summary]) -> None:
    for number, name in reversed(list(enumerate(order, start=1))):
        found = summaries[name]
        if found.microseconds is not None and _family(name):  # no model takes no time
            _numbered(axes, found.microseconds, found.error, number, name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.97), high)
    shown = [t for t in (1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 7, 10) if t <= high]
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticklabels([f"{t:g}" for t in shown])
    axes.set_xlabel("processor time per row, µs\n(median over streams of 1000 rows and more)")
    axes.set_ylabel("error over the best one's, geometric mean")
    style.tidy(axes)


def _family(name: str) -> str:
    family = name.split("-")[0]
    return family if family in COLOURS else ""


def _numbered(axes: Axes, x: float, y: float, number: int, name: str) -> None:
    axes.plot([x], [y], "o", color=_colour(name), markersize=9, markeredgecolor="white", zorder=3)
    axes.annotate(
        str(number), (x, y), ha="center", va="center_baseline", fontsize=5.5, color=_ink(name),
        zorder=4,
    )  # fmt: skip
