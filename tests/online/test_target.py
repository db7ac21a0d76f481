"""Targets: what is asked, what is taught, what it is scored by; nothing is known too early."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, stats

from localprop import Online
from localprop.errors import StreamError
from localprop.online.classification import Classification, as_categories
from localprop.online.defaults import NAMES
from localprop.online.regression import Regression
from localprop.online.stacking import StackedNumbers
from localprop.online.target import choose_task, restore_task
from localprop.online.window import Window
from localprop.table.table import Column, ColumnKind


def numbers(values, kind=ColumnKind.NUMBER):
    return Column(kind, np.array(values, float))


def text(values):
    categories = list(dict.fromkeys(v for v in values if v is not None))
    codes = [-1 if v is None else categories.index(v) for v in values]
    return Column(ColumnKind.TEXT, np.array(codes, np.int32), categories)


def taught(task, column, answer=None):
    """Encodes a column and scores answers, the same of every network, by default zeros.

    Returns what was encoded, the targets of the networks, and the answers of the task.
    """
    rows = len(column.values)
    encoded = task.encode(column)
    if answer is None:
        answer = np.zeros((rows, task.outputs))
    z = task.targets(encoded.raw[:, None], encoded.key)[:, 0]
    answers = task.update_score(encoded.key, np.tile(answer[:, None], (1, len(NAMES), 1)))
    return encoded, z, answers


LABELS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=50)


@given(LABELS)
@settings(deadline=None)
def test_the_majority_baseline_is_that_of_river(labels):
    task = Classification()
    taught(task, text(labels))
    river, right, stays = dummy.PriorClassifier(), 0, 0
    for k, label in enumerate(labels):
        guess = river.predict_proba_one({})
        # Of equally frequent classes the first that appeared; River leaves ties to the dictionary.
        right += bool(guess) and max(guess, key=guess.get) == label
        stays += k > 0 and labels[k - 1] == label
        river.learn_one({}, label)
    assert task.score.samples == len(labels)
    assert task.score.fools_totals == [right, stays]  # the other is the class of the row before
    assert task.labelled == len(labels)


@given(LABELS, st.integers(0, 50))
@settings(deadline=None)
def test_classes_are_known_from_the_row_on_in_which_they_appear(labels, place):
    whole, parts = Classification(), Classification()
    _, z, _ = taught(whole, text(labels))
    known: list[str] = []
    for row, label in zip(z, labels, strict=True):
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
    counts = Counter(labels)
    assert dict(zip(whole.classes, whole.before.counts, strict=True)) == counts


def test_an_answer_counts_only_among_the_classes_known_before():
    task = Classification()
    answer = np.array([[1.0, 9.0, 0], [1.0, 9.0, 0], [1.0, 0, 9.0], [0, 1.0, 9.0]])
    taught(task, text(["a", "b", "b", "c"]), answer)
    # Row 0 knows no class; row 1 only a; row 2 a and b, of which a is the louder; row 3 too.
    assert task.score.total == 0
    taught(task, text(["c", "b"]), np.array([[0, 0, 1.0], [0, 1.0, 0]]))
    assert task.score.total == 2


def test_the_class_before_is_an_expert_and_followed_where_classes_stay():
    """Networks that know nothing cost nothing where a class stays for a while."""
    labels = [str(k // 40 % 3) for k in range(1200)]
    task = Classification()
    _, _, answers = taught(task, text(labels))
    right = answers.values[400:] == [whole % 3 for whole in np.arange(400, 1200) // 40]
    assert right.mean() == pytest.approx(39 / 40)
    np.testing.assert_allclose(answers.probabilities[1:].sum(axis=1), 1, rtol=1e-12)
    assert list(task.mixture.shares)[: len(NAMES)] == NAMES


def test_a_class_that_is_reviewed_is_taught_among_the_classes_known_now():
    task = Classification()
    encoded = task.encode(text(["a", "b", "c"]))
    z = task.targets(np.array([[0.0, np.nan], [1.0, 0.0], [2.0, 1.0]]), encoded.key)
    assert z.shape == (3, 2, task.outputs)
    assert np.isnan(z[..., 3:]).all()  # there are three classes
    z, nan = z[..., :4], np.nan
    np.testing.assert_array_equal(z[0], [[1, nan, nan, nan], [nan] * 4])
    np.testing.assert_array_equal(z[1], [[0, 1, nan, nan], [1, 0, nan, nan]])
    np.testing.assert_array_equal(z[2], [[0, 0, 1, nan], [0, 1, 0, nan]])


def test_labels_of_every_kind():
    assert as_categories(numbers([2, 1, np.nan, np.inf, 2]))[1] == [2, 1]
    assert as_categories(numbers([2, 1, np.nan, np.inf, 2]))[0].tolist() == [0, 1, -1, -1, 0]
    assert as_categories(numbers([0.5, -0.0, 0.0]))[1] == [0.5, 0]
    assert as_categories(numbers([1, 0], ColumnKind.BOOLEAN))[1] == [True, False]
    assert as_categories(text([None, "x"]))[0].tolist() == [-1, 0]


VALUES = st.lists(st.sampled_from([0.0, 1.5, -4.0, 1e6]), min_size=1, max_size=50)


@given(VALUES)
@settings(deadline=None)
def test_the_mean_baseline_is_that_of_river(values):
    task = Regression()
    rng = np.random.default_rng(0)
    taught(task, numbers(values), rng.normal(size=(len(values), 1)))
    river, errors = dummy.StatisticRegressor(stats.Mean()), []
    for k, v in enumerate(values):
        if k:
            errors.append(abs(river.predict_one({}) - v))
        river.learn_one({}, v)
    assert task.score.samples == len(errors)
    # One-pass means of at most 50 numbers below 1e6, in another order of operations.
    assert task.score.fools_totals[0] == pytest.approx(sum(errors), rel=1e-12, abs=1e-8)
    assert task.score.fools_totals[1] == pytest.approx(np.abs(np.diff(values)).sum(), rel=1e-12)


def test_a_number_is_mixed_of_what_was_known_before_it():
    """The experts written out: networks in units of the scales so far, and the simple ones."""
    rng, rows = np.random.default_rng(0), 80
    values = rng.normal(3.0, 2.0, rows).cumsum()
    outputs = 2 * rng.normal(size=(rows, len(NAMES), 1))
    task, window, mixture = Regression(), Window(), Regression().mixture
    encoded = task.encode(numbers(values))
    found = task.update_score(encoded.key, outputs).values
    before, now = window.update(values)
    z = task.targets(encoded.raw[:, None], encoded.key)[:, 0, 0]
    expected = np.clip((values - now.mean)[1:] / now.deviation[1:], -5, 5)
    np.testing.assert_allclose(z[1:], expected, rtol=1e-12)
    assert z[0] == 0
    bias, errors, stack = 0.0, [], StackedNumbers(len(NAMES) + 1)
    for t in range(1, rows):
        m, d = before.mean[t], before.deviation[t]
        unit = d if d > 0 else 1.0
        nets = m + d * np.clip(outputs[t, :, 0], -5, 5)
        said = (np.array([[*nets, values[t - 1]]]) - m) / unit
        truth = np.array([(values[t] - m) / unit if d > 0 else np.nan])
        stacked = m + unit * stack.learn(said, said[:, :3].mean(axis=1), truth)[0]
        experts = np.array([*nets, nets[0] + bias, values[t - 1], m, before.median[t], stacked])
        answer = mixture.weights @ experts
        if d > 0:  # else an error has no unit
            mixture.update(np.abs(experts - values[t])[None] / d)
        np.testing.assert_allclose(found[t], answer, rtol=1e-9)
        bias += 0.4 * (values[t] - nets[0] - bias)
        errors.append(abs(answer - values[t]))
    assert np.isnan(found[0])
    assert task.score.total == pytest.approx(sum(errors), rel=1e-9)


@pytest.mark.parametrize("kind", ["outlier", "jump", "walk", "scale"])
def test_regression_is_never_much_worse_than_the_mean_or_the_last_value(kind):
    """Also with networks that know nothing, and one that is no number."""
    rng, rows = np.random.default_rng(1), 1900
    values = rng.normal(size=rows) if kind != "walk" else rng.normal(size=rows).cumsum()
    values[700] += 1e9 if kind == "outlier" else 0
    values[700:] += 1e6 if kind == "jump" else 0
    values[700:] *= 1e-6 if kind == "scale" else 1
    task = Regression()
    outputs = 3 * rng.normal(size=(rows, len(NAMES), 1))
    outputs[:, 2] = np.nan
    encoded = task.encode(numbers(values))
    answers = task.update_score(encoded.key, outputs).values
    # What an expert did before is forgotten over 200 rows, and three times as many are over.
    after = slice(1300, None)
    errors = np.abs(answers - values)[after].mean()
    mean = np.abs(values[after] - values[after].mean()).mean()
    last = np.abs(np.diff(values))[1299:].mean()
    assert errors < 1.05 * min(mean, last)


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


def test_a_target_of_another_order_of_magnitude_leaves_answers_finite():
    """1e150 by the unit of 1e-161 is no number; nothing may be put together of it."""
    model = Online("regression", hidden=(2,))
    for k in range(60):
        model.learn_one({"a": k % 5}, 1e-161 * (k % 3))
    model.learn_one({"a": 1}, 1e150)
    for k in range(20):
        model.learn_one({"a": k % 5}, 1.0 * (k % 3))
        assert np.isfinite(model.predict_one({"a": k % 5}))
