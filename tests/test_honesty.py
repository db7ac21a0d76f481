"""Every row is predicted before its target is used: other targets, the same predictions so far."""

from __future__ import annotations

import numpy as np
import pytest

from localprop.online.growing import Model
from localprop.online.learn import learn
from localprop.online.settings import Settings

ROWS = 130
VALUES = np.random.default_rng(0).normal(size=(ROWS, 3))


def answers(tmp_path, monkeypatch, targets, **options):
    """Learns the table with these targets; returns what the network answered, and the score."""
    traces, plain = [], Model.learn

    def spy(self, samples, record, done):
        trace = plain(self, samples, record, done)
        traces.append(trace[record[0]])
        return trace

    lines = [",".join([*map(str, x), str(y)]) for x, y in zip(VALUES, targets, strict=True)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    settings = Settings("y", hidden=(4,), **options)
    with monkeypatch.context() as patch:
        patch.setattr(Model, "learn", spy)
        _, score = learn(path, settings, checkpoint=tmp_path / "c.npz", overwrite=True, every=50)
    width = max(trace.shape[1] for trace in traces)
    return np.concatenate([np.pad(t, ((0, 0), (0, width - t.shape[1]))) for t in traces]), score


def with_change(targets, row, value):
    changed = list(targets)
    changed[row] = value
    return changed


CLASSES = [f"c{int(v)}" for v in np.abs(VALUES[:, 0] * 2)]
NUMBERS = VALUES[:, 0].cumsum().tolist()
CASES = {
    "classification": (CLASSES, "c0", {}),
    "a new class": (CLASSES, "new", {}),
    "regression": (NUMBERS, 3.5, {"task": "regression"}),
    "forecast": (NUMBERS, 9.5, {"task": "forecast", "horizon": 1}),
    "forecast 5": (NUMBERS, 9.5, {"task": "forecast", "horizon": 5}),
}


@pytest.mark.parametrize("row", [5, 60, 129])
@pytest.mark.parametrize("name", CASES)
def test_a_prediction_knows_neither_its_own_target_nor_a_later_one(
    tmp_path, monkeypatch, name, row
):
    targets, value, options = CASES[name]
    while targets[row] == value:
        row -= 1
    before, _ = answers(tmp_path, monkeypatch, targets, **options)
    after, _ = answers(tmp_path, monkeypatch, with_change(targets, row, value), **options)
    # What a forecast answers at a row is about H rows later, and uses the row's own value.
    upto = row if options.get("task") == "forecast" else row + 1
    known = min(before.shape[1], after.shape[1])
    np.testing.assert_array_equal(before[:upto, :known], after[:upto, :known])
    assert not after[:upto, known:].any()
    if row < ROWS - 1:
        assert (before[row + 1 :, :known] != after[row + 1 :, :known]).any()


def test_the_score_is_that_of_the_answers(tmp_path, monkeypatch):
    logits, score = answers(tmp_path, monkeypatch, CLASSES)
    known, right = [], 0
    for row, label in zip(logits, CLASSES, strict=True):
        right += bool(known) and known[int(np.argmax(row[: len(known)]))] == label
        if label not in known:
            known.append(label)
    assert score.samples == ROWS
    assert score.total == right

    answer, score = answers(tmp_path, monkeypatch, NUMBERS, task="regression")
    y = np.array(NUMBERS)
    errors = [abs(y[:t].mean() + y[:t].std() * answer[t, 0] - y[t]) for t in range(1, ROWS)]
    assert score.total == pytest.approx(sum(errors), rel=1e-9)
