"""The picture of what experts weigh: areas add up, and every name is in its own area."""

from __future__ import annotations

import numpy as np
import pytest

from localprop.online.curve import POINTS, Curve
from localprop.report.experts_chart import draw_experts, experts_figure

NAMES = ["fast", "high", "slow", "linear", "fast, corrected", "last value", "mean", "a new one"]


def drawn(rows, experts, seed=0):
    """Returns weights of a stream, and the picture of them."""
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 0.1, (rows, experts)), axis=0)
    weights = np.exp(walk) / np.exp(walk).sum(axis=1, keepdims=True)
    curve = Curve(experts)
    curve.extend(weights.T)
    means = dict(zip(NAMES, weights.mean(axis=0).tolist(), strict=False))
    return weights, experts_figure(means, curve)


@pytest.mark.parametrize(("rows", "experts"), [(1, 5), (7, 4), (POINTS, 1), (3000, 8)])
def test_areas_are_the_weights_one_on_top_of_the_other(rows, experts):
    weights, figure = drawn(rows, experts)
    (axes,) = figure.axes
    areas = [patch.get_data() for patch in axes.patches if patch.get_fill()]
    assert len(areas) == experts
    ends = areas[0].edges
    assert (ends[0], ends[-1]) == axes.get_xlim() == (0, rows)
    for area, tops in zip(areas, np.cumsum(weights, axis=1).T, strict=True):
        stretches = zip(ends[:-1].astype(int), ends[1:].astype(int), strict=True)
        means = [tops[start:stop].mean() for start, stop in stretches]
        np.testing.assert_allclose(area.values, means, rtol=1e-9)
    np.testing.assert_allclose(areas[-1].values, 1.0)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    shares = weights.mean(axis=0)
    assert legend == [f"{NAMES[k]}  {100 * shares[k]:.0f} %" for k in range(experts)][::-1]


@pytest.mark.parametrize("seed", range(5))
def test_a_name_stands_within_its_area(seed):
    _, figure = drawn(2000, 8, seed)
    (axes,) = figure.axes
    figure.canvas.draw()
    areas = [patch.get_data() for patch in axes.patches if patch.get_fill()]
    assert axes.texts
    for text in axes.texts:
        area = areas[NAMES.index(text.get_text())]
        box = text.get_window_extent().transformed(axes.transData.inverted())
        step = (area.edges[1:] > box.x0) & (area.edges[:-1] < box.x1)
        assert area.baseline[step].max() <= box.y0 < box.y1 <= area.values[step].min()


def test_it_is_written_as_png_and_svg(tmp_path):
    curve = Curve(2)
    curve.extend(np.full((2, 3), 0.5))
    png, svg = draw_experts(tmp_path / "experts", {"slow": 0.5, "$x": 0.5}, curve)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_text("utf-8").lstrip().startswith("<?xml")


def test_experts_that_weigh_little_are_drawn_together():
    names = [f"expert {k}" for k in range(12)]
    shares = np.array([0.5, 0.4, *[0.01] * 10])[:, None] * np.ones(7)
    curve = Curve(len(shares))
    curve.extend(shares)
    figure = experts_figure(dict(zip(names, shares[:, 0].tolist(), strict=True)), curve)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    written = [text.get_text() for text in legend.get_texts()]
    assert written == ["all others  10 %", "expert 1  40 %", "expert 0  50 %"]
