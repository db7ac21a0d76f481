"""`localprop.sklearn`: scikit-learn's own suite, and the stream below it."""

from __future__ import annotations

import importlib
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from localprop import ConfigError, Online
from localprop.sklearn import LocalClassifier, LocalRegressor

TUTORIAL = Path(__file__).parents[2] / "docs" / "sklearn.md"
NUMBER = re.compile(r"\d\.\d+")
SMALL = {"hidden": (8,), "max_epochs": 10}  # as the suite makes hundreds of models
GENERATOR = np.random.default_rng(0)
COLOURS = np.array(["red", "green", None], dtype=object)[GENERATOR.integers(0, 3, 240)]
SIZES = np.where(GENERATOR.uniform(size=240) < 0.2, np.nan, GENERATOR.normal(size=240))
KINDS = np.where((COLOURS == "red") | (np.nan_to_num(SIZES) > 0.7), "good", "bad")
FRAME = pa.table({"colour": pa.array(COLOURS.tolist()), "size": pa.array(SIZES)})


@parametrize_with_checks([LocalClassifier(**SMALL)])
def test_estimator_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow  # all that a regressor shares with a classifier was checked above
@parametrize_with_checks([LocalRegressor(**SMALL)])
def test_estimator_checks_of_a_regressor(estimator, check):
    check(estimator)


@pytest.mark.parametrize("pieces", [1, 4])
def test_partial_fit_is_the_stream_that_online_learns(pieces):
    model, online = LocalClassifier(hidden=(8,), random_state=3), Online(hidden=(8,), seed=3)
    for rows in np.array_split(np.arange(240), pieces):
        model.partial_fit(FRAME.take(rows), KINDS[rows])
    online.learn_many(FRAME, KINDS)
    told = model.predict_proba(FRAME)
    order = [online.classes.index(label) for label in model.classes_]
    np.testing.assert_array_equal(told, online.probabilities(FRAME)[:, order])
    np.testing.assert_array_equal(model.predict(FRAME), online.predict_many(FRAME))
    assert model.importance() == online.importance()


def test_partial_fit_of_numbers_is_the_stream_that_online_learns():
    X, y = load_diabetes(return_X_y=True)
    model = LocalRegressor(hidden=(8,), random_state=0).partial_fit(X[:100], y[:100])
    model.partial_fit(X[100:], y[100:])
    online = Online("regression", hidden=(8,))
    online.learn_many(X, y)
    np.testing.assert_array_equal(model.predict(X), online.predict_many(X))
    bounds = model.predict_interval(X, 0.8)
    np.testing.assert_array_equal(bounds, online.predict_interval_many(X, 0.8))


def test_weights_of_partial_fit_repeat_rows_where_they_stand():
    X, y = load_diabetes(return_X_y=True)
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = LocalRegressor(hidden=(8,), random_state=0).partial_fit(X, y, weights)
    rows = np.repeat(np.arange(len(y)), weights)
    repeated = LocalRegressor(hidden=(8,), random_state=0).partial_fit(X[rows], y[rows])
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_ratios_of_other_weights_matter(scale):
    # The same draws, as the same seed; so a row that is learned thrice as often wins.
    weights = np.tile([0.5, 1.5], 200)
    model = LocalClassifier(hidden=(8,), random_state=0)
    model.fit(np.zeros((400, 1)), np.tile(["rare", "often"], 200), weights * scale)
    p = model.predict_proba([[0.0]])[0]
    # 400 rows with a share of 3/4 give or take .02, and 10 % of a network's own haste.
    np.testing.assert_allclose(p, [0.75, 0.25], atol=0.12)


@pytest.mark.parametrize("kind", ["table", "mapping", "array"])
def test_text_and_gaps_are_learned(kind):
    mapping = {"colour": COLOURS, "size": SIZES}
    array = np.stack([COLOURS, SIZES.astype(object)], axis=1)
    X = {"table": FRAME, "mapping": mapping, "array": array}[kind]
    model = LocalClassifier(hidden=(16,), random_state=0).fit(X, KINDS)
    assert np.mean(model.predict(X) == KINDS) > 0.95  # the majority has 3/5
    assert model.n_features_in_ == 2
    if kind != "array":
        assert list(model.feature_names_in_) == ["colour", "size"]
        assert set(model.importance()) == {"colour", "size"}
    np.testing.assert_allclose(model.feature_importances_.sum(), 1.0)


def test_a_word_never_met_is_predicted_too():
    model = LocalClassifier(hidden=(8,), random_state=0).partial_fit(FRAME, KINDS)
    p = model.predict_proba(pa.table({"colour": ["violet"], "size": [None]}))
    np.testing.assert_allclose(p.sum(), 1.0)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_dataframes_give_the_numbers_of_the_arrow_table(package):
    module = importlib.import_module(package)
    frame = module.DataFrame({"colour": COLOURS.tolist(), "size": SIZES.tolist()})
    told = [
        LocalClassifier(hidden=(8,), random_state=0).fit(X, KINDS).predict_proba(X)
        for X in (frame, FRAME)
    ]
    np.testing.assert_array_equal(*told)


