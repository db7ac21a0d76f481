"""Scales of a column: those of its last 2000 values, whatever came before and however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.online.window import Window, Windows
from localprop.online.window_layout import LATEST, MOST


def after(values, *more):
    """Returns mean and deviation after the values, and the edges."""
    window = Window()
    for part in (values, *more):
        window.update(np.asarray(part, float))
    scales = window.look(np.array([np.nan]))
    return float(scales.mean[0]), float(scales.deviation[0]), scales.edges[0]


def heavy(seed, rows):
    """A stream with gaps, duplicates, outliers, a jump and a change of scale."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=rows)
    values[rng.random(rows) < 0.2] = 0.5
    values[rng.random(rows) < 0.02] *= 1e6
    turn = rng.integers(0, rows + 1)
    values[turn:] = values[turn:] * 10.0 ** rng.integers(-6, 7) + 10.0 ** rng.integers(-6, 9)
    values[rng.random(rows) < 0.1] = rng.choice([np.nan, np.inf, 1e300])
    return values


@pytest.mark.parametrize("rows", [1, 7, 130, 1999, 2001, 5040])
def test_the_scales_are_those_of_the_last_values_between_the_fences(rows):
    """Against NumPy: order statistics, and moments of the clipped values in two passes."""
    values = np.random.default_rng(rows).lognormal(size=rows)
    window = Window()
    window.update(values)
    kept = window.state()
    held, new = sum(map(len, kept["parts"])), len(kept["new"])
    assert held + new == rows if rows <= MOST - LATEST else MOST - LATEST <= held <= MOST
    assert new <= LATEST
    then = values[rows - new - held : rows - new]  # those of which the quantiles were found
    np.testing.assert_array_equal(np.sort(np.concatenate(kept["parts"])), np.sort(then))
    # The k-th of six: no more than its share lies below it, no less at or below.
    edges = np.array(kept["edges"])
    if held > 7:
        for k in range(1, 6):
            assert (then < edges[k]).mean() <= k / 6 <= (then <= edges[k]).mean() + 1 / held
    low, high = kept["fences"]
    low = -np.inf if low is None else low
    high = np.inf if high is None else high
    if held >= 20:
        outer = np.quantile(then, [0.05, 0.95], method="inverted_cdf")
        # One spread beyond, but for the order statistic next to it.
        near = np.diff(np.sort(then))
        spread = np.diff(outer)[0]
        assert abs(low - (outer[0] - spread)) <= 3 * near[: held // 10 + 1].max()
        assert abs(high - (outer[1] + spread)) <= 3 * near[-held // 10 - 1 :].max()
    clipped = np.clip(values[rows - new - held :], low, high)
    mean, deviation = window.present
    # Sums of at most 2200 numbers of size 1, about their median.
    np.testing.assert_allclose(mean, clipped.mean(), rtol=1e-12)
    np.testing.assert_allclose(deviation, clipped.std(), rtol=1e-11, atol=1e-15)


@given(st.integers(0, 10**6), st.integers(1, 600), st.lists(st.integers(0, 600), max_size=6))
@settings(deadline=None, max_examples=30)
def test_pieces_change_no_bit_also_through_a_checkpoint(seed, rows, places):
    values = heavy(seed, rows)
    whole, apart = Window(), Window()
    together, parts = whole.update(values), []
    ends = [0, *sorted({p for p in places if 0 < p < rows}), rows]
    for a, b in pairwise(ends):
        parts.append(apart.update(values[a:b]))
        apart = Window(json.loads(json.dumps(apart.state())))
    assert apart.state() == whole.state()
    for k in range(2):
        for field in ("mean", "deviation", "edges"):
            joined = np.concatenate([getattr(part[k], field) for part in parts])
            np.testing.assert_array_equal(joined, getattr(together[k], field))
    # Never anything but numbers, and bins in their order.
    assert np.isfinite([together[1].mean, together[1].deviation]).all()
    edges = together[1].edges[~np.isnan(together[1].edges[:, 0])]
    assert (np.diff(edges, axis=1) >= 0).all()


def test_columns_side_by_side_are_as_each_by_itself():
    values = np.stack([heavy(seed, 900) for seed in range(4)], axis=1)
    together, windows = Windows(), [Window() for _ in range(4)]
    together.grow(3)
    for rows, wide in ((slice(0, 500), 3), (slice(500, None), 4)):  # of which one comes later
        together.grow(wide)
        _, now = together.update(values[rows, :wide])
        for k, window in enumerate(windows[:wide]):
            alone = window.update(values[rows, k])[1]
            np.testing.assert_array_equal(now.table[:, k], alone.table)
            assert together.state(k) == window.state()


@given(st.integers(0, 10**6), st.integers(0, 500))
@settings(deadline=None, max_examples=30)
def test_a_look_is_what_taking_the_value_in_would_give(seed, rows):
    window, values = Window(), heavy(seed, rows + 5)
    window.update(values[:rows])
    kept = json.dumps(window.state())
    looked = window.look(values[rows:])
    assert json.dumps(window.state()) == kept
    for k, value in enumerate(values[rows:]):
        before, now = Window(json.loads(kept)).update(np.array([value]))
        for field in ("mean", "deviation", "edges"):
            np.testing.assert_array_equal(getattr(looked, field)[k], getattr(now, field)[0])
            if not abs(value) < 1e100:  # what is missing leaves the scales as they are
                np.testing.assert_array_equal(getattr(before, field), getattr(now, field))


def test_later_values_change_no_earlier_scale():
    values = heavy(3, 900)
    changed = values.copy()
    changed[500:] = 7e5
    first, second = Window().update(values), Window().update(changed)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.mean[:500], b.mean[:500])
        np.testing.assert_array_equal(a.edges[:500], b.edges[:500])


@pytest.mark.parametrize("size", [1e6, -1e6, 1e30])
@pytest.mark.parametrize("row", [0, 3, 47, 777])
def test_a_single_outlier_moves_little_and_is_forgotten(size, row):
    clean = np.random.default_rng(1).normal(3.0, 2.0, row + 2300)
    bad = clean.copy()
    bad[row] = size
    for rows in (row + 200, row + 1000):
        mean, deviation, edges = after(bad[:rows])
        expected = after(clean[:rows])
        # At the fence, some five deviations off, it weighs one of at least 200 values: 5/200 of a
        # deviation in the mean, and 25/200 of the variance.
        assert abs(mean - expected[0]) < 0.04 * expected[1]
        assert 1 - 0.01 < deviation / expected[1] < 1 + 0.07
        np.testing.assert_allclose(edges[1:-1], expected[2][1:-1], atol=0.1)
    # After 2200 more it is as if it had never been, to the bit.
    for a, b in zip(after(bad), after(clean), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_in_a_hundred_outliers_move_little():
    rng = np.random.default_rng(2)
    clean = rng.normal(size=4000)
    bad = np.where(rng.random(4000) < 0.01, 1e6 * clean, clean)
    mean, deviation, _ = after(bad)
    # One in a hundred at five deviations, on both sides: 1 + 0.01 * (25 - 1) of the variance.
    assert abs(mean) < 0.1
    assert 0.95 < deviation < 1.2


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e6), (1e-6, 0.0), (1e6, 0.0), (1.0, -1e9)])
@pytest.mark.parametrize("rows", [30, 1000, 2910, 2950, 2995, 3000])
def test_a_column_that_is_another_from_a_row_on_is_learned_anew_at_once(scale, shift, rows):
    rng = np.random.default_rng(3)
    # Of 30 values it cannot be told: they have to become one in twenty.
    before, later = rng.normal(size=rows), rng.normal(size=350 if rows > 100 else 950)
    mean, deviation, edges = after(before, later * scale + shift)
    # What is left of before is less than a twentieth, and clipped at the fences.
    assert np.max(np.abs(edges - shift)) < 7 * scale
    assert abs(mean - shift) < 0.4 * scale
    assert 0.7 * scale < deviation < 1.5 * scale


