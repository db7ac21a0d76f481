"""The same rows give the same numbers through every face: command line, Online, River, sklearn."""

from __future__ import annotations

import csv
import itertools
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from command_line import in_process
from river import datasets

from localprop import Online, river
from localprop.online.classification import spelled
from localprop.sklearn import LocalClassifier, LocalRegressor

EXAMPLES = Path(__file__).parents[2] / "examples"
HIDDEN = (6, 5)


def phishing():
    """Numbers only, two classes."""
    with (EXAMPLES / "phishing.csv").open() as file:
        rows = list(itertools.islice(csv.DictReader(file), 250))
    classes = [row.pop("is_phishing") for row in rows]
    return [{k: float(v) for k, v in row.items()} for row in rows], classes


def segments():
    """Text, times, gaps, seven classes as they come, and rows whose class never comes."""
    rows, classes = [], []
    for k, (x, y) in enumerate(itertools.islice(datasets.ImageSegments(), 260)):
        row = {f"n{i}": float(v) for i, v in enumerate(list(x.values())[:5])}
        row["place"] = ["north", "east", "south", "a, b"][int(x["region-centroid-row"]) % 4]
        row["day"] = datetime(2024, 1 + k % 12, 1 + k % 28, k % 24)
        if k % 7 == 3:
            row["n1"] = None
        if k % 11 == 5:
            row["place"] = None
        rows.append(row)
        classes.append(None if k % 5 == 4 else y)
    return rows, classes


def approval():
    """A number to predict, with gaps in the columns and in the target."""
    rows, numbers = [], []
    for k, (x, y) in enumerate(itertools.islice(datasets.TrumpApproval(), 250)):
        row = {name: None if k % 13 == 7 and i == 2 else v for i, (name, v) in enumerate(x.items())}
        rows.append(row)
        numbers.append(None if k % 9 == 8 else y)
    return rows, numbers


STREAMS = {"phishing": phishing, "segments": segments, "approval": approval}


def one_by_one(model, rows, targets):
    """Returns what was predicted of every row before it was learned."""
    answers = []
    for x, y in zip(rows, targets, strict=True):
        answers.append(answer(model, x))
        if y is not None:
            model.learn_one(x, y)
    return answers


def answer(model, x):
    classes = getattr(model, "predict_proba_one", None)
    if isinstance(model, Online) and model.settings.task == "regression":
        return model.predict_one(x)
    return classes(x) if classes else model.predict_one(x)


def online(name):
    task = "regression" if name == "approval" else "classification"
    return Online(task, hidden=HIDDEN)


def by_command(monkeypatch, capfd, folder, name, rows, targets):
    """Returns the file of predictions, row by row."""
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*rows[0], "target"])
        writer.writerows([*x.values(), y] for x, y in zip(rows, targets, strict=True))
    task = online(name).settings.task
    out = folder / "p.csv"
    arguments = ("learn", folder / "t.csv", "--target", "target", "--task", task)
    sizes = ",".join(map(str, HIDDEN))
    kept = ("--checkpoint", folder / "c.npz")
    done = in_process(
        monkeypatch, capfd, *arguments, "--hidden", sizes, "--predictions", out, *kept
    )
    assert done.status == 0, done.err
    with out.open() as file:
        return list(csv.DictReader(file))


# One stream for every day where numbers come by the same way as classes.
FEWER = [n if n == "phishing" else pytest.param(n, marks=pytest.mark.slow) for n in STREAMS]
FEW = [n if n != "segments" else pytest.param(n, marks=pytest.mark.slow) for n in STREAMS]


@pytest.mark.parametrize("name", FEW)
def test_the_command_line_and_learn_one_give_the_same_predictions(
    name, tmp_path, monkeypatch, capfd
):
    rows, targets = STREAMS[name]()
    model = online(name)
    answers = one_by_one(model, rows, targets)
    found = by_command(monkeypatch, capfd, tmp_path, name, rows, targets)
    assert len(found) == len(rows)
    for line, expected in zip(found, answers, strict=True):
        if name == "approval":
            ours = float(line["prediction"]) if line["prediction"] else None
            assert ours == (None if expected is None else pytest.approx(expected, rel=1e-6))
            continue
        for label, p in expected.items():
            assert float(line[f"p({spelled(label)})"]) == pytest.approx(p, abs=1e-6)
    # Its checkpoint and that of the model answer alike, opened by either.
    probe = rows[-30:]
    assert Online.load(tmp_path / "c.npz").predict_many(probe) == model.predict_many(probe)


