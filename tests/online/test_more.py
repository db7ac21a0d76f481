"""Pieces that follow each other at once: the networks may be behind, the numbers stay."""

from __future__ import annotations

import numpy as np
import pytest

from localprop import Online
from localprop.errors import StreamError
from localprop.online.task import Answers
from localprop.table.columns import Column, ColumnKind

ROWS, PIECE = 1500, 220
SETTINGS = {
    "lone": {"task": "classification", "bank": False, "review": 0},
    "bank": {"task": "classification"},
    "numbers": {"task": "regression", "bank": False, "review": 0},
}


def table(kind):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(ROWS, 3)), rng.normal(size=ROWS)
    y = x[:, 0] * x[:, 1] + 0.1 * noise
    y = y if kind == "numbers" else np.floor(np.clip(y, -1, 1))
    y[::17] = np.nan  # which are only to be predicted
    return {f"x{k}": Column(ColumnKind.NUMBER, a) for k, a in enumerate(x.T)}, y


def learned(kind, pieces, **more):
    """Returns a model that learned pieces, and what it answered."""
    model, (columns, y) = Online(**SETTINGS[kind]), table(kind)
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


def test_what_was_learned_before_an_error_is_told():
    model, parts = learned("lone", PIECE, more=True)
    model.task.whole = True
    columns, y = table("lone")
    with pytest.raises(StreamError, match="is no class among whole numbers"):
        model.learn(columns, Column(ColumnKind.NUMBER, np.abs(y) + 0.5), more=True)
    expected = Answers.joined(learned("lone", PIECE)[1])
    found = Answers.joined([*parts, model.finish()])
    np.testing.assert_array_equal(found.values[:ROWS], expected.values)
