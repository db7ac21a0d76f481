"""One checkpoint for Python and the command line, and files that are never mixed up."""

from __future__ import annotations

import csv
import subprocess
from functools import partial

import pytest
from command_line import command, in_process

from localprop import CheckpointError, Online, StreamError
from localprop.online import classification
from localprop.online.classification import MOST_CLASSES

ROWS = "".join(f"{k % 5},{'rst'[k % 3]},{'pq'[k % 5 > 2]}\n" for k in range(60))
TABLE = "a,b,y\n" + ROWS


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "t.csv").write_text(TABLE)

    return partial(in_process, monkeypatch, capfd)


LEARN = ("learn", "t.csv", "--target", "y", "--hidden", "2")
PREDICT = ("predict", "c.npz", "t.csv", "--json")


def read(name):
    with open(name, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("labels", "words", "classes"),
    [
        ([True, False], ["yes", "no"], [True, False]),
        ([True, False], ["true", "FALSE"], [True, False]),
        ([1, 0], ["1", "0"], [1, 0]),
        (["1", "0"], ["1", "0"], ["1", "0"]),
        (["p", "q"], ["p", "q"], ["p", "q"]),
    ],
)
def test_classes_of_a_model_are_known_again_in_a_file(run, tmp_path, labels, words, classes):
    model = Online("classification", hidden=(2,))
    for k in range(40):
        model.learn_one({"a": k % 5}, labels[k % 5 > 2])
    model.save("c.npz")
    lines = "".join(f"{k % 5},{words[k % 5 > 2]}\n" for k in range(40))
    (tmp_path / "t.csv").write_text("a,y\n" + lines)
    found = run(*LEARN, "--checkpoint", "c.npz", "--resume", "--predictions", "p.csv", "--json")
    assert found.status == 0, found.err
    assert found.result["score"] > 0.7
    assert Online.load("c.npz").classes == classes
    assert len(read("p.csv")[0]) == 3 + 2


def test_kinds_and_the_time_of_a_model_are_those_of_its_checkpoint(run, tmp_path):
    model = Online("regression", hidden=(2,), time="t")
    for k in range(30):
        model.learn_one({"t": float(k), "code": str(k % 3)}, k % 3 + 0.5)
    model.save("c.npz")
    lines = "".join(f"{k},{k % 3},{k % 3 + 0.5}\n" for k in range(30, 60))
    (tmp_path / "t.csv").write_text("t,code,y\n" + lines)
    found = run(*LEARN, "--checkpoint", "c.npz", "--resume", "--json")
    assert found.status == 0, found.err
    assert found.result["samples"] == 60
    again = Online.load("c.npz")
    assert again.kinds["code"].value == "text"
    assert set(again._encoder.inputs) == {"code = 0", "code = 1", "code = 2"}
    found = run(*PREDICT)
    assert (found.status, "left out" in found.err) == (0, False), found.err


def test_settings_that_contradict_the_checkpoint_are_refused(run):
    assert run(*LEARN, "--checkpoint", "c.npz", "--on-bad-row", "skip").status == 0
    again = (*LEARN, "--checkpoint", "c.npz", "--resume")
    found = run(*again, "--types", "a=text")
    assert (found.status, "column 'a' was number, is text" in found.err) == (1, True)
    found = run(*again, "--text", "a", "--types", "a=number")
    assert (found.status, "given as text and as a type" in found.err) == (2, True)
    with open("t.csv", "a") as file:
        file.write("x,y\n1,r,p\n")
    found = run(*again, "--json")  # and bad rows are left out, as they were
    assert (found.status, found.result["skipped_rows"]) == (0, 1)


def test_a_resumed_run_tells_the_settings_it_goes_on_with(run):
    options = ("--law", "least-action", "--checkpoint", "c.npz")
    assert run(*LEARN, *options).status == 0
    found = run("learn", "t.csv", "--target", "y", "--checkpoint", "c.npz", "--resume")
    assert "least-action" in found.out
    assert "│ 2 hidden" in found.out


def test_no_file_is_two_things_at_once(run, tmp_path):
    (tmp_path / "link.csv").symlink_to("t.csv")
    for name in ("t.csv", "link.csv"):
        found = run(*LEARN, "--predictions", name)
        assert (found.status, "is the source at once" in found.err) == (2, True)
        found = run(*LEARN, "--checkpoint", name)
        assert (found.status, "is not a localprop checkpoint" in found.err) == (1, True)
    assert (tmp_path / "t.csv").read_text() == TABLE
    found = run(*LEARN, "--checkpoint", "c.csv", "--predictions", "c.csv")
    assert (found.status, "is the checkpoint at once" in found.err) == (2, True)
    assert run(*LEARN, "--checkpoint", "c.npz").status == 0
    assert run(*PREDICT, "--predictions", "t.csv").status == 2
    assert (tmp_path / "t.csv").read_text() == TABLE


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_predictions_replace_predictions_and_nothing_else(run, tmp_path, ending):
    name = f"p{ending}"
    (tmp_path / name).write_text("my notes")
    found = run(*LEARN, "--predictions", name)
    assert (found.status, "holds something else than predictions" in found.err) == (2, True)
    assert (tmp_path / name).read_text() == "my notes"
    (tmp_path / name).unlink()
    for _ in range(2):
        assert run(*LEARN, "--predictions", name).status == 0


