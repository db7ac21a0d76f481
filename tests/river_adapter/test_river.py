"""The River estimators pass River's own checks, and give the numbers of `Online`."""

from __future__ import annotations

import copy
import pickle
import re
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from river import checks, compose, datasets, evaluate, metrics, preprocessing

from localprop import ConfigError, Online
from localprop.river import LocalClassifier, LocalRegressor

PAGE = Path(__file__).parents[2] / "docs" / "river.md"
SMALL = {"hidden": (8,)}
PHISHING = list(datasets.Phishing().take(300))
APPROVAL = list(datasets.TrumpApproval().take(60))
ESTIMATORS = pytest.mark.parametrize(
    ("estimator", "stream"),
    [(LocalClassifier, PHISHING[:60]), (LocalRegressor, APPROVAL)],
    ids=["classifier", "regressor"],
)


LONG = [f"Local{kind}-check_bounded_memory_growth-0" for kind in ("Classifier", "Regressor")]


OF_EITHER = [
    f"LocalRegressor-{check}-0"
    for check in (
        "check_learn_many_matches_learn_one",
        "check_emerging_features",
        "check_shuffle_features_no_impact",
        "check_radically_disappearing_features",
        "check_disappearing_features",
    )
]


def named_checks():
    """Yields River's checks of both estimators, named; those over several streams are numbered."""
    for estimator in (LocalClassifier, LocalRegressor):
        for params in estimator._unit_test_params():
            model, numbers = estimator(**params), {}
            for check in checks.yield_checks(model):
                number = next(numbers.setdefault(check.__name__, count()))
                name = f"{estimator.__name__}-{check.__name__}-{number}"
                # Rows one by one, many times over: one stream is enough for every day, and one
                # kind of target where a check asks nothing of it.
                long = number > 0 or name in LONG or name in OF_EITHER
                yield pytest.param(model, check, id=name, marks=[pytest.mark.slow] * long)


def by_name(x):
    return dict(sorted(x.items()))


def learned(estimator, stream):
    model = estimator(**SMALL)
    for x, y in stream:
        model.learn_one(x, y)
    return model


def table(stream):
    return pa.Table.from_pylist([x for x, _ in stream])


@pytest.mark.parametrize(("model", "check"), list(named_checks()))
def test_river_check(model, check):
    assert not model._unit_test_skips()
    check(model.clone())


def test_progressive_score_is_that_of_online_fed_the_same_rows():
    score = evaluate.progressive_val_score(PHISHING, LocalClassifier(**SMALL), metrics.Accuracy())
    online, right = Online("classification", **SMALL), metrics.Accuracy()
    for x, y in PHISHING:
        if (found := online.predict_one(by_name(x))) is not None:
            right.update(y, found)
        online.learn_one(by_name(x), y)
    assert score.get() == right.get() > 0.7


def test_iterated_score_reports_along_the_way():
    steps = list(
        evaluate.iter_progressive_val_score(
            PHISHING[:40], LocalClassifier(**SMALL), metrics.LogLoss(), step=20
        )
    )
    assert [step["Step"] for step in steps] == [20, 40]


def test_regressor_gives_the_numbers_of_online():
    model, online = LocalRegressor(**SMALL), Online("regression", **SMALL)
    for x, y in APPROVAL:
        if online.rows:
            assert model.predict_one(x) == online.predict_one(by_name(x))
        interval = model.predict_interval_one(x, 0.8)
        assert interval == online.predict_interval_one(by_name(x), 0.8)
        model.learn_one(x, y)
        online.learn_one(by_name(x), y)
    assert interval is not None
    assert model.importance() == online.importance() != {}
    with pytest.raises(ConfigError):
        model.predict_interval_one(x, 1.5)


