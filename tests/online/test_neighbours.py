"""Neighbours: those of scikit-learn, by today's scales, however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from localprop import Online
from localprop.online.defaults import NAMES
from localprop.online.moments import CLIP, standardised
from localprop.online.neighbours import NEAREST, NEIGHBOURS, Kept, Seen, ask_neighbours

ROWS, D, F, CLASSES = 120, 3, 2, 4


def table(seed):
    """Rows as they came, with gaps, and the scales of each as a new one."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(5.0, 3.0, (ROWS, D))
    numbers[rng.random((ROWS, D)) < 0.05] = np.nan
    fixed = rng.integers(0, 2, (ROWS, F)).astype(np.float32)
    mean, deviation = rng.normal(5.0, 1.0, (ROWS, D)), rng.uniform(0.5, 4.0, (ROWS, D))
    deviation[rng.random((ROWS, D)) < 0.05] = 0.0
    return numbers, fixed, Seen(numbers, fixed, np.stack([mean, deviation], axis=2)), rng


def rows_of(parts, where):
    return type(parts)(*(part[where] for part in parts if part is not None))


@pytest.mark.parametrize("classes", [CLASSES, 0])
@pytest.mark.parametrize("most", [1000, 40])
def test_they_are_those_of_scikit_learn(classes, most):
    numbers, fixed, seen, rng = table(0)
    y = rng.integers(0, CLASSES, ROWS).astype(float) if classes else rng.normal(size=ROWS)
    y[::17] = np.nan  # such a row was never learned, and says nothing
    nothing = Kept(np.zeros((0, D)), np.zeros((0, F)), np.zeros(0))
    found = ask_neighbours(seen, nothing, Kept(numbers, fixed, y), most, classes)
    assert not np.nansum(found[0])  # before the first row there is none
    for t in range(1, ROWS):
        before = np.arange(max(0, t - most), t)
        before = before[~np.isnan(y[before])]
        if not len(before):
            continue
        z = standardised(numbers[: t + 1], *seen.scales[t].T, CLIP)
        rows = np.hstack([z, fixed[: t + 1]])
        old, new = rows[before], rows[t:]
        near = {"n_neighbors": min(NEAREST, len(before)), "weights": "distance"}
        if classes:
            peer = KNeighborsClassifier(**near).fit(old, y[before].astype(int))
            expected = np.zeros(classes)
            expected[peer.classes_] = peer.predict_proba(new)[0]
            np.testing.assert_allclose(found[t] / found[t].sum(), expected, atol=1e-9)
            assert found[t].sum() == pytest.approx(near["n_neighbors"])
        else:
            peer = KNeighborsRegressor(**near).fit(old, y[before])
            np.testing.assert_allclose(found[t], peer.predict(new), rtol=1e-9)


@pytest.mark.parametrize("places", [50, 64, 130])
def test_rows_that_go_round_in_a_ring_are_found_like_those_in_a_row(places):
    numbers, fixed, seen, rng = table(1)
    rows = Kept(numbers, fixed, rng.integers(0, CLASSES, ROWS).astype(float))
    old, new = slice(0, ROWS - 20), slice(ROWS - 20, None)
    count = ROWS - 20
    ring = [np.full((places, *a.shape[1:]), np.nan, a.dtype) for a in rows if a is not None]
    for place, a in zip(ring, rows, strict=False):
        for k in range(count):
            place[k % places] = a[k]
    for news in (None, rows_of(rows, new)):
        given = news, 50, CLASSES
        found = ask_neighbours(rows_of(seen, new), Kept(*ring, count), *given)
        expected = ask_neighbours(rows_of(seen, new), rows_of(rows, old), *given)
        np.testing.assert_array_equal(found, expected)


def test_rows_that_are_as_near_as_the_fifth_all_count():
    numbers = np.repeat([[1.0], [4.0]], [9, 3], axis=0)
    kept = Kept(numbers, np.zeros((12, 0)), np.repeat([0.0, 1.0], [9, 3]))
    new = Seen(np.array([[2.0]]), np.zeros((1, 0)), np.array([[[0.0, 1.0]]]))
    np.testing.assert_allclose(ask_neighbours(new, kept, None, 1000, 2), [[9.0, 0.0]])


@given(st.integers(0, 9), st.lists(st.integers(1, ROWS - 1), max_size=5), st.booleans())
@settings(deadline=None, max_examples=30)
def test_pieces_change_no_bit(seed, cuts, classes):
    numbers, fixed, seen, rng = table(seed)
    y, outputs = rng.integers(0, CLASSES, ROWS).astype(float), CLASSES * classes
    rows = Kept(numbers, fixed, y)
    whole = ask_neighbours(seen, rows_of(rows, slice(0)), rows, 50, outputs)
    parts = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), ROWS], strict=True):
        here, kept = slice(start, stop), rows_of(rows, slice(max(0, start - 50), start))
        part = ask_neighbours(rows_of(seen, here), kept, rows_of(rows, here), 50, outputs)
        parts.append(part)
        # A row that is only looked at finds the same.
        for k in range(start, min(stop, start + 1)):
            alone = ask_neighbours(rows_of(seen, [k]), kept, None, 50, outputs)
            np.testing.assert_array_equal(alone[0], part[k - start])
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_columns_that_came_later_are_missing_in_older_rows():
    kept = Kept(np.array([[0.0], [3.0]]), np.zeros((2, 0)), np.array([0.0, 1.0]))
    scales = np.array([[[0.0, 1.0], [9.0, 1.0]]])
    new = Seen(np.array([[0.5, 9.0]]), np.array([[1.0]]), scales)
    # Their second number is missing, as good as the mean, and their fixed input was not on:
    # 1/d of (.25 + 1) ** .5, …
    weights = np.array([1.25, 7.25]) ** -0.5
    found = ask_neighbours(new, kept, None, 1000, 2)
    np.testing.assert_allclose(found[0], 2 * weights / weights.sum())


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_without_review_there_are_none(task):
    """And with it they are followed where only they know: classes by place, without a pattern."""
    rng = np.random.default_rng(0)
    places = rng.normal(size=(60, 2))
    kind = rng.integers(0, 2, 60)
    drawn = rng.integers(0, 60, 600)
    X = places[drawn] + 0.001 * rng.normal(size=(600, 2))
    y = kind[drawn].astype(bool) if task == "classification" else 10.0 * kind[drawn]
    for review in (1000, 0):
        model = Online(task=task, review=review, hidden=(4,))
        model.learn_many(X, y)
        assert model.task is not None
        shares = model.task.mixture.shares
        assert (NEIGHBOURS in shares) == (review > 0)
        if review:
            # Or what is put together of them.
            weights = model.task.mixture.weights
            assert weights[-1] > 2 * weights[: len(NAMES)].max()
            assert weights[-2:].sum() > 0.5


def test_columns_that_hold_nothing_but_0_at_first_can_be_asked():
    # No network has room for such inputs yet, and neighbours compare them all the same.
    model = Online("classification", hidden=(3,))
    for k in range(40):
        row = {"a": float(k % 3)} | ({f"z{j}": 0.0 for j in range(60)} if k > 20 else {})
        model.learn_one(row, k % 2 == 0)
    assert model.predict_one({**row, "z3": 5.0}) in (True, False)
