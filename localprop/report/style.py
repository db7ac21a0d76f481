"""How figures look: colours, lines and sizes, shared by every picture.

Colours are of Okabe and Ito's palette, told apart by colour-blind eyes; lines also differ in
style and width, so that they are told apart in grey.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import ConfigError
from ..written_aside import written_aside

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION = "#F0E442", "#0072B2", "#D55E00"
GREY, SILVER = "#999999", "#BBBBBB"

COLUMN = 3.4  # inches, one column of a two-column page
DPI = 300  # of the PNG
STYLE: dict[str, Any] = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "localprop",  # one run, one file
}


@contextmanager
def applied() -> Iterator[None]:
    """Makes and writes figures in this style, and leaves the caller's settings alone."""
    with mpl.rc_context(cast(Any, STYLE)):
        yield


def tidy(axes: Axes) -> None:
    """Takes away the frame where it says nothing, and adds a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GREY, alpha=0.25, linewidth=0.4)


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes the figure beside `path` as PNG and SVG; returns the two files."""
    with applied():
        return write_figure(figure, path, png={"dpi": DPI}, svg={"metadata": {"Date": None}})


def save_any_name(figure: Figure, path: Path) -> list[Path]:
    """Writes a figure that shows a user's own names beside `path` as PNG and SVG."""
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is worth no complaint.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        return write_figure(figure, path)


def write_figure(figure: Figure, path: Path, **options: Any) -> list[Path]:
    """Writes a figure beside `path` as PNG and SVG, each whole or not at all; returns the files.

    **Arguments:** `figure`; `path`; `options`: for `savefig`, by the name of the format.
    """
    files = []
    for kind in ("png", "svg"):
        files.append(path.with_suffix(f".{kind}"))
        with written_aside(files[-1], ConfigError) as file:
            figure.savefig(file, format=kind, **options.get(kind, {}))
    return files
