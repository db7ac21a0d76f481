"""Pieces that follow each other at once: the networks may be behind, the numbers stay."""

from __future__ import annotations

import time

import numpy as np
import pytest

from localprop import Online
from localprop.errors import StreamError
from localprop.online.growing import Model
from localprop.online.task import Answers
from localprop.table.columns import Column, ColumnKind

ROWS, PIECE = 1500, 220
SETTINGS = {
    "lone": {"task": "classification", "bank": False, "review": 0},
    "bank": {"task": "classification"},
    "numbers": {"task": "regression", "bank": False, "review": 0},
}


def table(kind, every=17):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(ROWS, 3)), rng.normal(size=ROWS)
    y = x[:, 0] * x[:, 1] + 0.1 * noise
    y = y if kind == "numbers" else np.floor(np.clip(y, -1, 1))
    y[::every] = np.nan  # which are only to be predicted
    return {f"x{k}": Column(ColumnKind.NUMBER, a) for k, a in enumerate(x.T)}, y


def learned(kind, pieces, every=17, **more):
    """Returns a model that learned pieces, and what it answered."""
    model, (columns, y) = Online(**SETTINGS[kind]), table(kind, every)
    model.learn_many({name: column.values[:1] for name, column in columns.items()}, y[1:2])
    parts = []
    for start in range(0, ROWS, pieces):
        cut = {name: column.cut(start, start + pieces) for name, column in columns.items()}
        target = Column(ColumnKind.NUMBER, y[start : start + pieces])
        parts.append(model.learn(cut, target, **more))
    return model, parts


@pytest.mark.parametrize("kind", SETTINGS)
def test_what_follows_at_once_changes_no_number(kind):
    expected, parts = learned(kind, PIECE)
    found, late = learned(kind, PIECE, more=True)
    late.append(found.finish())
    assert [len(part.values) for part in parts] != [len(part.values) for part in late[:-1]]
    a, b = (Answers.joined(some) for some in (parts, late))
    np.testing.assert_array_equal(a.values, b.values)
    if a.probabilities is not None:
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
    assert found.to_bytes() == expected.to_bytes()


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_piece_that_is_waited_for_is_learned_after_those_before_it(kind, monkeypatch):
    expected, parts = learned(kind, PIECE, every=ROWS)
    monkeypatch.setattr(Model, "learn", late(Model.learn))
    found, (columns, y) = Online(**SETTINGS[kind]), table(kind, ROWS)
    found.learn_many({name: column.values[:1] for name, column in columns.items()}, y[1:2])
    told = []
    for k, start in enumerate(range(0, ROWS, PIECE)):
        cut = {name: column.cut(start, start + PIECE) for name, column in columns.items()}
        target = Column(ColumnKind.NUMBER, y[start : start + PIECE])
        told.append(found.learn(cut, target, more=k % 3 < 2))
    told.append(found.finish())
    a, b = (Answers.joined(some) for some in (parts, told))
    np.testing.assert_array_equal(a.values, b.values)
    assert found.to_bytes() == expected.to_bytes()


def late(learn):
    """Returns what learns like `learn`, but behind those who ask for it."""

    def wait_and_learn(self, *given):
        time.sleep(0.05)
        return learn(self, *given)

    return wait_and_learn


def test_whoever_asks_meanwhile_waits_for_what_is_being_learned(monkeypatch):
    expected, _ = learned("bank", PIECE)
    monkeypatch.setattr(Model, "learn", late(Model.learn))
    found, _ = learned("bank", PIECE, more=True)
    assert found.to_bytes() == expected.to_bytes()
    assert found.importance() == expected.importance()


def test_networks_that_fail_keep_no_piece_back(monkeypatch):
    model, parts = learned("lone", PIECE, more=True)
    before = len(Answers.joined([*parts, model.finish()]).values)
    columns, y = table("lone", ROWS)
    whole = model.model.learn

    def fail(*given):
        monkeypatch.setattr(model.model, "learn", whole, raising=False)
        raise MemoryError

    monkeypatch.setattr(model.model, "learn", fail, raising=False)
    model.learn(columns, Column(ColumnKind.NUMBER, y), more=True)
    with pytest.raises(MemoryError):
        model.finish()
    model.finish()
    again = model.learn(columns, Column(ColumnKind.NUMBER, y))
    assert len(again.values) == before == ROWS


@pytest.mark.parametrize("more", [True, False])
def test_what_was_learned_before_an_error_is_told(more):
    model, parts = learned("lone", PIECE, more=True)
    model.task.whole = True
    columns, y = table("lone")
    with pytest.raises(StreamError, match="is no class among whole numbers"):
        model.learn(columns, Column(ColumnKind.NUMBER, np.abs(y) + 0.5), more=more)
    expected = Answers.joined(learned("lone", PIECE)[1])
    found = Answers.joined([*parts, model.finish()])
    np.testing.assert_array_equal(found.values[:ROWS], expected.values)
