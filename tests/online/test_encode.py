"""Inputs of a table: every value its place, whatever the cuts, in bounded number."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from localprop.online.encode import BIN_ROLES, BUCKETS, OWN_VALUES, Encoder
from localprop.online.window import Scales
from localprop.online.window_layout import SCALE
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


def now(encoder, columns, rows):
    """The inputs of rows by the scales of each."""
    return encoder.now(encoder.encode(columns, rows))


def encoded(encoder, table, pieces):
    """Encodes rows of `(number, text, number)` in pieces; pads the early ones with zeros."""
    parts = []
    for rows in pieces:
        a, b, c = ([row[k] for row in table[rows]] for k in (0, 1, 2))
        parts.append(now(encoder, {"a": number(a), "b": text(b), "c": number(c)}, len(a)))
    width = len(encoder.inputs)
    return np.concatenate([np.pad(p, ((0, 0), (0, width - p.shape[1]))) for p in parts])


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 0.0, 1.5, -2.0, 1e30, np.inf]),
        st.sampled_from([None, *"xyzuvw"]),
        st.sampled_from([None, None, 1.0, 7.0]),
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
    assert list(whole.state()["windows"]) == list(apart.state()["windows"])
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
    u = now(encoder, {"b": text(values)}, 1000)
    assert u.shape[1] == len(encoder.inputs) == OWN_VALUES + BUCKETS
    np.testing.assert_array_equal(u.sum(axis=1), 1.0)
    assert (u[:OWN_VALUES, :OWN_VALUES] == np.eye(OWN_VALUES)).all()
    for k in range(OWN_VALUES, 1000):
        bucket = zlib.crc32(values[k].encode()) % BUCKETS
        assert encoder.inputs[int(u[k].argmax())] == f"b in bucket {bucket}"
    # The same value has the same place for ever, also after a checkpoint.
    again = now(Encoder.restore(encoder.state()), {"b": text(values[::-1])}, 1000)
    np.testing.assert_array_equal(again, u[::-1])


def test_a_missing_value_is_the_mean_fills_no_bin_and_says_so():
    encoder = Encoder()
    # Infinite, or too large to square, is missing too.
    u = now(encoder, {"a": number([1.0, None, 3.0, np.inf, 1e300])}, 5)
    assert encoder.inputs == ["a", *(f"a {role}" for role in BIN_ROLES), "a is missing"]
    np.testing.assert_array_equal(u[:, -1], [0, 1, 0, 1, 1])
    assert not u[[1, 3, 4], :-1].any()
    u = now(encoder, {"a": number([2.0, 2.0])}, 2)
    assert not u[:, -1].any()


def test_a_column_that_is_all_missing_has_no_input_until_it_speaks():
    encoder = Encoder()
    assert now(encoder, {"a": number([None, None])}, 2).shape == (2, 0)
    u = now(encoder, {"a": number([None, 5.0, None])}, 3)
    assert encoder.inputs[0] == "a"
    assert encoder.inputs[-1] == "a is missing"
    np.testing.assert_array_equal(u[:, -1], [0, 0, 1])


EDGES = st.lists(st.integers(-99, 99), min_size=7, max_size=7, unique=True).map(sorted)
VALUES = st.lists(st.one_of(st.just(np.nan), st.floats(-120, 120)), min_size=1, max_size=9)


@given(EDGES, VALUES, st.floats(-10, 10), st.floats(0.1, 10))
@settings(deadline=None)
def test_what_is_reviewed_is_encoded_by_todays_scales(edges, values, mean, deviation):
    """Written out: the standardised value, and how far it fills each bin, less its mean."""
    encoder, values = Encoder(), np.array(values)
    encoder.expect({"a": ColumnKind.NUMBER, "b": ColumnKind.BOOLEAN})
    scales = Scales(np.zeros((1, 2, SCALE)))
    scales.mean[:], scales.deviation[:], scales.edges[0] = (mean, 0.5), (deviation, 0.5), edges
    numbers = np.stack([values, np.ones(len(values))], axis=1)[None]
    u = encoder.again(numbers, np.zeros((1, len(values), 0)), scales)[0]
    known = ~np.isnan(values)
    expected = np.where(known, np.clip((values - mean) / deviation, -5, 5), 0)
    # The inputs are float32.
    np.testing.assert_allclose(u[:, 0], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(u[:, -1], 1.0)
    for k in range(6):
        filled = np.interp(values, edges[k : k + 2], [0, 1])
        mean_fill = (5.5 - k) / 6  # of a value that is in each bin equally often
        expected = np.where(known, filled - mean_fill, 0)
        np.testing.assert_allclose(u[:, 1 + k], expected, rtol=1e-6, atol=1e-6)


def test_bins_have_mean_zero_and_add_up_to_the_rank():
    """Against SciPy's ranks: all bins together say which share of the values lies below."""
    values = np.random.default_rng(0).standard_cauchy(1500)
    encoder = Encoder()
    encoder.encode({"a": number(values)}, 1500)
    u = encoder.look({"a": number(values)}, 1500, 7, 1)[0][:, 1:]
    rank = (rankdata(values) - 0.5) / 1500
    # Quantiles are of values up to 100 rows ago; within a bin ranks are not straight.
    assert np.abs(u.sum(axis=1) / 6 - (rank - 0.5)).max() < 1 / 6
    inner = np.abs(values) < 1
    assert np.abs(u.sum(axis=1) / 6 - (rank - 0.5))[inner].max() < 0.03
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=0.1)


