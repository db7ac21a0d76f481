"""Whatever instant a model is kept at: taken up again it gives the same numbers, to the bit."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest

from localprop import Online, checkpoint

ROWS, REVIEW = 60, 20
CASES = {
    "classification": {"task": "classification"},
    "regression": {"task": "regression", "time": "t"},
    "forecast": {"task": "forecast", "horizon": 3},
    "least action": {"task": "classification", "law": "least-action"},
}
SLOW = ("forecast", "least action")


def rows(kind):
    """Gaps, text, what is infinite, an outlier, a time, a class that comes late."""
    rng = np.random.default_rng(5)
    found = []
    for k in range(ROWS):
        row = {"a": float(rng.normal()), "b": "xyz"[k % 3], "c": float(k % 4), "t": k**1.1}
        row["a"] = {9: None, 17: 1e9, 23: float("inf"), 31: 1e300}.get(k, row["a"])
        y = float(rng.normal() + k / 10)
        if CASES[kind]["task"] == "classification":
            y = "pqr"[k % 2 if k < 40 else k % 3]
        found.append((row, y))
    return found


def learn(model, part):
    """Learns rows; returns what was said of each before it."""
    said = []
    for row, y in part:
        said.append(model.predict_one(row))
        model.learn_one(row, y)
    return said


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in CASES]
)
def test_kept_at_random_rows_and_taken_up_again_it_ends_the_same(kind):
    options = {**CASES[kind], "hidden": (3,), "review": REVIEW, "seed": 2}
    whole, stream = Online(**options), rows(kind)
    said = learn(whole, stream)
    pick = random.Random(kind)
    stops = sorted({1, *pick.sample(range(2, ROWS), 4)})  # also after the first row
    model, again, start = Online(**options), [], 0
    for stop in [*stops, ROWS]:
        again += learn(model, stream[start:stop])
        model = Online.restore(checkpoint.parse(Path("kept"), model.to_bytes()))
        start = stop
    assert again == said
    assert model.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("review", [0, REVIEW])
def test_no_row_is_stored_where_nothing_is_reviewed(review):
    """Of the numbers of a row no two stand together in the file, in any form."""
    model = Online("regression", hidden=(3,), review=review)
    for k in range(ROWS):
        model.learn_one({"a": 1 / (k + 3), "b": 7 / (k + 11)}, k / 13)
    data = model.to_bytes()
    last = [(1 / (k + 3), 7 / (k + 11)) for k in range(ROWS - REVIEW, ROWS)]
    together = sum(np.array(pair).tobytes() in data for pair in last)
    assert together == (REVIEW if review else 0)
    alone = sum(np.float64(a).tobytes() in data for pair in last for a in pair)
    assert alone >= 2 * REVIEW if review else alone == 0
    with np.load(io.BytesIO(data)) as archive:
        kept = {name: archive[name].size for name in archive.files if "review" in name}
        header = json.loads(archive["header"].tobytes())
    assert any(kept.values()) == bool(review)
    # What windows keep is each column by itself, sorted.
    for window in header["extra"]["online"]["encoder"]["windows"].values():
        assert all(part == sorted(part) for part in window["parts"])
