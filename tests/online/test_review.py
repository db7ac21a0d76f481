"""Review: what stands beside a row was there before it, any of the last ones, cut or not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from localprop.online.delay import Delay
from localprop.online.encode import Rows
from localprop.online.review import BESIDE, Review
from localprop.online.window import Scales
from localprop.online.window_layout import SCALE

NO_SCALES = Scales(np.zeros((0, 0, SCALE)))


def rows(first, last, numbers=2, fixed=1):
    """Rows whose every value says which row it is of."""
    k = np.arange(first, last)[:, None]
    return Rows(np.tile(k, numbers) + 0.5, (np.tile(k, fixed) + 0.25).astype(np.float32), NO_SCALES)


def beside(review, first, last):
    return review.beside(rows(first, last), np.arange(first, last) + 0.75)


def cuts(places, total):
    return list(pairwise([0, *sorted({p for p in places if 0 < p < total}), total]))


PLACES = st.lists(st.integers(0, 120), max_size=6)


@given(st.sampled_from([1, 5, 40, 1000]), PLACES, st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_what_is_drawn_was_there_before_and_pieces_change_nothing(most, places, seed):
    whole = beside(Review(most, seed), 0, 120)
    numbers, fixed, targets = whole
    number = np.arange(120)[:, None]
    assert np.isnan(targets[0]).all()
    age = number[1:] - (targets[1:] - 0.75)
    assert (age >= 1).all()
    assert (age <= np.minimum(number[1:], most)).all()
    # All of one row: it is never put together from several.
    assert (numbers[1:] == (targets[1:] - 0.25)[..., None]).all()
    assert (fixed[1:] == (targets[1:] - 0.5)[..., None]).all()
    review, parts = Review(most, seed), []
    for a, b in cuts(places, 120):
        parts.append(beside(review, a, b))
        kept = {name: a.copy() for name, a in review.arrays().items()}
        assert len(kept["targets"]) == min(most, b)  # bounded
        review = Review(most, seed, review.state(), kept)
    for k in range(3):
        np.testing.assert_array_equal(np.concatenate([p[k] for p in parts]), whole[k])


@pytest.mark.parametrize(("most", "whole"), [(20, True), (20, False), (200, True)])
def test_every_row_kept_is_as_likely(most, whole):
    """SciPy's chi-squared test of the ages of 7 × 10 000 draws, by one seed."""
    review = Review(most, 3)
    beside(review, 0, most)
    parts = [(most, most + 10_000)]
    if not whole:
        parts = [(k, k + 50) for k in range(most, most + 10_000, 50)]
    drawn = np.concatenate([beside(review, a, b)[2] for a, b in parts]) - 0.75
    ages = np.arange(most, most + 10_000)[:, None] - drawn
    counts = np.bincount(ages.astype(int).ravel(), minlength=most + 1)[1:]
    assert counts.sum() == BESIDE * 10_000
    assert chisquare(counts).pvalue > 1e-3
    # The seven places are drawn apart: two are the same as often as chance has it.
    same = (drawn[:, 0] == drawn[:, 1]).mean()
    assert abs(same - 1 / most) < 4 * (1 / most / 10_000) ** 0.5


def test_another_seed_draws_other_rows():
    first, second = (beside(Review(50, seed), 0, 100)[2] for seed in (0, 1))
    assert (first[1:] != second[1:]).mean() > 0.8


def test_rows_that_had_fewer_columns_lack_the_new_ones():
    review = Review(100, 0)
    review.beside(rows(0, 10, numbers=1, fixed=0), np.zeros(10))
    numbers, fixed, _ = review.beside(rows(10, 60, numbers=3, fixed=2), np.zeros(50))
    old = numbers[..., 0] < 10
    assert old.any()
    assert not old.all()
    assert np.isnan(numbers[..., 1:][old]).all()
    assert not fixed[old].any()
    assert not np.isnan(numbers[~old]).any()


def test_a_review_of_nothing_keeps_nothing():
    review = Review(0, 0)
    found = beside(review, 0, 100)
    assert [a.shape for a in found] == [(100, 0, 2), (100, 0, 1), (100, 0)]
    assert not any(a.size for a in review.arrays().values())
    assert review.streams == 1


@given(st.sampled_from([1, 3, 50]), PLACES)
@settings(deadline=None, max_examples=30)
def test_a_delay_hands_back_the_rows_of_before(horizon, places):
    delay, parts = Delay(horizon), []
    for a, b in cuts(places, 120):
        parts.append(delay.push(rows(a, b)))
        delay = Delay(horizon, {name: a.copy() for name, a in delay.arrays().items()})
    numbers = np.concatenate([part.numbers for part in parts])
    fixed = np.concatenate([part.fixed for part in parts])
    assert np.isnan(numbers[:horizon]).all()
    assert not fixed[:horizon].any()
    np.testing.assert_array_equal(numbers[horizon:], rows(0, max(120 - horizon, 0)).numbers)
    np.testing.assert_array_equal(fixed[horizon:], rows(0, max(120 - horizon, 0)).fixed)


def test_a_delay_scales_the_rows_of_before_as_those_of_now():
    scales = Scales(np.ones((4, 2, SCALE)))
    new = rows(0, 4)
    assert Delay(2).push(Rows(new.numbers, new.fixed, scales)).scales is scales
