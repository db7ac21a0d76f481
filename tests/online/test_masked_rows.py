"""What is masked is missing, and nested lists are rows, wherever rows are read."""

from __future__ import annotations

import numpy as np
import pytest

from localprop import Online
from localprop.online.rows import read_labels, read_rows
from localprop.table.columns import ColumnKind

HIDDEN = [True, False]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1e9, 2.5], ColumnKind.NUMBER),
        ([7, 3], ColumnKind.NUMBER),
        ([True, False], ColumnKind.BOOLEAN),
        (["a", "b"], ColumnKind.TEXT),
        (np.array(["2024-05-31", "2024-06-01"], "M8[ns]"), ColumnKind.TIME),
    ],
    ids=["floats", "whole numbers", "truths", "text", "times"],
)
def test_a_masked_value_is_missing_and_the_others_keep_their_kind(values, kind):
    column = read_rows({"a": np.ma.array(values, mask=HIDDEN)}, {})["a"]
    assert column.kind is kind
    assert column.known.tolist() == [False, True]
    visible = read_rows({"a": np.asarray(values)[1:]}, {})["a"]
    assert column.values[1] == visible.values[0]


def test_masks_reach_rows_and_targets():
    table = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[HIDDEN, [False, False]])
    expected = np.array([[np.nan, 2.0], [3.0, 4.0]])
    rows = [{"x0": np.ma.masked, "x1": 2.0}, {"x0": 3.0, "x1": 4.0}]
    for given in (table, rows, list(table)):
        columns = read_rows(given, {})
        found = np.stack([columns[name].values for name in ("x0", "x1")], axis=1)
        np.testing.assert_array_equal(found, expected)
    for labels in (np.ma.array([1, 0], mask=HIDDEN), [np.ma.masked, 0]):
        np.testing.assert_array_equal(read_labels(labels, False).values, [np.nan, 0])
        assert read_labels(labels, True).known.tolist() == [False, True]


def test_nested_lists_are_a_table():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    by_array, by_lists = Online(hidden=(4,)), Online(hidden=(4,))
    by_array.learn_many(X, y)
    by_lists.learn_many(X.tolist(), y.tolist())
    assert by_lists.predict_many(X[:5].tolist()) == by_array.predict_many(X[:5])
