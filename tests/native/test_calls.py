"""Calls of loops that are made all together, against the same loops called by Python."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from localprop.native.calls import WELL, Calls, Now


@njit
def move(table, parts, step, twice, last):
    """Takes arrays of several kinds and axes, a tuple of them, and numbers."""
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] += step * (2 if twice else 1) + parts[0][j] * parts[1][i] + last[0, i, j]
    return WELL if table[0, 0] < 100 else 7


@njit
def share(a, number):
    a[0] = 1 // number


def given(step):
    rng = np.random.default_rng(0)
    parts = np.arange(3.0), np.arange(10.0, 13.0)
    return np.zeros((2, 3)), parts, step, True, rng.normal(size=(1, 2, 3)).astype(np.float32)


def test_loops_do_what_they_do_when_python_calls_them():
    expected, moved, calls, step = given(1.5), given(1.5), Calls(), np.array([1.5])
    for _ in range(3):
        calls.add(move, *moved[:2], Now(step), *moved[3:])
    for k in range(5):
        step[0] = k / 2
        found = [move(*expected[:2], k / 2, *expected[3:]) for _ in range(3)]
        assert calls.make() == [place for place, told in enumerate(found) if told != WELL]
        np.testing.assert_array_equal(moved[0], expected[0])


def test_calls_hold_the_arrays_that_they_find_by_their_addresses():
    calls, seen = Calls(), np.zeros((2, 3))
    calls.add(move, seen, (np.ones(3), np.ones(3)), 1.0, False, np.zeros((1, 2, 3), np.float32))
    _ = [np.full(3, 1e9) for _ in range(100)]  # which would lie where something was forgotten
    calls.make()
    assert (seen == 2).all()


def test_what_a_loop_raises_is_told():
    calls, number = Calls(), np.array([1])
    calls.add(share, np.zeros(1, np.int64), Now(number))
    assert calls.make() == []
    number[0] = 0
    with pytest.raises(ArithmeticError, match="cannot take"):
        calls.make()


@njit
def double(a):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] *= 2


@pytest.mark.parametrize("turn", [np.transpose, lambda a: a[:, 1:], lambda a: a[::-1, ::2]])
def test_arrays_may_lie_in_any_order(turn):
    calls, a = Calls(), np.arange(12.0).reshape(3, 4)
    expected = a.copy()
    turn(expected)[...] *= 2
    calls.add(double, turn(a))
    assert calls.make() == []
    np.testing.assert_array_equal(a, expected)
