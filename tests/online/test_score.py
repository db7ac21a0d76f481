"""The prequential score and its curve, against plain sums."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import metrics

from localprop.online.curve import POINTS
from localprop.online.score import Score

PIECES = st.lists(st.integers(0, 400), min_size=1, max_size=8)


@given(PIECES, st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_score_and_curve_do_not_depend_on_the_pieces(sizes, seed):
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    values, fool = rng.normal(size=n) ** 2, rng.normal(size=n) ** 2
    whole, cut = Score("mean absolute error", ["m"]), Score("mean absolute error", ["m"])
    whole.update(values, fool)
    start = 0
    for size in sizes:
        cut.update(values[start : start + size], fool[start : start + size])
        cut = Score.restore(json.loads(json.dumps(cut.state())))  # as through a checkpoint
        start += size
    assert whole.state() == cut.state()


def test_the_score_is_that_of_river():
    rng = np.random.default_rng(0)
    y, answer = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    accuracy, ours = metrics.Accuracy(), Score("accuracy", ["none"])
    for a, b in zip(y.tolist(), answer.tolist(), strict=True):
        accuracy.update(a, b)
    ours.update((y == answer).astype(float), np.zeros(500))
    assert ours.value == accuracy.get()


@pytest.mark.parametrize("n", [1, POINTS, POINTS + 1, 5000])
def test_the_curve_is_the_mean_within_equal_stretches(n):
    values = np.random.default_rng(n).normal(size=n)
    score = Score("mean absolute error", ["m"])
    score.update(values, -values)
    seen, within, fool = score.points()
    assert len(seen) <= POINTS
    assert seen[-1] == n
    for a, b, mean in zip([0, *seen[:-1]], seen, within, strict=True):
        assert mean == pytest.approx(values[int(a) : int(b)].mean(), abs=1e-12)
    np.testing.assert_allclose(fool, -within, atol=1e-12)
    assert len(set(np.diff([0, *seen])[:-1])) <= 1


def test_before_the_first_sample_there_is_no_score():
    score = Score("accuracy", ["none"])
    score.update(np.zeros(0), np.zeros(0))
    assert np.isnan(score.value)
    assert score.points()[0].size == 0


def test_the_baseline_is_the_better_fool():
    hits, a, b = np.ones(4), np.array([1.0, 0, 0, 0]), np.array([1.0, 1, 0, 0])
    merit, error = Score("accuracy", ["a", "b"]), Score("mean absolute error", ["a", "b"])
    for score in (merit, error):
        score.update(hits, a, b)
    assert (merit.baseline, merit.baseline_value) == ("b", 0.5)
    assert (error.baseline, error.baseline_value) == ("a", 0.25)
    np.testing.assert_array_equal(merit.points()[2], b)