@pytest.mark.parametrize("name", FEWER)
def test_learn_many_and_river_are_learn_one_to_the_bit(name):
    rows, targets = STREAMS[name]()
    model, many = online(name), online(name)
    answers = one_by_one(model, rows, targets)
    for start, stop in [(0, 1), (1, 7), (7, 200), (200, len(rows))]:
        many.learn_many(rows[start:stop], targets[start:stop])
    adapter = (river.LocalRegressor if name == "approval" else river.LocalClassifier)(hidden=HIDDEN)
    theirs = one_by_one(adapter, rows, targets)
    if name == "approval":
        answers = [a or 0.0 for a in answers]  # River's convention before anything is known
    assert theirs == answers
    for other in (many, adapter.online):
        assert other.predict_many(rows[:40]) == model.predict_many(rows[:40])
        assert other.importance() == model.importance()


@pytest.mark.parametrize("name", FEWER)
def test_partial_fit_is_learn_one(name):
    rows, targets = STREAMS[name]()
    model = online(name)
    one_by_one(model, rows, targets)

    def table(places):
        return {key: np.array([rows[k][key] for k in places], dtype=object) for key in rows[0]}

    known = [k for k, y in enumerate(targets) if y is not None]
    kind = LocalRegressor if name == "approval" else LocalClassifier
    fitted = kind(hidden=HIDDEN, random_state=0)
    for part in (known[:90], known[90:]):
        fitted.partial_fit(table(part), [targets[k] for k in part])
    probe = range(len(rows) - 40, len(rows))  # some of which have no target
    if name == "approval":
        expected = [model.predict_one(rows[k]) for k in probe]
        np.testing.assert_allclose(fitted.predict(table(probe)), expected, rtol=1e-6)
        return
    for k, row in zip(probe, fitted.predict_proba(table(probe)), strict=True):
        expected = model.predict_proba_one(rows[k])
        for label, p in zip(fitted.classes_, row, strict=True):
            assert p == pytest.approx(expected[label], abs=1e-6)


def test_labels_may_come_late():
    rows, targets = phishing()
    late, prompt = Online(hidden=HIDDEN), Online(hidden=HIDDEN)
    for k, x in enumerate(rows):
        late.predict_proba_one(x)
        if k >= 14:
            late.learn_one(rows[k - 14], targets[k - 14])
    for x, y in zip(rows[:-14], targets[:-14], strict=True):
        prompt.learn_one(x, y)
    assert late.predict_proba_many(rows) == prompt.predict_proba_many(rows)


def frames():
    """Ways to hand over a table, each from columns of plain values."""
    return {
        "pandas": pandas.DataFrame,
        "polars": polars.DataFrame,
        "pyarrow": pyarrow.table,
        "mapping of arrays": lambda columns: {
            name: np.array(values, object if name != "size" else float)
            for name, values in columns.items()
        },
        "rows": lambda columns: [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ],
    }


@pytest.mark.parametrize("kind", frames())
def test_every_kind_of_table_gives_the_numbers_of_single_rows(kind):
    columns = {
        "size": [None if k % 7 == 2 else k % 5 / 2 for k in range(90)],
        "colour": [None if k % 11 == 3 else ["red", "blue", "green"][k % 3] for k in range(90)],
        "ripe": [k % 4 == 1 for k in range(90)],
        "picked": [datetime(2024, 1 + k % 12, 3, k % 24) for k in range(90)],
    }
    y = [k % 3 == 0 or k % 5 > 3 for k in range(90)]
    table = frames()[kind](columns)
    rows = frames()["rows"](columns)
    many, one = Online(hidden=HIDDEN), Online(hidden=HIDDEN)
    many.learn_many(table, y)
    for row, label in zip(rows, y, strict=True):
        one.learn_one(row, label)
    assert many.predict_proba_many(table) == [one.predict_proba_one(row) for row in rows]


def test_columns_vanish_and_come_back_and_their_order_is_nothing():
    rows, targets = segments()
    there, turned = Online(hidden=HIDDEN), Online(hidden=HIDDEN)
    for k, (x, y) in enumerate(zip(rows[:150], targets[:150], strict=True)):
        full = {name: None if name == "n3" and k > 50 else v for name, v in x.items()}
        there.learn_one(full, y)
        left = {name: v for name, v in full.items() if not (name == "n3" and k > 50)}
        turned.learn_one(dict(reversed(left.items())), y)
    assert there.predict_proba_many(rows[:20]) == turned.predict_proba_many(rows[:20])
