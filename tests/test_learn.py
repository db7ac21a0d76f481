"""Learning a table: honest, the same again, whatever the columns, and through any interruption."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import time
from functools import partial

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from command_line import command, in_process, process

from localprop import checkpoint

KEYS = ["task", "samples", "metric", "score", "metrics", "baseline", "samples_per_second"]
KEYS += ["compile_seconds", "hops", "seed", "state_bytes", "peak_memory_bytes"]
KEYS += ["importance", "experts", "checkpoint", "predictions", "skipped_rows"]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs the command, in an empty folder, on a table given as text, with three hidden neurons."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def learn(content, *options, target="y", name="t.csv"):
        if content is not None:
            (tmp_path / name).write_text(content, encoding="utf-8")
        options = ("--target", target, "--hidden", "3", "--json", *options)
        outcome = in_process(monkeypatch, capfd, "learn", name, *options)
        assert outcome.status == 0, outcome.err
        assert outcome.out.count("\n") == 1
        assert "Traceback" not in outcome.err
        return outcome.result

    return learn


def long_table(rows=3300, seed=0):
    """Text columns, missing values, times, values and classes that come late."""
    rng, t = random.Random(seed), 0.0
    lines = ["t,a,colour,late,y,v"]
    for i in range(rows):
        t += rng.random() + 0.1
        a = rng.gauss(0, 1)
        colours = ["red", "green", "blue"] + ["gold"] * (i > 1200)
        colour = rng.choice([*colours, f"v{rng.randrange(50)}"] if i > 1800 else colours)
        late = "" if i < 1400 or rng.random() < 0.2 else f"{rng.random():.3f}"
        y = (
            "pq"[a + (colour == "red") > 0]
            if i < 1700 or rng.random() < 0.8
            else rng.choice("rstuv")
        )
        missing = [
            "" if rng.random() < 0.03 else x for x in (f"{a:.4f}", y, f"{np.sin(t / 9):.4f}")
        ]
        lines.append(f"{t:.3f},{missing[0]},{colour},{late},{missing[1]},{missing[2]}")
    return "\n".join(lines) + "\n"


def rows(n, *columns):
    return "".join(",".join(str(c(k)) for c in columns) + "\n" for k in range(n))


ODD = {
    "infinities": "a,y\n" + rows(40, lambda k: ["inf", "-inf", 1, ""][k % 4], lambda k: k % 2),
    "a constant": "a,y\n" + rows(40, lambda k: 7, lambda k: k % 2),
    "one class so far": "a,y\n" + rows(40, lambda k: k, lambda k: 1),
    "1e30": "a,y\n" + rows(40, lambda k: (k - 20) * 1e30, lambda k: k % 2),
    "1e-30": "a,y\n" + rows(40, lambda k: (k - 20) * 1e-30, lambda k: k % 2),
    "both": "a,y\n" + rows(40, lambda k: [1e30, 1e-30, -1e30, 0][k % 4], lambda k: k % 2),
    "a target of 1e30": "a,y\n" + rows(40, lambda k: k, lambda k: k * 1.1e30),
    "a target of 1e-30": "a,y\n" + rows(40, lambda k: k, lambda k: k * 1.1e-30),
    "a target beyond squaring": "a,y\n1,1e300\n" + rows(40, lambda k: k, lambda k: k * 1.1),
    "one row": "a,y\n1,2.5\n",
    "one class row": "a,y\n1,red\n",
    "only a target": "y\n" + rows(40, lambda k: k % 2),
    "all missing": "a,b,y\n" + rows(40, lambda k: "", lambda k: k, lambda k: k % 2),
    "only missing": "a,y\n" + rows(40, lambda k: "", lambda k: k % 2),
    "a thousand texts": "a,y\n" + rows(1000, lambda k: f"v{k}", lambda k: k % 2),
    "booleans": "a,y\n" + rows(40, lambda k: k, lambda k: ["true", "false"][k % 2]),
    "floats": "a,y\n" + rows(40, lambda k: k, lambda k: k / 7),
    "whole numbers": "a,y\n" + rows(40, lambda k: k, lambda k: k),
    "texts": "a,y\n" + rows(40, lambda k: k, lambda k: "xyz"[k % 3]),
    "late classes": "a,y\n" + rows(120, lambda k: k, lambda k: f"c{k // 10}"),
    "late gaps": "a,y\n" + rows(90, lambda k: "" if k > 70 else k, lambda k: k % 2),
    "late target": "a,y\n" + rows(1200, lambda k: k, lambda k: k % 2 if k > 1100 else ""),
}
EXPECTED = {
    "a target of 1e30": "regression",
    "a target of 1e-30": "regression",
    "a target beyond squaring": "regression",
    "one row": "regression",
    "floats": "regression",
    "whole numbers": "regression",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_columns_are_no_errors(run, name):
    result = run(ODD[name])
    assert list(result) == KEYS
    assert result["samples"] == ODD[name].count("\n") - 1
    assert result["task"] == EXPECTED.get(name, "classification")
    if name == "one row":
        assert result["score"] is result["baseline"]["score"] is None
    else:
        assert np.isfinite(result["score"])


def test_wide_tables_are_learned(run):
    names = [f"x{k}" for k in range(300)]
    rng = np.random.default_rng(0)
    lines = [",".join([*map(str, r), str(int(r[0] > 0))]) for r in rng.normal(size=(50, 300))]
    assert run("\n".join([",".join([*names, "y"]), *lines]))["samples"] == 50


@pytest.mark.parametrize(
    "target", ["[bold]", "[/]", "größe 日本", "two\nlines", r"$\no$", ":smile:"]
)
def test_any_name_is_a_name(run, tmp_path, target):
    quoted = f'"{target}"' if "\n" in target else target
    content = f"{quoted},[red]b\n" + rows(30, lambda k: k % 2, lambda k: "[x]")
    result = run(content, "--out", "out", target=target)
    assert result["samples"] == 30
    drawn = ("learning_curve", "experts", "importance")
    pictures = {f"{p}.{end}" for p in drawn for end in ("png", "svg")}
    names = {"report.md", "result.json", *pictures}
    assert {f.name for f in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / "result.json").read_text())["result"] == result
    assert (tmp_path / "out" / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert sum(result["experts"].values()) == pytest.approx(1)
    page = (tmp_path / "out" / "report.md").read_text("utf-8")
    first, *_ = sorted(result["experts"].items(), key=lambda item: -item[1])
    assert f"| experts | {first[0]} {100 * first[1]:.0f} %, " in page
    assert "](experts.png)" in page


def numbers(result):
    """What must be the same again."""
    varying = ("samples_per_second", "compile_seconds", "peak_memory_bytes", "checkpoint")
    return {key: value for key, value in result.items() if key not in varying}


def test_parquet_pipes_and_compressed_pipes_give_the_same_numbers(
    run, tmp_path, monkeypatch, capfd
):
    options = ("--target", "y", "--hidden", "3", "--json")
    run_piped = partial(in_process, monkeypatch, capfd, "learn", "-", *options)
    content = long_table(1500)
    expected = numbers(run(content))
    pq.write_table(pyarrow.csv.read_csv(tmp_path / "t.csv"), tmp_path / "t.parquet")
    assert numbers(run(None, name="t.parquet")) == expected
    for data in (content.encode(), gzip.compress(content.encode())):
        outcome = run_piped(input=data)
        assert numbers(outcome.result) == expected
        assert outcome.out.count("\n") == 1


def test_one_seed_one_result(run, tmp_path):
    content = long_table(1500)
    here = numbers(run(content))
    options = ("--target", "y", "--hidden", "3", "--json")
    there = process("learn", tmp_path / "t.csv", *options).result
    assert numbers(there) == here
    other = run(content, "--seed", "1")
    assert other["experts"] != here["experts"]


def test_more_rows_change_no_earlier_number(run):
    """A limit stops where the table would have ended."""
    content = long_table(1500)
    shorter = "\n".join(content.split("\n")[:1201]) + "\n"
    assert numbers(run(content, "--limit", "1200")) == numbers(run(shorter))


RUNS = {
    "classification": ("--target", "y", "--time", "t"),
    "regression": ("--target", "v", "--task", "regression"),
    "forecast": ("--target", "v", "--horizon", "5", "--time", "t"),
}


def assert_same_checkpoint(a, b):
    a, b = checkpoint.load(a), checkpoint.load(b)
    assert (a.position, a.extra, a.learner) == (b.position, b.extra, b.learner)
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name])


IN_PARTS = [k if k != "regression" else pytest.param(k, marks=pytest.mark.slow) for k in RUNS]


@pytest.mark.parametrize("kind", IN_PARTS)
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param((1000, 2000), marks=pytest.mark.slow),
        pytest.param((1500,), marks=pytest.mark.slow),
        (1001, 1002, 3299),
    ],
)
def test_a_run_in_parts_ends_with_the_same_bits(tmp_path, monkeypatch, capfd, kind, limits):
    table = tmp_path / "t.csv"
    table.write_text(long_table())
    options = (*RUNS[kind], "--hidden", "3", "--json", "--resume")

    def learn(name, *more):
        arguments = ("learn", table, *options, "--checkpoint", tmp_path / name, *more)
        outcome = in_process(monkeypatch, capfd, *arguments)
        assert outcome.status == 0, outcome.err
        return outcome.result

    whole = numbers(learn("whole.npz"))
    for limit in limits:
        learn("parts.npz", "--limit", limit, "--every", "100000")
    assert numbers(learn("parts.npz", "--every", "1700")) == whole
    assert_same_checkpoint(tmp_path / "whole.npz", tmp_path / "parts.npz")
    # And once more: nothing is left to learn, nothing changes.
    assert numbers(learn("parts.npz")) == whole
    assert_same_checkpoint(tmp_path / "whole.npz", tmp_path / "parts.npz")


# Every kind of run in the slow tests, one of them in the quick ones.
ONE_QUICK = [k if k == "classification" else pytest.param(k, marks=pytest.mark.slow) for k in RUNS]


@pytest.mark.parametrize("kind", ONE_QUICK)
def test_checkpoints_change_no_number_however_often_they_are_kept(
    tmp_path, monkeypatch, capfd, kind
):
    table, results = tmp_path / "t.csv", []
    table.write_text(long_table(1300))
    for every in (10_000, 100, 7):
        path = tmp_path / f"{every}.npz"
        options = (*RUNS[kind], "--hidden", "3", "--json", "--checkpoint", path, "--every", every)
        outcome = in_process(monkeypatch, capfd, "learn", table, *options)
        assert outcome.status == 0, outcome.err
        results.append(numbers(outcome.result))
        assert results[-1] == results[0]
        assert_same_checkpoint(path, tmp_path / "10000.npz")


def test_a_target_that_comes_late_calls_for_one_task_however_the_stream_is_cut(
    tmp_path, monkeypatch, capfd
):
    content = rows(1300, lambda k: np.sin(k), lambda k: k % 3 if k > 1090 else "")
    (tmp_path / "t.csv").write_text("a,y\n" + content)
    results = []
    for every in (10_000, 7):
        path = tmp_path / f"{every}.npz"
        options = ("--target", "y", "--hidden", "3", "--json", "--checkpoint", path)
        arguments = ("learn", tmp_path / "t.csv", *options, "--every", every)
        results.append(numbers(in_process(monkeypatch, capfd, *arguments).result))
    assert results[0] == results[1]
    assert_same_checkpoint(tmp_path / "7.npz", tmp_path / "10000.npz")


def started(table, path, every, *options):
    arguments = ("learn", table, *options, "--hidden", "3", "--json", "--every", every)
    full = command(*arguments, "--checkpoint", path, "--resume")
    return subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_change(job, path):
    """Waits for a new checkpoint, or for the end."""
    before = path.stat().st_mtime_ns if path.exists() else None
    while job.poll() is None:
        if path.exists() and path.stat().st_mtime_ns != before:
            return
        time.sleep(0.001)


@pytest.mark.parametrize(
    "kind", ["classification", pytest.param("forecast", marks=pytest.mark.slow)]
)
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, capfd, kind):
    table, whole, path = tmp_path / "t.csv", tmp_path / "whole.npz", tmp_path / "killed.npz"
    table.write_text(long_table(4000))
    options, rng = RUNS[kind], random.Random(1)

    def undisturbed(path):
        more = ("--hidden", "3", "--json", "--every", 250, "--checkpoint", path, "--resume")
        outcome = in_process(monkeypatch, capfd, "learn", table, *options, *more)
        assert outcome.status == 0, outcome.err
        return numbers(outcome.result)

    expected = undisturbed(whole)
    for _ in range(3):
        job = started(table, path, 250, *options)
        wait_for_change(job, path)
        time.sleep(rng.random() * 0.05)
        job.send_signal(signal.SIGKILL)
        job.communicate()
        if path.exists():
            checkpoint.load(path)  # whole, whenever it was killed
    assert undisturbed(path) == expected
    assert_same_checkpoint(whole, path)
    assert {f.name for f in tmp_path.iterdir()} == {"t.csv", "whole.npz", "killed.npz"}


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_keeps_all_of_it(run, tmp_path, monkeypatch, capfd, number):
    table, path = tmp_path / "t.csv", tmp_path / "c.npz"
    table.write_text(long_table(3300))
    arguments = ("learn", "-", "--target", "y", "--hidden", "3", "--json", "--checkpoint", path)
    pipe = subprocess.PIPE
    job = subprocess.Popen(command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe)
    lines = table.read_text().splitlines(keepends=True)
    assert job.stdin is not None
    job.stdin.write("".join(lines[:1501]).encode())  # one piece, and half of another
    job.stdin.flush()
    # Its own handlers come in together; Python itself catches one of the two from the start.
    while job.poll() is None and not _handles(job.pid, signal.SIGTERM):
        time.sleep(0.01)
    job.send_signal(number)
    out, err = job.communicate("".join(lines[1501:]).encode())
    assert job.returncode == 130, err.decode()
    assert out == b""
    assert b"go on with --resume" in err
    assert b"Traceback" not in err
    assert 0 < checkpoint.load(path).position < 3300
    again = (*arguments, "--resume")
    resumed = in_process(monkeypatch, capfd, *again, input=table.read_bytes()).result
    assert resumed["samples"] == 3300
    assert numbers(resumed) == numbers(run(None))


def _handles(pid, number):
    """Whether the process catches this signal."""
    try:
        with open(f"/proc/{pid}/status") as status:
            caught = next(int(s.split()[1], 16) for s in status if s.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return bool(caught >> (number - 1) & 1)
