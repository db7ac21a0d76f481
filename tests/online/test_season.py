"""Seasons that a series shows: against autocorrelations by their definition, and known periods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.online.season import REACH, Seasons, dips, find_seasons


def by_definition(values, most):
    """The difference function of de Cheveigné and Kawahara, about its mean, pair by pair."""
    usual, found = [], [1.0]
    for lag in range(1, most + 1):
        usual.append(np.var(values[lag:] - values[:-lag]))
        mean = np.mean(usual)
        found.append(usual[-1] / mean if mean > 0 else 1.0)
    return found


@given(st.integers(0, 10**6), st.integers(20, 200), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=20)
def test_dips_are_the_normalised_difference_function(seed, rows, scale):
    values = scale * np.random.default_rng(seed).normal(size=rows).cumsum()
    most = rows // 2
    # One transform of 400 numbers; what it rounds is relative to the largest.
    np.testing.assert_allclose(dips(values, most), by_definition(values, most), atol=1e-9)


def test_dips_say_what_autocorrelations_say():
    # In a stationary series d(τ) = 2 Var (1 − r(τ)): NumPy's autocorrelation, over whole periods.
    t = np.arange(1200)
    values = np.sin(2 * np.pi * t / 24) + 0.5 * np.sin(2 * np.pi * t / 8)
    correlation = np.correlate(values, values, "full")[1199:] / (values @ values)
    lags = np.arange(1, 60)
    expected = 1 - correlation[lags] * 1200 / (1200 - lags)
    expected /= np.cumsum(expected) / lags
    np.testing.assert_allclose(dips(values, 59)[1:], expected, atol=0.01)  # edges of 60 in 1200


def periodic(period, rows, seed=0):
    return np.random.default_rng(seed).normal(size=period)[np.arange(rows) % period]


@pytest.mark.parametrize("period", [2, 3, 7, 12, 24, 52, 168, 365, 1440])
def test_what_repeats_itself_is_found_exactly(period):
    rows = max(40, 2 * period + period // 2)
    assert find_seasons(periodic(period, rows)) == (period,)


SERIES = {
    "noise": lambda x, rng: x + 0.5 * rng.normal(size=len(x)),
    "trend": lambda x, rng: x + 0.05 * np.arange(len(x)),
    "a level far away": lambda x, rng: x + 1e9,
    "small units": lambda x, rng: 1e-20 * x,
    "a jump": lambda x, rng: x + 1e6 * (np.arange(len(x)) > 250),
    "an outlier": lambda x, rng: np.where(np.arange(len(x)) == 200, 1e12, x),
    "growth": lambda x, rng: (x + 5) * np.exp(0.005 * np.arange(len(x))),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_season_is_found_in_spite_of(name):
    x = SERIES[name](periodic(24, 500), np.random.default_rng(1))
    assert find_seasons(x)[:1] == (24,)


def test_a_week_of_days_is_a_second_season():
    t = np.arange(24 * 7 * 5)
    day, week = 3 * periodic(24, len(t)), periodic(7, len(t) // 24 + 1, 1)[t // 24]
    noise = 0.2 * np.random.default_rng(0).normal(size=len(t))
    assert find_seasons(day + week + noise) == (24, 168)


def test_no_season_where_there_is_none():
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found += find_seasons(rng.normal(size=1000)), find_seasons(rng.normal(size=1000).cumsum())
    # Among twenty series one may look as if: a season in three of four stretches is no proof.
    assert sum(bool(seasons) for seasons in found) <= 2


def test_one_event_that_happened_twice_is_no_season():
    values = 100 + 0.5 * np.random.default_rng(0).normal(size=236)
    values[93:110] = values[210:224] = 25.0
    assert find_seasons(values) == ()


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50, [np.nan] * 3 + [1.0] * 9])
def test_nothing_is_found_where_nothing_moves(values):
    assert find_seasons(np.array(values, dtype=float).reshape(-1)) == ()


@given(st.lists(st.integers(1, 399), max_size=6), st.integers(0, 12))
@settings(deadline=None, max_examples=20)
def test_pieces_and_restarts_change_no_season(places, missing):
    values = periodic(6, 400) + 0.3 * np.random.default_rng(0).normal(size=400)
    values[200:] = periodic(10, 200, 1)
    values[:missing] = np.nan
    whole, parts, known = Seasons(), Seasons(), []
    expected = [s.periods for s in whole.follow(values, 400) for _ in range(s.start, s.stop)]
    for rows in np.split(np.arange(400), sorted(set(places))):
        parts = Seasons(parts.state())
        for span in parts.follow(values[: rows[-1] + 1], len(rows)):
            known += [span.periods] * (span.stop - span.start)
    assert known == expected
    assert parts.state() == whole.state()
    assert len(set(expected)) > 1  # or nothing was tested


def test_what_is_far_back_is_not_asked():
    values = periodic(24, REACH + 300)
    changed = values.copy()
    changed[:300] = np.random.default_rng(5).normal(size=300)
    state = {"count": REACH + 299, "due": REACH + 300, "periods": [], "met": False}
    a, b = (Seasons(state).follow(v, 1)[0].periods for v in (values, changed))
    assert a == b == (24,)