def test_columns_must_be_those_learned():
    model = LocalClassifier(hidden=(8,), random_state=0).partial_fit(FRAME, KINDS)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(FRAME.rename_columns(["colour", "weight"]))
    with pytest.raises(ValueError, match="columns"):
        model.predict({"colour": COLOURS})


@pytest.mark.parametrize("value", [{"a": 1}, [1], object()])
def test_values_that_cannot_be_learned_are_a_type_error(value):
    X = np.array([[1.0], [2.0]], dtype=object)
    X[0, 0] = value
    with pytest.raises(TypeError, match="column 'x0'"):
        LocalRegressor().fit(X, [1.0, 2.0])


def test_infinite_numbers_are_refused_in_dataframes_as_in_arrays():
    for X in (np.array([[np.inf], [1.0]]), pa.table({"a": [np.inf, 1.0]}), {"a": [np.inf, 1.0]}):
        with pytest.raises(ValueError, match="infinity"):
            LocalRegressor().fit(X, [1.0, 2.0])


def test_classes_declared_have_a_probability_before_they_come():
    model = LocalClassifier(hidden=(8,), random_state=0)
    model.partial_fit([[0.0], [1.0]], [3, 1], classes=[1, 2, 3])
    p = model.predict_proba([[0.0]])
    assert p.shape == (1, 3)
    assert p[0, 1] == 0.0
    with pytest.raises(ValueError, match="4"):
        model.partial_fit([[0.0]], [4])
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit([[0.0]], [1], classes=[1, 2])


def test_classes_not_declared_come_as_they_are_met():
    model = LocalClassifier(hidden=(8,), random_state=0).partial_fit([[0.0]], ["b"])
    model.partial_fit([[1.0], [2.0]], ["c", "a"])
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.predict_proba([[0.0]]).shape == (1, 3)


def test_pickle_goes_on_as_the_model_itself_does():
    X, y = load_diabetes(return_X_y=True)
    model = LocalRegressor(hidden=(8,), max_epochs=2, random_state=0).fit(X[:200], y[:200])
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        one.partial_fit(X[200:], y[200:], np.full(242, 0.5) + np.arange(242) % 2)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    np.testing.assert_array_equal(model.predict_interval(X), again.predict_interval(X))


def test_fit_is_the_same_whatever_the_order_of_the_rows():
    order = np.random.default_rng(1).permutation(240)
    model = LocalClassifier(hidden=(8,), random_state=0)
    first = clone(model).fit(FRAME, KINDS).predict_proba(FRAME)
    second = clone(model).fit(FRAME.take(order), KINDS[order]).predict_proba(FRAME)
    np.testing.assert_array_equal(first, second)


def test_fit_stops_by_itself_and_learns_more_than_one_pass():
    X, y = load_breast_cancer(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    model = LocalClassifier(hidden=(32,), max_epochs=100, random_state=0).fit(X, y)
    assert 1 < model.n_iter_ < 100
    assert model.score(X_test, y_test) > 0.93


def test_intervals_after_fit_hold_on_rows_never_seen():
    X = np.random.default_rng(0).normal(size=(1500, 3))
    y = X[:, 0] + np.random.default_rng(1).normal(size=1500)
    model = LocalRegressor(hidden=(16,), random_state=0).fit(X[:1000], y[:1000])
    low, high = model.predict_interval(X[1000:], 0.9).T
    # The radius stands on 100 held-out errors: a share of .9 give or take .03, twice.
    assert abs(np.mean((low <= y[1000:]) & (y[1000:] <= high)) - 0.9) < 0.06
    with pytest.raises(ConfigError, match="level"):
        model.predict_interval(X, 1.0)


def test_grid_search_through_a_pipeline():
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LocalClassifier(max_epochs=2, random_state=0))
    grid = {"localclassifier__hidden": [(4,), (8,)]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_score_ > 0.93


@pytest.mark.parametrize("model", [LocalClassifier(), LocalRegressor()])
def test_nothing_is_answered_before_it_was_learned(model):
    for ask in (model.importance, lambda: model.predict([[1.0]])):
        with pytest.raises(NotFittedError):
            ask()
    with pytest.raises(ConfigError, match="max_epochs"):
        clone(model).set_params(max_epochs=0).fit([[1.0]], [1])


@pytest.mark.slow
def test_the_tutorial_runs_and_says_what_it_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    text = TUTORIAL.read_text(encoding="utf-8")
    for code, said in re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.DOTALL):
        exec(code, scope)
        found = capsys.readouterr().out
        assert NUMBER.sub("#", found) == NUMBER.sub("#", said)
        # Shares of some hundred rows: sums in another order flip a few of them elsewhere.
        shares = [[float(n) for n in NUMBER.findall(text)] for text in (found, said)]
        np.testing.assert_allclose(*shares, atol=0.05)
