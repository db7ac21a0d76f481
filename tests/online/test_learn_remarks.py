"""What a person is told about a table: how it was understood, and what looks like a mistake."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import in_process

from localprop import Online
from localprop.online import classification, defaults
from localprop.online.classification import MOST_CLASSES
from localprop.online.score import Score
from localprop.report.learning_curve import draw_learning_curve
from localprop.table.table import ColumnKind, Table


@pytest.fixture
def learn(tmp_path, monkeypatch, capfd):
    """Runs the command on a table given as text."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(content, *options):
        (tmp_path / "t.csv").write_text(content)
        arguments = ("learn", tmp_path / "t.csv", "--target", "y", "--hidden", "3", *options)
        outcome = in_process(monkeypatch, capfd, *arguments)
        assert "Traceback" not in outcome.err
        return outcome

    return run


def table(*columns, delimiter=",", header="a,y", rows=60):
    lines = [delimiter.join(str(c(k)) for c in columns) for k in range(rows)]
    return "\n".join([header.replace(",", delimiter), *lines]) + "\n"


def read(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    with Table(tmp_path / "t.csv") as opened:
        return next(opened.pieces(1000)).columns


@pytest.mark.parametrize("delimiter", ";\t|")
def test_decimal_commas_are_numbers_where_commas_separate_no_fields(tmp_path, delimiter):
    values = ["1,23", "-,5", " +4, ".replace(", ", ",0 "), "7", "1e2", "2,5E-1", "2.5", "", "1,234"]
    content = delimiter.join("ay") + "\n" + "".join(f"{v}{delimiter}1\n" for v in values)
    column = read(tmp_path, content)["a"]
    assert column.kind is ColumnKind.NUMBER
    expected = [1.23, -0.5, 4.0, 7, 100, 0.25, 2.5, np.nan, 1.234]
    np.testing.assert_array_equal(column.values, expected)


def test_thousands_are_not_taken_for_decimals(tmp_path, learn):
    content = "a;y\n" + "".join(f"{k},{k}00;1\n" for k in range(1, 9))
    assert read(tmp_path, content)["a"].kind is ColumnKind.TEXT
    mixed = "a;y\n" + "999;1\n" * 9 + "1,234;1\n"
    outcome = learn(mixed)
    assert outcome.status == 1
    assert "line 11, column 'a': text '1,234' in a column that was numeric" in outcome.err


def test_a_decimal_comma_after_missing_values_is_a_number(tmp_path):
    content = "a;y\n" + ";1\n" * 1500 + "1,5;1\n"
    (tmp_path / "t.csv").write_text(content)
    with Table(tmp_path / "t.csv") as opened:
        values = np.concatenate([piece.columns["a"].values for piece in opened.pieces(700)])
    assert values[-1] == 1.5


def test_text_that_looks_like_numbers_is_pointed_out(learn):
    content = table(lambda k: f"${k}.20", lambda k: k % 2)
    line = "localprop: column 'a' is read as text ('$0.20'); write plain numbers"
    assert line in learn(content).err
    assert learn(content, "--text", "a").err == ""
    assert learn(table(lambda k: f"item {k % 9}", lambda k: k % 2)).err == ""
    assert learn(table(lambda k: chr(97 + k % 26) * (k + 1), lambda k: k % 2)).err == ""


def test_the_summary_says_how_the_table_was_understood(learn):
    header, values = "a,b,c,t,y", (lambda k: k, lambda k: k * 2, lambda k: "pq"[k % 2])
    content = table(*values, lambda k: f"2024-01-{k % 28 + 1:02}", lambda k: k % 17, header=header)
    out = learn(content, "--task", "classification").out
    assert "2 numbers, 1 time, 1 text" in out
    assert "classification, 17 classes" in out
    assert "classification, 1 class so far" in learn(table(lambda k: k, lambda k: 7)).out


@pytest.mark.parametrize("most", [20, pytest.param(MOST_CLASSES, marks=pytest.mark.slow)])
def test_too_many_classes_of_text_are_called_text(learn, monkeypatch, most):
    monkeypatch.setattr(classification, "MOST_CLASSES", most)
    error = learn(table(lambda k: k, lambda k: f"${k}", rows=most + 100)).err
    assert f"more than {most} classes, for '${most}' is text" in error
    assert "--task regression" not in error


@pytest.mark.parametrize(
    "before", [pytest.param(lambda k: 0, marks=pytest.mark.slow), lambda k: k % 3]
)
@pytest.mark.parametrize("every", ["10000", "7"])
def test_classes_that_were_guessed_end_with_the_first_fraction(learn, tmp_path, before, every):
    content = table(lambda k: k, lambda k: before(k) if k < 1500 else 0.312, rows=1600)
    path = tmp_path / "c.npz"
    outcome = learn(content, "--every", every, "--checkpoint", path)
    assert outcome.status == 1
    place = f"{tmp_path / 't.csv'}, line 1502, column 'y': 0.312 is no class among whole numbers"
    assert place in outcome.err
    assert "--task regression" in outcome.err
    # Kept in the checkpoint, too.
    if path.exists():
        again = learn(content, "--checkpoint", path, "--resume")
        assert (again.status, again.err) == (1, outcome.err)
    assert learn(content, "--task", "classification").status == 0


def test_nothing_to_do_and_nothing_to_score_are_said(learn, tmp_path):
    content = table(lambda k: k, lambda k: k % 2, rows=300)
    options = ("--json", "--resume", "--checkpoint", tmp_path / "c.npz")
    learn(content, *options)
    before = (tmp_path / "c.npz").read_bytes()
    outcome = learn(content, *options, "--limit", "100")
    assert "nothing to do: the checkpoint holds 300 rows and the limit is 100" in outcome.err
    assert outcome.result["samples_per_second"] is None
    assert outcome.result["samples"] == 300
    assert "nothing to do: the checkpoint holds all 300 rows" in learn(content, *options).err
    assert (tmp_path / "c.npz").read_bytes() == before
    alone = learn("a,y\n1,2.5\n", "--json")
    assert "no row could be scored: a first number has none before it" in alone.err
    ahead = learn(content, "--json", "--horizon", "400")
    assert "no row could be scored: no row comes so far after" in ahead.err


def test_another_table_is_learned_from_its_start_and_a_longer_one_goes_on(learn, tmp_path):
    options = ("--json", "--resume", "--checkpoint", tmp_path / "c.npz")
    content = table(lambda k: k, lambda k: k % 2, rows=20)
    learn(content, *options)
    kept = (tmp_path / "c.npz").read_bytes()
    other = learn(table(lambda k: k + 1, lambda k: k % 2, rows=40), *options)
    assert other.result["samples"] == 20 + 40
    assert "another table than the one before: learned from its start" in other.err
    (tmp_path / "c.npz").write_bytes(kept)
    longer = learn(table(lambda k: k, lambda k: k % 2, rows=40), *options)
    assert longer.result["samples"] == 40
    assert "another table" not in longer.err
    fresh = learn(table(lambda k: k, lambda k: k % 2, rows=40), "--json")
    assert longer.result["score"] == fresh.result["score"]


@pytest.mark.parametrize(
    "key",
    [
        *("online", "online.settings", "online.encoder", "online.task", "online.inputs"),
        *("online.kinds", "table.digests", "table.columns", "table.position", "table.kinds"),
    ],
)
def test_a_checkpoint_with_wrong_contents_is_refused(learn, tmp_path, key):
    content, path = table(lambda k: k, lambda k: k % 2, rows=20), tmp_path / "c.npz"
    learn(content, "--checkpoint", path)
    with np.load(path) as archive:
        members = dict(archive)
    header = json.loads(members["header"].tobytes())
    for value in (7.5, "x", None):
        *path_to, last = key.split(".")
        place = header["extra"]
        for name in path_to:
            place = place[name]
        place[last] = value
        members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(path, **members)
        outcome = learn(content, "--checkpoint", path, "--resume")
        assert outcome.status == 1
        assert "c.npz: " in outcome.err
        assert outcome.err.count("\n") == 1


def test_a_single_scored_row_is_seen_in_the_picture(tmp_path):
    score = Score("accuracy", ["majority class"])
    score.update(np.array([1.0]), np.array([0.0]))
    _, svg = draw_learning_curve(tmp_path / "curve", score, "one row")
    empty = draw_learning_curve(tmp_path / "empty", Score("accuracy", ["majority class"]), "none")[
        1
    ]
    assert svg.read_text().count("<use ") > empty.read_text().count("<use ") + 3


@pytest.mark.slow
def test_an_expert_that_turns_infinite_is_told_once_with_its_row(learn, monkeypatch):
    monkeypatch.setitem(defaults.RECIPES, "fast", defaults.Recipe(3e38, 0.0, "new"))
    outcome = learn(table(lambda k: k % 7, lambda k: k % 3))
    (line,) = outcome.err.splitlines()
    first = []
    for rows in (1, 60):  # the row is that of the stream, however it is cut
        model, told = Online("classification", hidden=(3,)), []
        model.on_restart = lambda row, name, told=told: told.append((row, name))
        for start in range(0, 60, rows):
            part = range(start, min(60, start + rows))
            model.learn_many([{"a": k % 7} for k in part], [k % 3 for k in part])
            if rows == 1 and told:
                break
        first.append(told[0])
        assert rows == 1 or model.model.restarted == {"fast": len(told)}
    assert first[0] == first[1]
    row, name = first[0]
    told = f"expert '{name}' turned infinite at row {row} and was started again"
    assert line == f"localprop: {told}"
