"""Durations: the gap before each row over the mean gap so far, within bounds, cut or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.errors import StreamError
from localprop.law.untuned import DISSIPATION
from localprop.online.defaults import ACTION_DISSIPATIONS
from localprop.online.durations import LONGEST, SHORTEST, Durations


def by_hand(times):
    """The definition, row by row."""
    last, gaps, result = None, [], []
    for now in times:
        if np.isfinite(now) and last is not None:
            gaps.append(now - last)
            mean = sum(gaps) / len(gaps)
            relative = gaps[-1] / mean if mean > 0 else 1.0
        else:
            relative = 1.0
        if np.isfinite(now):
            last = now
        result.append(min(max(relative, SHORTEST), LONGEST))
    return np.array(result)


def encoded(times, durations=None):
    return (durations or Durations()).encode(times, np.arange(2, len(times) + 2), "t")


gaps = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 1000.0, np.nan]), min_size=1, max_size=40)


@given(gaps)
@settings(deadline=None)
def test_durations_follow_their_definition(steps):
    times = np.cumsum(np.nan_to_num(steps))
    times[np.isnan(steps)] = np.nan
    np.testing.assert_allclose(encoded(times), by_hand(times), rtol=1e-12)


@given(gaps, st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None)
def test_pieces_do_not_change_a_bit(steps, a, b):
    times = np.cumsum(np.nan_to_num(steps))
    times[np.isnan(steps)] = np.nan
    durations, parts = Durations(), []
    for piece in np.split(times, sorted({a % (len(times) + 1), b % (len(times) + 1)})):
        parts.append(encoded(piece, durations))
        durations = Durations(durations.state())
    np.testing.assert_array_equal(encoded(times), np.concatenate(parts))


def test_no_row_counts_much_more_or_less_than_another_and_friction_stays_below_one():
    assert DISSIPATION * LONGEST < 1
    assert max(ACTION_DISSIPATIONS.values()) * LONGEST < 1
    assert 0.48 < SHORTEST**2 < LONGEST**2 < 2  # a hop moves a weight by tau squared


def test_a_duration_knows_nothing_of_later_rows():
    times = np.cumsum(np.random.default_rng(0).exponential(size=50))
    later = times.copy()
    later[30:] += 1e6
    np.testing.assert_array_equal(encoded(times)[:30], encoded(later)[:30])


def test_time_that_runs_backwards_is_refused_with_its_line():
    with pytest.raises(StreamError, match=r"line 5, column 't': time runs backwards, by 2;"):
        encoded(np.array([0.0, 1.0, np.nan, -1.0, 5.0]))
    durations = Durations()
    encoded(np.array([10.0]), durations)
    with pytest.raises(StreamError, match="line 2"):
        encoded(np.array([9.0]), durations)