def test_all_is_forgotten_within_2200_rows():
    rng = np.random.default_rng(4)
    mean, deviation, _ = after(300 * rng.standard_cauchy(5000), rng.normal(1.0, 0.5, 2200))
    # The mean of 2000 values is within 4 of its own deviations.
    assert abs(mean - 1.0) < 4 * 0.5 / 2000**0.5
    assert abs(deviation - 0.5) < 4 * 0.5 / (2 * 2000) ** 0.5


@pytest.mark.parametrize("power", [-99, 99])
def test_the_unit_of_a_column_changes_no_bit(power):
    values = heavy(5, 800)
    values = values[np.abs(values) < 1e100]
    plain, scaled = Window().update(values), Window().update(np.ldexp(values, power))
    for a, b in zip(plain, scaled, strict=True):
        for field in ("mean", "deviation", "edges"):
            np.testing.assert_array_equal(
                np.ldexp(getattr(a, field), power), getattr(b, field), strict=True
            )


def test_a_column_that_never_changes_has_no_spread():
    mean, deviation, edges = after(np.full(700, 0.1))
    assert (mean, deviation) == (0.1, 0.0)
    assert set(edges) == {0.1}


def test_what_is_kept_is_bounded():
    window = Window()
    window.update(np.random.default_rng(6).normal(size=20_000))
    kept = window.state()
    assert sum(map(len, kept["parts"])) + len(kept["new"]) <= MOST + LATEST
    assert len(kept["parts"]) <= 2 * MOST / LATEST
    for part in kept["parts"]:
        assert part == sorted(part)
