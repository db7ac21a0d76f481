"""Every row is predicted before its target is used: other targets, the same predictions so far."""

from __future__ import annotations

import numpy as np
import pytest

from localprop.online.growing import Model
from localprop.online.learn import learn
from localprop.online.run import Run
from localprop.online.settings import Settings
from localprop.online.task import Answers

ROWS = 130
VALUES = np.random.default_rng(0).normal(size=(ROWS, 3))


def answers(folder, targets, **options):
    """Learns the table with these targets; returns by name what was answered, and the score.

    `networks`: the outputs of all, `(rows, all outputs)`; `mixture`: what is said of a row.
    """
    traces, said, networks, take = [], [], Model.learn, Run._take

    def spy(self, samples, record):
        trace = networks(self, samples, record)
        traces.append(trace[record[0]])
        return trace

    def listen(self, found):
        said.append(found)
        take(self, found)

    lines = [",".join([*map(str, x), str(y)]) for x, y in zip(VALUES, targets, strict=True)]
    path = folder / "t.csv"
    path.write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    settings = Settings("y", hidden=(4,), review=30, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "learn", spy)
        patch.setattr(Run, "_take", listen)
        _, score = learn(path, settings, checkpoint=folder / "c.npz", overwrite=True, every=50)
    width = max(trace.shape[2] for trace in traces)
    room = [(0, 0), (0, 0)]
    outputs = np.concatenate([np.pad(t, [*room, (0, width - t.shape[2])]) for t in traces])
    mixed = Answers.joined(said)
    found = mixed.values[:, None] if mixed.probabilities is None else mixed.probabilities
    return {"networks": outputs, "mixture": found}, score, mixed.values


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What was answered to each table as it is."""
    folder, found = tmp_path_factory.mktemp("undisturbed"), {}

    def of(name):
        if name not in found:
            targets, _, options = CASES[name]
            found[name] = answers(folder, targets, **options)
        return found[name]

    return of


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


@pytest.mark.parametrize("row", [5, pytest.param(60, marks=pytest.mark.slow), 129])
@pytest.mark.parametrize("name", CASES)
def test_a_prediction_knows_neither_its_own_target_nor_a_later_one(
    tmp_path, undisturbed, name, row
):
    targets, value, options = CASES[name]
    while targets[row] == value:
        row -= 1
    before, _, _ = undisturbed(name)
    after, _, _ = answers(tmp_path, with_change(targets, row, value), **options)
    for kind, known in before.items():
        # What a network answers to a forecast's row is about H rows later, and uses the row's own
        # value; what is said of a row was said H rows before.
        upto = row + 1
        if horizon := options.get("horizon"):
            upto = row if kind == "networks" else row + horizon
        both = min(known.shape[-1], after[kind].shape[-1])
        np.testing.assert_array_equal(known[:upto, ..., :both], after[kind][:upto, ..., :both])
        assert not after[kind][:upto, ..., both:].any()
        if row < ROWS - 10:
            assert (known[upto:, ..., :both] != after[kind][upto:, ..., :both]).any()


def test_the_score_is_that_of_the_answers(undisturbed):
    _, score, values = undisturbed("classification")
    known = list(dict.fromkeys(CLASSES))
    assert score.samples == ROWS
    assert score.total == sum(
        known.index(label) == v for label, v in zip(CLASSES, values, strict=True)
    )
    for name in ("regression", "forecast 5"):
        _, score, values = undisturbed(name)
        errors = np.abs(values - NUMBERS)
        assert score.samples == np.isfinite(errors).sum() == ROWS - (5 if "5" in name else 1)
        assert score.total == pytest.approx(np.nansum(errors), rel=1e-9)
