"""Predictions out: whole after any kill, live through a pipe, and for rows nobody learns."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pty
import random
import select
import signal
import subprocess
import threading
import time
from functools import partial

import pyarrow.csv
import pyarrow.parquet
import pytest
from command_line import command, in_process, unread

from localprop import Online

ROWS = 2400
QUICK = ("--target", "y", "--hidden", "4", "--task", "classification")


def table(rows, target=True):
    text = "a,b,y\n" if target else "a,b\n"
    for k in range(rows):
        label = f",{'uvw'[k * k % 7 % 3 if k > 700 else k % 2]}" if target else ""
        text += f"{k % 13},{'pqr'[k % 3]}{label}\n"
    return text


def read(path):
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    return pyarrow.csv.read_csv(path).to_pylist()


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command in this process, which is quicker."""
    monkeypatch.setenv("COLUMNS", "200")
    return partial(in_process, monkeypatch, capfd)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of predictions of runs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "t.csv").write_text(table(ROWS))
    found = {}
    for ending in (".csv", ".csv.gz", ".parquet"):
        path = folder / f"p{ending}"
        with pytest.MonkeyPatch.context() as patch:
            assert unread(patch, "learn", folder / "t.csv", *QUICK, "--predictions", path) == 0
        found[ending] = read(path), path.read_bytes()
    return found


def test_every_format_holds_the_same_rows(undisturbed):
    rows = undisturbed[".csv"][0]
    assert [row["line"] for row in rows] == list(range(2, ROWS + 2))
    assert list(rows[0]) == ["line", "prediction", "truth", "p(u)", "p(v)", "p(w)"]
    assert rows[0]["prediction"] in (None, "")
    assert rows[5]["p(w)"] == 0  # not met yet
    assert rows[-1]["p(u)"] + rows[-1]["p(v)"] + rows[-1]["p(w)"] == pytest.approx(1)
    for ending in (".csv.gz", ".parquet"):
        others = [{k: v or "" for k, v in row.items()} for row in undisturbed[ending][0]]
        assert others == [{k: v or "" for k, v in row.items()} for row in rows]


