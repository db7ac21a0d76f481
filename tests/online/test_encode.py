"""Inputs of a table: every value its place, whatever the cuts, in bounded number."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.online.encode import BUCKETS, OWN_VALUES, Encoder
from localprop.online.moments import Moments
from localprop.table.table import Column, ColumnKind


def text(values):
    """A text column as the table gives it: codes by first appearance, -1 where missing."""
    categories = list(dict.fromkeys(v for v in values if v is not None))
    codes = [-1 if v is None else categories.index(v) for v in values]
    return Column(ColumnKind.TEXT, np.array(codes, np.int32), categories)


def number(values, kind=ColumnKind.NUMBER):
    values = np.array([np.nan if v is None else v for v in values], float)
    known = np.isfinite(values).any() or kind is not ColumnKind.NUMBER
    return Column(kind if known else ColumnKind.UNDECIDED, values)


def encoded(encoder, table, pieces):
    """Encodes rows of `(number, text)` in pieces; pads the early ones with zeros."""
    parts = []
    for rows in pieces:
        a, b = ([row[k] for row in table[rows]] for k in (0, 1))
        parts.append(encoder.encode({"a": number(a), "b": text(b)}, len(a)))
    width = len(encoder.inputs)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1]))) for p in parts])


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 0.0, 1.5, -2.0, 1e30, np.inf]),
        st.sampled_from([None, *"xyzuvw"]),
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.lists(st.integers(0, 40), max_size=6))
@settings(deadline=None)
def test_pieces_do_not_change_a_bit(table, places):
    ends = [0, *sorted({p % len(table) for p in places} - {0}), len(table)]
    pieces = [slice(a, b) for a, b in pairwise(ends)]
    whole, apart = Encoder(), Encoder()
    together = encoded(whole, table, [slice(0, len(table))])
    np.testing.assert_array_equal(together, encoded(apart, table, pieces))
    assert whole.inputs == apart.inputs
    assert whole.state() == apart.state()
    assert Encoder.restore(apart.state()).state() == apart.state()


@given(ROWS)
@settings(deadline=None)
def test_later_rows_change_no_earlier_input(table):
    encoder, longer = Encoder(), Encoder()
    half = len(table) // 2
    first = encoded(encoder, table, [slice(0, half)]) if half else np.zeros((0, 0))
    both = encoded(longer, table, [slice(0, len(table))])
    assert longer.inputs[: len(encoder.inputs)] == encoder.inputs
    np.testing.assert_array_equal(first, both[:half, : first.shape[1]])
    assert not both[:half, first.shape[1] :].any()


def test_text_is_one_hot_up_to_32_values_and_hashed_beyond():
    values = [f"value {k}" for k in range(1000)]
    encoder = Encoder()
    u = encoder.encode({"b": text(values)}, 1000)
    assert u.shape[1] == len(encoder.inputs) == OWN_VALUES + BUCKETS
    np.testing.assert_array_equal(u.sum(axis=1), 1.0)
    assert (u[:OWN_VALUES, :OWN_VALUES] == np.eye(OWN_VALUES)).all()
    for k in range(OWN_VALUES, 1000):
        bucket = zlib.crc32(values[k].encode()) % BUCKETS
        assert encoder.inputs[int(u[k].argmax())] == f"b in bucket {bucket}"
    # The same value has the same place for ever, also after a checkpoint.
    again = Encoder.restore(encoder.state()).encode({"b": text(values[::-1])}, 1000)
    np.testing.assert_array_equal(again, u[::-1])


def test_a_missing_value_is_the_mean_and_says_so():
    encoder = Encoder()
    u = encoder.encode({"a": number([1.0, None, 3.0, np.inf])}, 4)
    assert encoder.inputs == ["a", "a is missing"]
    np.testing.assert_array_equal(u[:, 1], [0, 1, 0, 1])
    assert u[1, 0] == u[3, 0] == 0
    u = encoder.encode({"a": number([2.0, 2.0])}, 2)
    assert not u[:, 1].any()


def test_a_column_that_is_all_missing_has_no_input_until_it_speaks():
    encoder = Encoder()
    assert encoder.encode({"a": number([None, None])}, 2).shape == (2, 0)
    u = encoder.encode({"a": number([None, 5.0, None])}, 3)
    assert encoder.inputs == ["a", "a is missing"]
    np.testing.assert_array_equal(u[:, 1], [0, 0, 1])


def test_times_have_a_trend_and_the_phases_of_day_week_and_year():
    encoder = Encoder()
    noon = 43_200.0
    column = number([0.0, noon, 2 * noon, None], ColumnKind.TIME)
    u = encoder.encode({"t": column}, 4)
    at = {name: u[:, k] for k, name in enumerate(encoder.inputs)}
    np.testing.assert_allclose(at["t (cos of day)"], [1, -1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(at["t (sin of week)"][1], np.sin(2 * np.pi / 14), atol=1e-12)
    assert set(at) >= {"t", "t (cos of year)", "t is missing"}
    np.testing.assert_array_equal(at["t"], Moments().standardise(column.values, 5.0))


@pytest.mark.filterwarnings("error")
def test_nothing_that_is_encoded_is_not_finite():
    columns = {
        "huge": number([1e30, -1e30, 1e300, np.inf, None]),
        "tiny": number([1e-30, -1e-30, 5e-324, -np.inf, None]),
        "both": number([1e30, 1e-30, 1.0, 1e30, 1e-30]),
        "constant": number([4.0] * 5),
        "flag": number([1, 0, 1, None, 1], ColumnKind.BOOLEAN),
        "time": number([-1e11, 0, 1e11, None, np.inf], ColumnKind.TIME),
    }
    u = Encoder().encode(columns, 5)
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 5.0


def test_names_that_look_like_roles_do_not_collide():
    encoder = Encoder()
    u = encoder.encode({"b": text(["is missing", None, "in bucket 1", ""])}, 4)
    assert u.shape[1] == len(set(encoder.inputs)) == 4
    np.testing.assert_array_equal(u.sum(axis=1), 1.0)