def test_sequences_are_told_apart_as_by_online(tmp_path):
    rows = [{"machine": "ab"[k % 2], "a": float(k % 5)} for k in range(60)]
    model = LocalClassifier(hidden=(3,), sequence="machine")
    online, blind = (Online("classification", hidden=(3,), sequence=s) for s in ("machine", None))
    for k, x in enumerate(rows):
        for each in (model, online, blind):
            each.learn_one(x, (k // 4) % 2 == 0)
    assert model.predict_proba_one(rows[0]) == online.predict_proba_one(rows[0])
    assert model.predict_proba_one(rows[0]) != blind.predict_proba_one(rows[0])
    model.online.save(tmp_path / "m.npz")
    loaded = LocalClassifier.load(tmp_path / "m.npz")
    assert loaded.sequence == "machine"
    assert loaded.predict_proba_one(rows[1]) == model.predict_proba_one(rows[1])


@ESTIMATORS
def test_nothing_is_known_before_anything_is_learned(estimator, stream):
    model = estimator()
    nothing = None if estimator is LocalClassifier else 0.0
    assert model.predict_one(stream[0][0]) == nothing
    assert model.predict_many(table(stream)).to_pylist() == [nothing] * len(stream)
    assert model.importance() == {}
    if estimator is LocalClassifier:
        assert model.predict_proba_one(stream[0][0]) == {}
        assert model.predict_proba_many(table(stream)).column_names == []
    else:
        assert model.predict_interval_one(stream[0][0], 0.9) is None


@ESTIMATORS
def test_learning_many_is_learning_one_after_the_other(estimator, stream):
    one, many = learned(estimator, stream), estimator(**SMALL)
    for start in (0, 25):
        part = stream[start : start + 25] if start == 0 else stream[start:]
        many.learn_many(table(part), pa.chunked_array([[y for _, y in part]]))
    assert pickle.dumps(one.online) == pickle.dumps(many.online)
    answers = [one.predict_one(x) for x, _ in stream]
    # A batch is one call of the compiled loop: float32 sums may be ordered otherwise.
    assert many.predict_many(table(stream)).to_pylist() == pytest.approx(answers, rel=1e-5)


def test_probabilities_of_many_are_those_of_each():
    model = learned(LocalClassifier, PHISHING[:60])
    shares = model.predict_proba_many(table(PHISHING[60:70])).to_pylist()
    for found, (x, _) in zip(shares, PHISHING[60:70], strict=True):
        expected = {str(k): v for k, v in model.predict_proba_one(x).items()}
        assert found == pytest.approx(expected, rel=1e-5)


@ESTIMATORS
def test_a_clone_is_fresh_and_a_copy_goes_on(estimator, stream):
    model = learned(estimator, stream[:30])
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        original = copy.deepcopy(model)
        for x, y in stream[30:]:
            assert copied.predict_one(x) == original.predict_one(x)
            copied.learn_one(x, y)
            original.learn_one(x, y)
    clone = model.clone({"seed": 3})
    assert not clone.online.started
    assert (clone.seed, clone.hidden, clone.online.settings.seed) == (3, (8,), 3)
    assert model.online.rows == 30


@ESTIMATORS
def test_works_as_last_step_of_a_pipeline(estimator, stream):
    pipeline = preprocessing.StandardScaler() | estimator(**SMALL)
    for x, y in stream:
        pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    assert pipeline[estimator.__name__].online.rows == len(stream)
    assert pipeline.clone()[estimator.__name__].online.rows == 0
    before = pipeline.predict_one(stream[0][0])
    assert pickle.loads(pickle.dumps(pipeline)).predict_one(stream[0][0]) == before
    pipeline.learn_many(table(stream), pa.chunked_array([[y for _, y in stream]]))
    assert len(pipeline.predict_many(table(stream))) == len(stream)


def test_words_gaps_and_new_classes_are_learned():
    model = compose.Discard("ignored") | LocalClassifier(**SMALL)
    rows = [
        ({"size": k % 3, "colour": "rgb"[k % 3], "ignored": k}, "abc"[k % 3]) for k in range(200)
    ]
    for x, y in rows[::3] + rows:
        model.learn_one(x, y)
    model.learn_one({"size": None, 7: 1.0}, "d")
    assert model.predict_one({"size": 1, "colour": "g"}) == "b"
    assert set(model.predict_proba_one({"colour": "r"})) == set("abcd")


def test_rows_without_any_feature_and_empty_batches_are_answered():
    model = learned(LocalClassifier, PHISHING[:60])
    assert model.predict_one({}) in (True, False)
    model.learn_one({}, True)
    assert model.online.rows == 61
    assert len(model.predict_many(table(PHISHING).slice(0, 0))) == 0
    assert model.predict_proba_many(table(PHISHING).slice(0, 0)).num_rows == 0


def test_a_ninth_input_that_begins_at_zero_is_learned():
    row = {f"feature {k}": float(k) for k in range(8)}
    model = learned(LocalRegressor, [(row, 1.0), ({**row, "new": 1.0}, 2.0)])
    assert model.online.rows == 2


@pytest.mark.slow
def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, namespace)
    assert (tmp_path / "phishing.ckpt").exists()
    assert "Accuracy" in capsys.readouterr().out
