"""Rows by themselves, with no Python between the loops, against the same rows as pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localprop import Online

COLOURS = ["red", "blue", "green"]
PLAIN = st.floats(-3, 3) | st.integers(-3, 3)
STRANGE = st.sampled_from([None, np.nan, np.inf, -np.inf, 1e300, -0.0, 10**400, True])
ROW = st.fixed_dictionaries(
    {
        "a": PLAIN | STRANGE,
        "b": PLAIN | PLAIN | STRANGE,
        "day": st.sampled_from([0, 1.0, 2, 3, 3, 4, None, 9]),
        "ripe": st.booleans() | st.none(),
        "colour": st.sampled_from([*COLOURS, *COLOURS, None, "", "new"]),
    },
    optional={"late": st.floats(0, 1)},
)
LABEL = st.sampled_from(["x", "y", "x", "y", "z", None])
NUMBER = st.floats(-5, 5) | st.integers(-5, 5) | st.sampled_from([None, np.nan, np.inf, 1e9, True])
SETTINGS = [
    {},
    {"review": 0},
    {"bank": False, "review": 0},
    {"review": 5, "bank": False},
    {"law": "least-action"},
]
NUMBERS = [{"task": "regression"}, {"task": "regression", "bank": False, "review": 0}]


def twins(**more):
    """Returns two models after the same rows, of which the second takes rows as pieces alone."""
    rng, found = np.random.default_rng(0), []
    rows = [
        {
            "a": float(a),
            "b": None if k % 9 == 4 else float(b),
            "day": k % 5,
            "ripe": k % 4 == 1,
            "colour": None if k % 11 == 3 else COLOURS[k % 3],
        }
        for k, (a, b) in enumerate(rng.normal(size=(90, 2)))
    ]
    for _ in range(2):
        model = Online(hidden=(4,), **more)
        model.learn_many(rows, [label(more, row["a"] > 0) for row in rows])
        for row in rows[:8]:
            model.predict_one(row)
        found.append(model)
    found[1]._directly = lambda: None
    return *found, rows


def label(more, positive):
    return (1.5 if positive else -1) if "task" in more else "x" if positive else "y"


def check_alike(model, pieces, rows):
    assert model.to_bytes() == pieces.to_bytes()
    assert model.rows == pieces.rows
    np.testing.assert_equal(model.importance(), pieces.importance())  # NaN is NaN here
    assert model.task.score.value == pieces.task.score.value
    assert answers(model, rows) == answers(pieces, rows)


def answers(model, rows):
    if model.settings.task == "regression":
        return model.predict_many(rows), model.predict_interval_many(rows)
    return model.predict_proba_many(rows)


@pytest.mark.parametrize("more", SETTINGS, ids=str)
@given(steps=st.lists(st.tuples(ROW, LABEL, st.booleans(), st.booleans()), max_size=25))
@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
def test_a_row_by_itself_is_a_piece_of_one_row_to_the_bit(more, steps):
    follow(more, steps)


@pytest.mark.parametrize("more", NUMBERS, ids=str)
@given(steps=st.lists(st.tuples(ROW, NUMBER, st.booleans(), st.booleans()), max_size=25))
@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
def test_a_row_with_a_number_is_a_piece_of_one_row_to_the_bit(more, steps):
    follow(more, steps)


def follow(more, steps):
    """Takes steps, each a row, its target, whether it is asked, and whether it is usual."""
    model, pieces, rows = twins(**more)
    for row, target, ask, usual in steps:
        row = {**rows[0], "a": row["a"]} if usual else row
        if ask:
            assert model.predict_one(row) == pieces.predict_one(row)
            if "task" not in more:
                assert model.predict_proba_one(row) == pieces.predict_proba_one(row)
        model.learn_one(row, target)
        pieces.learn_one(row, target)
    check_alike(model, pieces, rows)


@pytest.mark.parametrize("more", [*SETTINGS, *NUMBERS], ids=str)
def test_usual_rows_are_learned_directly(more):
    model, pieces, rows = twins(**more)
    direct = 0
    for k, row in enumerate(rows * 2):
        for one in (model, pieces):
            assert one.predict_one(rows[k % 7]) is not None
            one.learn_one(dict(reversed(row.items())), label(more, k % 2))
        direct += model._direct is not None
    assert direct > len(rows)
    check_alike(model, pieces, rows)


def test_what_was_asked_of_a_row_is_not_taken_for_that_of_another():
    model, pieces, rows = twins()
    for k in range(30):
        for one in (model, pieces):
            one.predict_one(rows[k])
            one.predict_one(rows[k + 1])
            if k % 3 == 0:
                one.learn_many(rows[5:7], ["x", "y"])
            one.learn_one(rows[k + k % 2], "x")
    check_alike(model, pieces, rows)


@pytest.mark.parametrize("more", [{}, {"bank": False, "review": 3}], ids=str)
def test_numbers_are_taken_as_they_are_to_the_bit(more):
    model, pieces = (Online("classification", hidden=(4,), **more) for _ in range(2))
    pieces._directly = lambda: None
    table = np.random.default_rng(0).normal(size=(70, 2))
    direct = 0
    strange = [0.0, -0.0, 10**400, -(10**400), 10**300, 1e308, -np.inf, np.float64(1.5), True, 3]
    for one in (model, pieces):
        one.learn_many(table, [bool(x > 0) for x in table[:, 0]])
        for k, value in enumerate(strange * 3):
            one.predict_one({"x0": abs(value) if value == 0 else value, "x1": 1.0})
            one.learn_one({"x0": value, "x1": 1.0}, k % 3 == 0)
            for x in table[:5].tolist():
                one.learn_one({"x0": x[0], "x1": x[1]}, x[0] > 0)
                direct += one._direct is not None
    assert direct > 50
    check_alike(model, pieces, [{"x0": 0.5, "x1": -0.5}])


def test_an_expert_that_derails_is_started_again():
    model, pieces, rows = twins()
    told = [], []
    for one, notes in zip((model, pieces), told, strict=True):
        one.on_restart = lambda row, name, notes=notes: notes.append((row, name))
        for k, row in enumerate(rows[:20]):
            if k in (9, 15):
                assert one is pieces or one._direct is not None
                one.model.native.states[k % 4].moving[0] *= np.inf
            one.learn_one(row, "x")
    assert told[0] == told[1]
    assert len(told[0]) == 2
    check_alike(model, pieces, rows)


def test_a_model_that_was_restored_goes_on_directly(tmp_path):
    model, _, rows = twins()
    for row in rows[:20]:
        model.learn_one(row, "y")
    model.save(tmp_path / "model.npz")
    other = Online.load(tmp_path / "model.npz")
    for row in rows[20:]:
        assert other.predict_proba_one(row) == model.predict_proba_one(row)
        model.learn_one(row, "x")
        other.learn_one(row, "x")
    assert other._direct is not None
    check_alike(other, model, rows)