def kill_often(kills, run, undisturbed, tmp_path, ending):
    """Kills a run so often, at random instants, and lets it end."""
    (tmp_path / "t.csv").write_text(table(ROWS))
    path = tmp_path / f"p{ending}"
    job = ("learn", tmp_path / "t.csv", *QUICK, "--predictions", path)
    job += ("--checkpoint", tmp_path / "c.npz", "--every", "40", "--resume", "--json")
    pick, killed = random.Random(ending), 0
    for _ in range(kills):
        one = subprocess.Popen(command(*job), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        progress = tmp_path / f".p{ending}.rows"
        deadline, before = time.monotonic() + 60, size(progress)
        while one.poll() is None and size(progress) <= before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(pick.uniform(0, 0.05))
        if one.poll() is None:
            one.send_signal(signal.SIGKILL)
            killed += 1
        one.wait()
        assert not list(tmp_path.glob("p.*")) or path.read_bytes() == undisturbed[ending][1]
    assert run(*job).status == 0
    assert killed >= kills // 2
    assert path.read_bytes() == undisturbed[ending][1]


FORMATS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


@pytest.mark.parametrize("ending", [pytest.param(".csv", marks=pytest.mark.slow), ".parquet"])
def test_killed_at_random_instants_the_file_ends_the_same(run, undisturbed, tmp_path, ending):
    kill_often(3, run, undisturbed, tmp_path, ending)


@FORMATS
@pytest.mark.slow
def test_killed_thirty_times_the_file_ends_the_same(run, undisturbed, tmp_path, ending):
    kill_often(30, run, undisturbed, tmp_path, ending)


def size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def started(*arguments):
    pipe = subprocess.PIPE
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    # Unbuffered: select sees nothing of what a buffer has taken already.
    return subprocess.Popen(
        command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=env, bufsize=0
    )


def line_of(job, seconds=60):
    ready, _, _ = select.select([job.stdout], [], [], seconds)
    assert ready, "no answer"
    return job.stdout.readline().decode().rstrip("\n")


def test_in_a_slow_pipe_each_row_is_answered_before_the_next_is_sent(run):
    job = started("learn", "-", *QUICK, "--predictions", "-", "--decide-after", "20")
    lines = table(60).splitlines(keepends=True)
    job.stdin.write("".join(lines[:21]).encode())
    job.stdin.flush()
    found = [line_of(job) for _ in range(21)]
    for line in lines[21:]:
        job.stdin.write(line.encode())
        job.stdin.flush()
        found.append(line_of(job))
    job.stdin.close()
    assert job.wait(timeout=60) == 0
    assert b"waiting for 20 rows" in job.stderr.read()
    job.stdout.close()
    job.stderr.close()
    rows = list(csv.DictReader(io.StringIO("\n".join(found))))
    assert [row["line"] for row in rows] == [str(k) for k in range(2, 62)]
    # The same numbers as at any other speed.
    fast = run("learn", "-", *QUICK, "--predictions", "-", input=table(60).encode())
    assert fast.out.splitlines() == found


def test_a_reader_that_leaves_is_no_error():
    job = started("learn", "-", *QUICK, "--predictions", "-", "--decide-after", "5")
    job.stdin.write(table(30).encode())
    job.stdin.flush()
    line_of(job)
    job.stdout.close()
    try:
        for _ in range(50):
            job.stdin.write(b"1,p,u\n")
            job.stdin.flush()
            time.sleep(0.02)
    except BrokenPipeError:
        pass
    with contextlib.suppress(BrokenPipeError):
        job.stdin.close()
    assert job.wait(timeout=60) == 0
    assert b"Traceback" not in job.stderr.read()
    job.stderr.close()


def test_predict_answers_rows_that_have_no_target(run, tmp_path):
    (tmp_path / "t.csv").write_text(table(300))
    run("learn", tmp_path / "t.csv", *QUICK, "--checkpoint", tmp_path / "c.npz", "--json")
    before = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "new.csv").write_text(table(50, target=False))
    done = run("predict", tmp_path / "c.npz", tmp_path / "new.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    model = Online.load(tmp_path / "c.npz")
    X = [{"a": float(k % 13), "b": "pqr"[k % 3]} for k in range(50)]
    assert [row["prediction"] for row in rows] == model.predict_many(X)
    assert all(row["truth"] == "" for row in rows)
    for row, expected in zip(rows, model.predict_proba_many(X), strict=True):
        assert float(row["p(u)"]) == pytest.approx(expected["u"], abs=1e-12)
    assert (tmp_path / "c.npz").read_bytes() == before
    known = run("predict", tmp_path / "c.npz", tmp_path / "t.csv", "--json").result
    assert (known["rows"], known["scored"]) == (300, 300)
    (tmp_path / "gone.csv").write_text("a\n1\n")
    gone = run("predict", tmp_path / "c.npz", tmp_path / "gone.csv")
    assert gone.status == 1
    assert "column 'b': what was learned needs this column too" in gone.err


def test_rows_without_a_target_are_answered_and_change_nothing(run, tmp_path):
    lines = table(200).splitlines()
    gaps = [
        line.rsplit(",", 1)[0] + "," if k % 3 == 2 else line for k, line in enumerate(lines[1:])
    ]
    (tmp_path / "gaps.csv").write_text("\n".join([lines[0], *gaps]) + "\n")
    known = [line for k, line in enumerate(lines[1:]) if k % 3 != 2]
    (tmp_path / "known.csv").write_text("\n".join([lines[0], *known]) + "\n")
    files = {}
    for name in ("gaps", "known"):
        out = tmp_path / f"{name}.out.csv"
        run("learn", tmp_path / f"{name}.csv", *QUICK, "--predictions", out, "--json")
        files[name] = read(out)
    assert len(files["gaps"]) == 200
    assert all(row["prediction"] for row in files["gaps"][3:])
    learned = [row for row in files["gaps"] if row["truth"]]
    strip = lambda row: {k: v for k, v in row.items() if k != "line"}  # noqa: E731
    assert [strip(row) for row in learned] == [strip(row) for row in files["known"]]


def test_a_file_that_grew_is_continued_and_another_learned_from_its_start(run, tmp_path):
    options = (*QUICK, "--checkpoint", tmp_path / "c.npz", "--resume", "--json")
    path = tmp_path / "t.csv"
    for rows in (30, 80, 300):  # within the first thousand, by which kinds would be decided
        path.write_text(table(rows))
        done = run("learn", path, *options, "--predictions", tmp_path / "p.csv")
        assert done.result["samples"] == rows
    run("learn", path, *QUICK, "--predictions", tmp_path / "whole.csv", "--json")
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    tomorrow = tmp_path / "tomorrow.csv"
    tomorrow.write_text("y,b,a\nu,q,3\nv,p,4\n")  # in another order, too
    done = run("learn", tomorrow, *options, "--predictions", tmp_path / "p2.csv")
    assert "another table than the one before: learned from its start, with what 300" in done.err
    assert done.result["samples"] == 302
    assert [row["truth"] for row in read(tmp_path / "p2.csv")] == ["u", "v"]
    piped = run("learn", "-", *options, input=b"a,b,y\n9,p,u\n")
    assert piped.result["samples"] == 303


def test_predictions_that_cannot_be_written_are_refused_before_anything_is_read(run, tmp_path):
    (tmp_path / "t.csv").write_text(table(20))
    for name, words in [
        ("p.txt", "ends in .csv, .csv.gz, .parquet"),
        ("none/p.csv", "there is no folder"),
    ]:
        done = run("learn", tmp_path / "t.csv", *QUICK, "--predictions", tmp_path / name)
        assert done.status == 2
        assert words in done.err
    both = run("learn", tmp_path / "t.csv", *QUICK, "--predictions", "-", "--json")
    assert both.status == 2
    assert "both want standard output" in both.err


def test_predictions_go_to_a_file_while_progress_is_on_the_terminal(tmp_path):
    (tmp_path / "t.csv").write_text(table(60))
    ours, theirs = pty.openpty()
    written = []

    def read():
        while True:
            try:
                written.append(os.read(ours, 1 << 12))
            except OSError:  # how a terminal ends
                return

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    out = tmp_path / "out.csv"
    learn = command("learn", tmp_path / "t.csv", *QUICK, "--review", "0", "--predictions", "-")
    with out.open("wb") as file:
        env = {**os.environ, "JAX_PLATFORMS": "cpu", "COLUMNS": "120", "TERM": "xterm"}
        done = subprocess.run(learn, stdout=file, stderr=theirs, env=env)
    os.close(theirs)
    reading.join()
    assert done.returncode == 0
    assert len(out.read_text().splitlines()) == 1 + 60
    assert b"reading" in b"".join(written)
