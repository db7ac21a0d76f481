"""Items made ready beside the use of others: the same ones, in their order, one at a time."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from localprop.table.ahead import ahead


def test_what_goes_wrong_comes_after_all_that_went_right():
    def items():
        yield from (1, 2)
        raise ValueError("the third")

    found, coming = [], ahead(items())
    with pytest.raises(ValueError, match="the third"):
        found.extend(coming)
    assert found == [1, 2]
    assert list(coming) == []


def test_one_item_is_made_beside_the_one_in_use_and_no_more():
    made, threads = [], set()
    begun = [threading.Event() for _ in range(10)]

    def items():
        for k in range(10):
            threads.add(threading.get_ident())
            made.append(k)
            begun[k].set()
            yield k

    with closing(ahead(items())) as coming:
        for k in coming:
            begun[k + 1].wait(60)
            assert made == list(range(k + 2))
            if k == 5:
                break
    # Closed, it has waited for the one that was being made.
    assert made == list(range(7))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_as_many_items_are_made_ahead_as_was_asked_for():
    begun = [threading.Event() for _ in range(10)]

    def items():
        for event in begun:
            event.set()
            yield event

    with closing(ahead(items(), 3)) as coming:
        next(coming)
        assert all(event.wait(60) for event in begun[1:4])
        assert not any(event.is_set() for event in begun[4:])
    assert not any(event.is_set() for event in begun[4:])
