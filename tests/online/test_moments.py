"""Running means and deviations, against River's and exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.preprocessing import StandardScaler

from localprop.online.moments import Moments, standardised
from localprop.table.columns import LARGEST

GAPS = [np.nan, np.inf, -np.inf, 2 * LARGEST]
NUMBERS = st.floats(-1e9, 1e9)
COLUMNS = st.lists(NUMBERS | st.sampled_from(GAPS), min_size=1, max_size=60).map(np.array)


def cut(values, places):
    return np.split(values, sorted({p % (len(values) + 1) for p in places}))


def standardise(moments, values, clip):
    mean, deviation = moments.update(values)
    return standardised(values, mean[1:], deviation[1:], clip)


def test_standardised_values_are_those_of_river():
    rng = np.random.default_rng(0)
    values = 3.0 + 2.0 * rng.normal(size=500)
    scaler, expected = StandardScaler(), []
    for v in values.tolist():
        scaler.learn_one({"v": v})
        expected.append(scaler.transform_one({"v": v})["v"])
    # Both are one-pass float64 sums of 500 terms: rounding of 1e-16 each, at most squared terms.
    np.testing.assert_allclose(standardise(Moments(), values, np.inf), expected, rtol=0, atol=1e-12)


@given(COLUMNS)
@settings(deadline=None)
def test_mean_and_deviation_are_those_of_the_finite_values_so_far(values):
    mean, deviation = Moments().update(values)
    assert mean[0] == deviation[0] == 0
    for t in range(1, len(values) + 1):
        known = [Fraction(v) for v in values[:t].tolist() if abs(v) <= LARGEST]
        if not known:
            assert mean[t] == deviation[t] == 0
            continue
        exact = sum(known) / len(known)
        variance = sum((v - exact) ** 2 for v in known) / len(known)
        # Sums about the first value: their rounding is relative to the spread around it.
        spread = float(max(abs(v - known[0]) for v in known))
        assert mean[t] == pytest.approx(float(exact), rel=1e-15, abs=1e-14 * spread + 1e-300)
        assert deviation[t] ** 2 == pytest.approx(float(variance), rel=0, abs=1e-13 * spread**2)


@given(COLUMNS, st.lists(st.integers(0, 60), max_size=8))
@settings(deadline=None)
def test_pieces_do_not_change_a_bit(values, places):
    whole, pieces = Moments(), Moments()
    together = standardise(whole, values, 5.0)
    apart = []
    for piece in cut(values, places):
        apart.append(standardise(pieces, piece, 5.0))
        pieces = Moments(**pieces.state())  # as through a checkpoint
    np.testing.assert_array_equal(together, np.concatenate(apart))
    assert whole == pieces


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30, 1e140])
def test_the_unit_of_a_column_does_not_matter(unit):
    values = np.random.default_rng(1).normal(size=200)
    ours = standardise(Moments(), values * unit, 5.0)
    np.testing.assert_allclose(ours, standardise(Moments(), values, 5.0), rtol=1e-12, atol=1e-12)


def test_a_far_offset_costs_one_rounding():
    values = np.random.default_rng(2).integers(-8, 9, 300) / 4.0  # exact beside 1e9
    near, far = standardise(Moments(), values, 5.0), standardise(Moments(), values + 1e9, 5.0)
    # The mean is given in the column's own unit: one rounding beside 1e9, over deviations >= 1/8.
    np.testing.assert_allclose(far, near, rtol=0, atol=8 * np.spacing(1e9))


def test_a_constant_is_0_and_outliers_are_clipped():
    assert not standardise(Moments(), np.full(9, 7.7), 5.0).any()
    values = np.r_[np.tile([-1.0, 1.0], 500), 1e12]
    assert standardise(Moments(), values, 5.0)[-1] == 5.0


@pytest.mark.filterwarnings("error")
def test_both_1e30_and_its_inverse_in_one_column_stay_finite():
    values = np.array([1e30, 1e-30, np.nan, -1e30, np.inf, 1e300, -1e300, 5e-324, 0.0])
    assert np.isfinite(standardise(Moments(), values, 5.0)).all()
    one = np.array([1.0])
    assert standardised(one * 1e140, one * 0, one * 1e-200, 5.0)[0] == 5.0
