"""Targets: what is asked, what is taught, what it is scored by; nothing is known too early."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, stats

from localprop.errors import StreamError
from localprop.online.classification import Classification, as_categories
from localprop.online.forecast import Forecast
from localprop.online.regression import Regression
from localprop.online.target import choose_task, restore_task
from localprop.table.table import Column, ColumnKind

MISSING = np.nan


def numbers(values, kind=ColumnKind.NUMBER):
    return Column(kind, np.array(values, float))


def text(values):
    categories = list(dict.fromkeys(v for v in values if v is not None))
    codes = [-1 if v is None else categories.index(v) for v in values]
    return Column(ColumnKind.TEXT, np.array(codes, np.int32), categories)


def taught(task, column, answer=None):
    """Encodes a column and scores answers to it, by default one zero per output."""
    rows = len(column.values)
    encoded = task.encode(np.zeros((rows, 2)), column)
    if answer is None:
        answer = np.zeros((rows, task.outputs))
    task.update_score(encoded.key, dict.fromkeys(task.record, answer))
    return encoded


LABELS = st.lists(st.sampled_from([None, *"abcde"]), min_size=1, max_size=50)


@given(LABELS)
@settings(deadline=None)
def test_the_majority_baseline_is_that_of_river(labels):
    task = Classification()
    taught(task, text(labels))
    river, right, counted = dummy.PriorClassifier(), 0, 0
    for label in labels:
        if label is None:
            continue
        guess = river.predict_proba_one({})
        # Of equally frequent classes the first that appeared; River leaves ties to the dictionary.
        right += bool(guess) and max(guess, key=guess.get) == label
        counted += 1
        river.learn_one({}, label)
    assert task.score.samples == counted
    assert task.score.fools_totals[0] == right
    assert task.labelled == counted


@given(LABELS, st.integers(0, 50))
@settings(deadline=None)
def test_classes_are_known_from_the_row_on_in_which_they_appear(labels, place):
    whole, parts = Classification(), Classification()
    z = taught(whole, text(labels)).z
    known: list[str] = []
    for row, label in zip(z, labels, strict=True):
        if label is None:
            assert np.isnan(row).all()
            continue
        if label not in known:
            known.append(label)
        expected = np.full(len(row), np.nan)
        expected[: len(known)] = [float(k == label) for k in known]
        np.testing.assert_array_equal(row, expected)
    place %= len(labels)
    for piece in (labels[:place], labels[place:]):
        if piece:
            taught(parts, text(piece))
            kept = {"name": "classification", **parts.state()}
            parts = restore_task(kept, None)
    assert parts.state() == whole.state()
    assert whole.classes == known
    counts = Counter(k for k in labels if k is not None)
    assert dict(zip(whole.classes, whole.counts, strict=True)) == counts


def test_an_answer_counts_only_among_the_classes_known_before():
    task = Classification()
    answer = np.array([[1.0, 9.0, 0], [1.0, 9.0, 0], [1.0, 0, 9.0], [0, 1.0, 9.0]])
    taught(task, text(["a", "b", "b", "c"]), answer)
    # Row 0 knows no class; row 1 only a; row 2 a and b, of which a is the louder; row 3 too.
    assert task.score.total == 0
    taught(task, text(["c", "b"]), np.array([[0, 0, 1.0], [0, 1.0, 0]]))
    assert task.score.total == 2


def test_labels_of_every_kind():
    assert as_categories(numbers([2, 1, np.nan, np.inf, 2]))[1] == [2, 1]
    assert as_categories(numbers([2, 1, np.nan, np.inf, 2]))[0].tolist() == [0, 1, -1, -1, 0]
    assert as_categories(numbers([0.5, -0.0, 0.0]))[1] == [0.5, 0]
    assert as_categories(numbers([1, 0], ColumnKind.BOOLEAN))[1] == [True, False]
    assert as_categories(text([None, "x"]))[0].tolist() == [-1, 0]


VALUES = st.lists(st.sampled_from([MISSING, np.inf, 0.0, 1.5, -4.0, 1e6]), min_size=1, max_size=50)


@given(VALUES)
@settings(deadline=None)
def test_the_mean_baseline_is_that_of_river(values):
    task = Regression()
    rng = np.random.default_rng(0)
    taught(task, numbers(values), rng.normal(size=(len(values), 1)))
    river, errors = dummy.StatisticRegressor(stats.Mean()), []
    seen = 0
    for v in values:
        if not np.isfinite(v):
            continue
        if seen:
            errors.append(abs(river.predict_one({}) - v))
        river.learn_one({}, v)
        seen += 1
    assert task.score.samples == len(errors)
    # One-pass means of at most 50 numbers below 1e6, in another order of operations.
    assert task.score.fools_totals[0] == pytest.approx(sum(errors), rel=1e-12, abs=1e-8)


def test_a_number_is_answered_in_units_of_what_was_known_before_it():
    values = np.random.default_rng(0).normal(3.0, 2.0, 40)
    answer = np.random.default_rng(1).normal(size=(40, 1))
    task = Regression()
    z = taught(task, numbers(values), answer).z
    errors = [
        abs(values[:t].mean() + values[:t].std() * answer[t, 0] - values[t]) for t in range(1, 40)
    ]
    assert task.score.total == pytest.approx(sum(errors), rel=1e-12)
    expected = [(values[t] - values[: t + 1].mean()) / values[: t + 1].std() for t in range(1, 40)]
    np.testing.assert_allclose(z[1:, 0], np.clip(expected, -5, 5), rtol=1e-12)


@pytest.mark.parametrize("horizon", [1, 5, 100])
def test_the_baseline_of_a_forecast_is_the_last_value(horizon):
    values = np.random.default_rng(0).normal(size=300).cumsum()
    values[50:60] = np.nan
    task = Forecast(horizon)
    taught(task, numbers(values))
    held = values.copy()
    for t in range(1, 300):
        if np.isnan(held[t]):
            held[t] = held[t - 1]
    errors = np.abs(values[horizon:] - held[:-horizon])
    assert task.score.fools_totals[0] == pytest.approx(np.nansum(errors), rel=1e-12)
    # Answers of 0 are forecasts of no change, which is the baseline.
    assert task.score.total == pytest.approx(task.score.fools_totals[0], rel=1e-12)


@given(
    st.integers(0, 10**6), st.sampled_from([1, 5, 70]), st.lists(st.integers(1, 199), max_size=5)
)
@settings(deadline=None, max_examples=30)
def test_pieces_do_not_change_a_bit_of_a_forecast(seed, horizon, places):
    rng = np.random.default_rng(seed)
    values, answer = rng.normal(size=200).cumsum(), rng.normal(size=(200, 1))
    values[rng.random(200) < 0.1] = np.nan
    whole, parts, encoded = Forecast(horizon), Forecast(horizon), []
    expected = taught(whole, numbers(values), answer)
    for rows in np.split(np.arange(200), sorted(set(places))):
        encoded.append(taught(parts, numbers(values[rows]), answer[rows]))
        parts = restore_task({"name": "forecast", **parts.state()}, horizon)
    for field in ("u", "z", "query"):
        together = np.concatenate([getattr(e, field) for e in encoded])
        np.testing.assert_array_equal(together, getattr(expected, field))
    assert parts.score == whole.score


@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("row", [0, 3, 90, 149])
def test_a_forecast_asks_nothing_of_later_rows_and_teaches_only_what_was_old_enough(horizon, row):
    values = np.random.default_rng(0).normal(size=150).cumsum()
    changed = values.copy()
    changed[row] += 10.0
    a, b = (taught(Forecast(horizon), numbers(v)) for v in (values, changed))
    for field in ("u", "z", "query"):
        np.testing.assert_array_equal(getattr(a, field)[:row], getattr(b, field)[:row])


@pytest.mark.parametrize(
    ("column", "task", "horizon", "expected"),
    [
        (text(["a", "b"]), "auto", None, "classification"),
        (numbers([1, 0], ColumnKind.BOOLEAN), "auto", None, "classification"),
        (numbers([1, 0] * 5), "auto", None, "classification"),
        (numbers([3] * 5), "auto", None, "classification"),
        (numbers(range(5)), "auto", None, "regression"),
        (numbers([0.5, 1.5] * 9), "auto", None, "regression"),
        (numbers([1, 0] * 5), "auto", 3, "forecast"),
        (numbers([1, 0] * 5), "regression", None, "regression"),
        (numbers([1.5, 0] * 5), "classification", None, "classification"),
        (numbers([1, 0], ColumnKind.BOOLEAN), "forecast", None, "forecast"),
    ],
)
def test_the_task_that_a_column_calls_for(column, task, horizon, expected):
    chosen = choose_task(column, task, horizon, "y")
    assert chosen is not None
    assert chosen.name == expected


def test_a_column_that_is_all_missing_calls_for_nothing_yet():
    assert choose_task(numbers([np.nan, np.inf, 1e300]), "auto", None, "y") is None
    assert choose_task(text([None, None]), "auto", None, "y") is None


def test_columns_that_no_task_can_predict():
    with pytest.raises(StreamError, match="column 'y': a timestamp"):
        choose_task(numbers([1.0], ColumnKind.TIME), "auto", None, "y")
    for task in ("regression", "forecast"):
        with pytest.raises(StreamError, match=f"column 'y': {task} needs numbers"):
            choose_task(text(["a"]), task, None, "y")