@pytest.mark.parametrize("value", [0.3, -7.0, None, np.inf, 1e200])  # the last can't be squared
def test_a_row_is_looked_at_as_it_is_encoded(value):
    encoder = Encoder()
    known = np.random.default_rng(0).normal(size=(300, 2))
    encoder.encode({"a": number(known[:, 0]), "b": number(known[:, 1])}, 300)
    here = {"a": number([value]), "b": number([1.0])}
    looked, _, seen = encoder.look(here, 1, 16, 2)
    again = encoder.encode(here, 1)
    u = encoder.now(again)
    np.testing.assert_array_equal(looked[:, : u.shape[1]], u)
    np.testing.assert_array_equal(seen.scales, again.scales.table)


def test_few_distinct_values_have_a_bin_between_each_two():
    encoder = Encoder()
    values = np.array([0.0, 1.0, 5.0] * 40)
    encoder.encode({"a": number(values)}, 120)
    u = encoder.look({"a": number([0.0, 1.0, 3.0, 5.0])}, 4, 7, 1)[0][:, 1:7]
    # Two bins; the mean is as if both held equally many.
    np.testing.assert_allclose(u[:, 0] + 0.75, [0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(u[:, 1] + 0.25, [0, 0, 0.5, 1], atol=1e-6)
    assert not u[:, 2:].any()


def test_times_have_a_trend_and_the_phases_of_day_week_and_year():
    encoder = Encoder()
    noon = 43_200.0
    column = number([0.0, noon, 2 * noon, None], ColumnKind.TIME)
    u = now(encoder, {"t": column}, 4)
    at = {name: u[:, k] for k, name in enumerate(encoder.inputs)}
    np.testing.assert_allclose(at["t (cos of day)"], [1, -1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(at["t (sin of week)"][1], np.sin(2 * np.pi / 14), atol=1e-6)
    assert set(at) >= {"t", "t (cos of year)", "t is missing"}
    # Noon after noon: of 0, 1 the second is a deviation above the mean, of 0, 1, 2 the third √1.5.
    np.testing.assert_allclose(at["t"], [0, 1, np.sqrt(1.5), 0], rtol=1e-6)


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
    u = now(Encoder(), columns, 5)
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 5.0


def test_names_that_look_like_roles_do_not_collide():
    encoder = Encoder()
    u = now(encoder, {"b": text(["is missing", None, "in bucket 1", ""])}, 4)
    assert u.shape[1] == len(set(encoder.inputs)) == 4
    np.testing.assert_array_equal(u.sum(axis=1), 1.0)


codes = st.sampled_from([None, -0.0, 0.0, 1.0, 2.0, 2.5, *map(float, range(100, 118))])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(codes, codes, st.floats(0, 1)), min_size=150, max_size=200),
    st.integers(2, 22),
    st.lists(st.integers(1, 199), max_size=6),
)
def test_few_numbers_have_an_input_each_however_the_rows_are_cut(table, distinct, cuts):
    """And each row is encoded as it looked before it came."""
    few = [None if a is None else a % distinct for a, _, _ in table]
    columns = {
        "few": number(few),
        "any": number([b for _, b, _ in table]),
        "size": number([c for *_, c in table]),
    }
    whole = Encoder()
    at_once = now(whole, columns, len(table))
    parts, wide = Encoder(), at_once.shape[1]
    for a, b in pairwise(sorted({0, len(table), *(c for c in cuts if c < len(table))})):
        piece = {name: c.cut(a, b) for name, c in columns.items()}
        first = {name: c.cut(0, 1) for name, c in piece.items()}
        looked, *_ = parts.look(first, 1, wide, 0)
        found = now(parts, piece, b - a)
        np.testing.assert_array_equal(looked[0], np.pad(found[0], (0, wide - found.shape[1])))
        np.testing.assert_array_equal(at_once[a:b, : found.shape[1]], found)
        assert not at_once[a:b, found.shape[1] :].any()
        parts = Encoder.restore(parts.state())
    assert parts.inputs == whole.inputs
    # By hand, for the first column.
    values = [v for v in few if v is not None]
    begun = len(values) >= 64 and 3 <= len(set(values[:64])) <= 16
    own = [role for role in whole.inputs if role.startswith("few equals ")]
    if not begun:
        assert not own
        return
    judged = [t for t, v in enumerate(few) if v is not None][63]
    seen = set(values[:64])
    for t in range(judged + 1, len(table)):
        v = few[t]
        for role in own:
            on = v is not None and v in seen and role == f"few equals {v + 0.0!r}"
            assert at_once[t, whole.inputs.index(role)] == 0.5 * on
        if v is not None and len(seen) < 16:
            seen.add(v)
    assert len(own) == len(seen)


def test_few_numbers_of_all_columns_together_are_bounded():
    rng = np.random.default_rng(0)
    columns = {f"c{k}": number(rng.integers(0, 10, 200)) for k in range(9)}
    encoder = Encoder()
    encoder.encode(columns, 200)
    own = [name for name in encoder.inputs if " equals " in name]
    assert len(own) == 40  # whole columns, as long as there is room for 48
    assert {name.split()[0] for name in own} == {"c0", "c1", "c2", "c3"}


def test_a_new_value_is_seen_by_those_who_see_no_bins_as_well():
    encoder = Encoder()
    piece = {"kind": text(["a", "b"]), "size": number([1.0, 2.0])}
    encoder.encode(piece, 2)
    row = {"kind": text(["c"]), "size": number([3.0]), "new": number([4.0])}
    looked, plain, _ = encoder.look(row, 1, 24, 8)
    found = now(encoder, row, 1)
    np.testing.assert_array_equal(looked[:, : found.shape[1]], found)
    np.testing.assert_array_equal(plain[:, : len(encoder.plain)], found[:, encoder.plain])
    assert found[0, encoder.inputs.index("kind = c")] == 1


def test_a_row_that_brings_more_inputs_than_there_is_room_for_is_seen_whole():
    encoder = Encoder()
    encoder.encode({"size": number([1.0, 2.0])}, 2)
    row = {"size": number([3.0])} | {f"kind{k}": text(["a"]) for k in range(30)}
    looked, plain, _ = encoder.look(row, 1, 8, 2)
    found = now(encoder, row, 1)
    np.testing.assert_array_equal(looked, found)
    np.testing.assert_array_equal(plain, found[:, encoder.plain])