def test_truths_that_need_quotation_marks_are_written(run, tmp_path):
    assert run(*LEARN, "--checkpoint", "c.npz").status == 0
    (tmp_path / "t.csv").write_text('a,b,y\n1,r,p\n2,s,"x,y"\n3,t,"say ""so"""\n')
    assert run(*PREDICT, "--predictions", "o.csv").status == 0
    assert [row["truth"] for row in read("o.csv")] == ["p", "x,y", 'say "so"']


@pytest.mark.parametrize("out", ["p.csv", "-"])
@pytest.mark.parametrize("numbers", [False, True])
def test_rows_before_the_first_label_have_no_answer(run, tmp_path, out, numbers):
    late = "".join(f"{k % 5},\n" for k in range(70))
    late += "".join(f"{k % 5},{(k + 1) / 7 if numbers else 'pq'[k % 2]}\n" for k in range(30))
    words = ("learn", "-", "--target", "y", "--hidden", "2", "--predictions", out)
    done = run(*words, input=("a,y\n" + late).encode())
    assert done.status == 0, done.err
    text = done.out if out == "-" else (tmp_path / "p.csv").read_text()
    rows = list(csv.reader(text.splitlines()))
    assert rows[0][3:] == (["low", "high"] if numbers else ["p(p)", "p(q)"])
    assert len(rows) == 101
    assert all(set(row[1:3]) == {""} for row in rows[1:71])
    assert not any(float(p or 0) for row in rows[1:71] for p in row[3:])
    assert float(rows[-1][4 if numbers else 3]) >= 0


def test_a_failed_run_leaves_no_spool(run, tmp_path):
    with open("t.csv", "a") as file:
        file.write("x,y\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(*LEARN, "--predictions", "p.csv").status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_endless_pipe_of_questions_ends_with_its_reader(run, tmp_path):
    assert run(*LEARN, "--checkpoint", "c.npz").status == 0
    words = " ".join(f"'{word}'" for word in command("predict", "c.npz", "-"))
    line = f"(echo a,b; while true; do echo 1,r || exit 0; done) | {words} | head -n 2"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("line,prediction,truth,p(p),p(q)\n2,")


def test_a_pipe_decides_after_as_many_rows_as_it_is_told(run):
    words = ("learn", "-", "--target", "y", "--hidden", "2", "--decide-after", "2000")
    done = run(*words, input=("a,b,y\n" + 10 * ROWS).encode())
    assert "waiting for 2000 rows" in done.err.replace(",", "")


def test_a_model_replaces_no_file_that_is_no_checkpoint(tmp_path):
    model = Online("classification", hidden=(2,))
    model.learn_one({"a": 1.0}, "p")
    (tmp_path / "mine.csv").write_text("my notes")
    with pytest.raises(CheckpointError, match="is not a localprop checkpoint"):
        model.save(tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "my notes"
    model.save(tmp_path / "c.npz")
    model.save(tmp_path / "c.npz")


@pytest.mark.parametrize("most", [20, pytest.param(MOST_CLASSES, marks=pytest.mark.slow)])
def test_a_row_that_is_refused_leaves_nothing_behind(monkeypatch, most):
    monkeypatch.setattr(classification, "MOST_CLASSES", most)
    model = Online(time="t", hidden=(2,))
    with pytest.raises(StreamError):
        model.learn_one({"a": 5.0}, 3.5)  # which has no time
    model.learn_one({"a": 5.0, "t": 1.0}, "p")
    assert model.classes == ["p"]
    many = Online("classification", hidden=(2,))
    many.learn_many({"a": list(range(most))}, [f"c{k}" for k in range(most)])
    before = many.to_bytes()
    with pytest.raises(StreamError, match=f"more than {most} classes"):
        many.learn_one({"a": 5.0, "b": 1.0}, "one more")
    assert many.to_bytes() == before


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_numbers_beyond_any_float_are_missing(value):
    model = Online("regression", hidden=(2,))
    model.learn_one({"a": value}, 1.0)
    model.learn_one({"a": 1.0}, value)
    assert model.predict_one({"a": value}) is not None


@pytest.mark.parametrize("row", [{"a": "\ud800"}, {"\ud800": 1.0}])
def test_half_characters_are_refused(row):
    with pytest.raises(StreamError, match="no text that UTF-8 could write"):
        Online("regression", hidden=(2,)).learn_one(row, 1.0)
    with pytest.raises(StreamError, match="no class"):
        Online("classification", hidden=(2,)).learn_one({"a": 1.0}, float("inf"))
