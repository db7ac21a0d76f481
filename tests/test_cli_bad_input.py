"""Bad input at the command line: one clear line with place and remedy, nothing half-written."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import Outcome, command, in_process

from localprop import checkpoint

ROWS = [(k % 7 - 3, "red" if k % 3 else "blue", k % 2) for k in range(60)]
CSV = "a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in ROWS)
QUICK = ("--target", "y", "--hidden", "3", "--json")


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs the command in an empty folder that has a good table, `good.csv`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "good.csv").write_text(CSV)
    return lambda *arguments: in_process(monkeypatch, capfd, "learn", *arguments)


def everything(folder):
    """Every file of the folder with its content; folders too."""
    found = sorted(folder.rglob("*"))
    return {str(f.relative_to(folder)): f.is_file() and f.read_bytes() for f in found}


def assert_one_line(outcome, *words, status=1):
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("localprop: ")
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert outcome.status == status


def parquet(cut):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": np.arange(9000.0), "y": np.arange(9000) % 2}), sink)
    return sink.getvalue().to_pybytes()[:cut]


LETTERS = bytes.maketrans(b"0123456789", b"abcdefghij")
WORDS = [str(k).encode().translate(LETTERS) for k in range(1001)]
FILES = {
    "empty.csv": (b"", ["it is empty; a table has a header"]),
    "header.csv": (b"a,b,y\n", ["a header and no rows; a table has at least one row"]),
    "target.csv": (b"a,b,z\n1,2,3\n", ["there is no column 'y'", "'a', 'b', 'z'"]),
    "ragged.csv": (CSV.encode() + b"1,red\n", ["line 62", "2 fields where the header has 3"]),
    "text.csv": (CSV.encode() + b"x,red,1\n", ["line 62, column 'a'", "text 'x'", "--text a"]),
    "missing.csv": (b"a,y\n1,\n2,NA\n", ["column 'y': no value in any of its 2 rows", "--target"]),
    "infinite.csv": (b"a,y\n1,inf\n2,-inf\n", ["column 'y': no value in any of its 2 rows"]),
    "cut.parquet": (parquet(-100), ["cut off"]),
    "rubbish.csv.gz": (random.Random(0).randbytes(5000), ["nor gzip", "give a CSV or Parquet"]),
    "cut.csv.gz": (gzip.compress(CSV.encode())[:60], ["gzip file is cut off; fetch or compress"]),
    "character.csv": (CSV.encode() + "1,ö".encode()[:-1], ["line 62", "not UTF-8", "convert"]),
    "classes.csv": (
        b"a,y\n" + b"".join(b"1,%s\n" % b for b in WORDS),
        ["column 'y'", "more than 1000 classes, for 'baaa' is text", "write plain"],
    ),
    "twice.csv": (b"a,y,a\n1,2,3\n", ["line 1", "one name", "rename"]),
    "bracket.csv": (b"[bold],[/],:smile:\n1,2,3\n", ["'[bold]', '[/]', ':smile:'"]),
}


# A thousand classes, one by one; twenty are told of in test_learn_remarks.py.
LONG = ("classes.csv",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in FILES]
)
def test_bad_files(run, tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    before = everything(tmp_path)
    outcome = run(name, *QUICK, "--checkpoint", "c.npz", "--out", "out")
    assert_one_line(outcome, name, *words)
    assert everything(tmp_path) == before


def test_no_such_file_and_a_folder(run, tmp_path):
    (tmp_path / "folder").mkdir()
    before = everything(tmp_path)
    assert_one_line(run("god.csv", *QUICK), "god.csv: no such file; did you mean 'good.csv'?")
    assert_one_line(run("none/x.csv", *QUICK), "none/x.csv: no such file", "check the path")
    assert_one_line(run("folder", *QUICK), "folder: it is a folder; name a file in it")
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("y,t\n1,2\n2,1\n", ["--time", "t"], ["line 3, column 't'", "backwards", "sort the file"]),
        ("y,t\n1,noon\n2,dusk\n", ["--time", "t"], ["column 't'", "text", "leave --time away"]),
        ("y,t\n1,2\n2,1\n", ["--time", "u"], ["no column 'u'"]),
        ("y,t\n1,2\n2,1\n", ["--text", "u"], ["no column 'u'"]),
        ("y\nred\nblue\n", ["--task", "regression"], ["column 'y'", "regression needs numbers"]),
        ("y\nred\nblue\n", ["--horizon", "2"], ["column 'y'", "forecast needs numbers"]),
        ("y\n2024-01-01\n2024-01-02\n", [], ["column 'y'", "timestamp cannot be predicted"]),
    ],
)
def test_columns_that_do_not_fit_the_options(run, tmp_path, content, options, words):
    (tmp_path / "x.csv").write_text(content)
    assert_one_line(run("x.csv", *QUICK, *options), "x.csv", *words)


USAGE = {
    "task": (["--task", "guess"], ["auto, classification, regression, forecast"]),
    "law": (["--law", "newton"], ["hamiltonian, least-action"]),
    "no hops": (["--hops", "0"], ["hops is '0'; give from 1 to 1000, or auto"]),
    "many hops": (["--hops", "1000000"], ["give from 1 to 1000"]),
    "hops as Python spells them": (["--hops", "1_0"], ["--hops is '1_0'; give a number, or auto"]),
    "sizes as Python spells them": (["--hidden", "1_0"], ["--hidden is '1_0'; give sizes"]),
    "hops in words": (["--hops", "few"], ["--hops is 'few'; give a number, or auto"]),
    "a layer of none": (["--hidden", "4,0"], ["every layer has at least 1 neuron"]),
    "a layer too large": (["--hidden", "99999999999,9"], ["take smaller layers"]),
    "layers in words": (["--hidden", "big"], ["give sizes such as 32,32"]),
    "negative seed": (["--seed", "-1"], ["from 0 to 2^32 - 1"]),
    "seed too large": (["--seed", str(2**32)], ["from 0 to 2^32 - 1"]),
    "limit": (["--limit", "0"], ["limit is 0; give at least 1 row"]),
    "every": (["--every", "-5"], ["every is -5; give at least 1 row"]),
    "horizon": (["--horizon", "0"], ["horizon is 0; give from 1"]),
    "far horizon": (["--horizon", str(10**12)], ["give from 1 to 1,000,000"]),
    "horizon of classes": (["--task", "classification", "--horizon", "2"], ["drop one of the two"]),
    "bad row": (["--on-bad-row", "mend"], ["stop, skip"]),
    "resume": (["--resume"], ["name the file with --checkpoint"]),
    "time": (["--time", "y"], ["cannot be the time and the target at once"]),
    "out": (["--out", "good.csv/x"], ["is not a folder; name another folder"]),
}


@pytest.mark.parametrize("name", USAGE)
def test_options_without_sense(run, tmp_path, name):
    options, words = USAGE[name]
    before = everything(tmp_path)
    assert_one_line(run("good.csv", *QUICK, *options), *words, status=2)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["good.csv"], "missing option '--target'; see"),
        ([*QUICK], "missing argument 'SOURCE'; see"),
        (["good.csv", *QUICK, "--speed", "3"], "no such option: --speed"),
        (["good.csv", *QUICK, "--[/red]", "3"], "no such option: --[/red]; see"),
        (["good.csv", *QUICK, "--seed"], "option '--seed' requires an argument; see"),
        (["good.csv", *QUICK, "--seed", "one"], "invalid value for '--seed': "),
        (["good.csv", "more.csv", *QUICK], "(more.csv); see"),
    ],
)
def test_wrong_usage(run, tmp_path, arguments, words):
    before = everything(tmp_path)
    outcome = run(*arguments)
    assert_one_line(outcome, words, "see localprop", "--help", status=2)
    assert outcome.out == ""
    assert everything(tmp_path) == before


@pytest.fixture
def localprop(monkeypatch, capfd):
    return lambda *arguments: in_process(monkeypatch, capfd, *arguments)


def test_a_command_that_is_not_there_is_one_line(localprop):
    assert_one_line(localprop("lern"), "no such command 'lern'", "see localprop --help", status=2)
    assert_one_line(localprop("--lern"), "no such option: --lern", status=2)


def test_help_is_a_page_and_wrong_usage_is_not(localprop):
    bare, asked = localprop(), localprop("--help")
    assert (bare.status, asked.status) == (2, 0)
    for page in (bare, asked):
        assert "Usage: localprop" in page.out + page.err
        assert "reproduce" in page.out + page.err
    assert "Usage: localprop learn" in localprop("learn", "--help").out


def foreign(folder):
    (folder / "text").write_text("no checkpoint")
    (folder / "pickled").write_bytes(pickle.dumps([1]))
    (folder / "json").write_text(json.dumps({"format": checkpoint.FORMAT}))
    np.savez(folder / "other.npz", a=np.ones(2))
    return ["text", "pickled", "json", "other.npz", "good.csv"]


def test_a_foreign_file_is_neither_resumed_from_nor_overwritten(run, tmp_path):
    names = foreign(tmp_path)
    before = everything(tmp_path)
    for name in names:
        for more in ([], ["--resume"]):
            outcome = run("good.csv", *QUICK, "--checkpoint", name, *more)
            assert_one_line(outcome, f"{name}: is not a localprop checkpoint; delete it to start")
    assert everything(tmp_path) == before


@pytest.fixture
def kept(run, tmp_path):
    """A checkpoint of the good table."""
    assert run("good.csv", *QUICK, "--checkpoint", "c.npz").status == 0
    return tmp_path / "c.npz"


def test_a_damaged_checkpoint(run, kept, tmp_path):
    good = kept.read_bytes()
    places = random.Random(0).sample(range(len(good)), 6)
    changed = [bytearray(good) for _ in places]
    for data, place in zip(changed, places, strict=True):
        data[place] ^= 0x40
    for data in [good[:-30], good[: len(good) // 2], good[:3], b"", *changed]:
        kept.write_bytes(data)
        before = everything(tmp_path)
        outcome = run("good.csv", *QUICK, "--checkpoint", "c.npz", "--resume")
        if outcome.status == 0:  # a flip in a date does no harm
            kept.write_bytes(good)
            assert outcome.result["samples"] == len(ROWS)
            continue
        assert_one_line(outcome, "c.npz: is ", "delete it to start afresh, or take another file")
        assert everything(tmp_path) == before


def test_a_checkpoint_of_something_else(run, kept, tmp_path):
    (tmp_path / "wider.csv").write_text(CSV.replace("a,b,y", "a,c,y"))
    (tmp_path / "short.csv").write_text("".join(CSV.splitlines(keepends=True)[:2]))
    resume = ["--checkpoint", "c.npz", "--resume"]
    before = everything(tmp_path)
    outcome = run("good.csv", *QUICK, "--seed", "5", *resume)
    assert_one_line(outcome, "c.npz: made with other settings (seed was 0, is 5); use those")
    outcome = run("wider.csv", *QUICK, *resume)
    assert_one_line(outcome, "c.npz: made with another table: it has no column 'c'", "'b' besides")
    outcome = run("short.csv", *QUICK, *resume)
    assert_one_line(outcome, "short.csv", "it has 1 rows", "from row 60", "give the file")
    assert everything(tmp_path) == before


def test_a_checkpoint_where_none_can_be(run, tmp_path):
    before = everything(tmp_path)
    for path, words in [("none/c.npz", "does not exist; create it first"), (".", "is a folder")]:
        assert_one_line(run("good.csv", *QUICK, "--checkpoint", path), f"{path}: ", words)
    assert everything(tmp_path) == before


def test_a_disk_that_is_full_when_flushing(run, kept, tmp_path, monkeypatch):
    before = everything(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = run("good.csv", *QUICK, "--checkpoint", "c.npz", "--overwrite")
    monkeypatch.undo()
    assert_one_line(
        outcome, "c.npz: No space left on device", "last checkpoint is kept", "free some"
    )
    assert everything(tmp_path) == before
    assert checkpoint.load(kept).position == len(ROWS)


@pytest.mark.parametrize("size", [10, 2000])
def test_a_disk_that_is_full_when_writing(kept, tmp_path, size):
    before = everything(tmp_path)

    limit = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({size}, {size})); "
    limited = limit + "import runpy; runpy.run_module('localprop', run_name='__main__')"
    arguments = [sys.executable, "-c", limited, "learn", "good.csv", *QUICK, "--checkpoint"]
    arguments += ["c.npz", "--overwrite"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True)
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert_one_line(outcome, "c.npz: File too large; the last checkpoint is kept as it was")
    assert everything(tmp_path) == before


def test_standard_output_that_is_full(tmp_path):
    (tmp_path / "good.csv").write_text(CSV)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("learn", tmp_path / "good.csv", *QUICK), stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert b"localprop: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_bad_rows_are_skipped_and_counted(run, tmp_path):
    bad = "1,red\nx,red,1\n1,red,0,0\n"
    (tmp_path / "bad.csv").write_text(CSV + bad + "1,red,0\n")
    outcome = run("bad.csv", *QUICK, "--on-bad-row", "skip")
    assert outcome.status == 0
    assert outcome.result["skipped_rows"] == 3
    (tmp_path / "mended.csv").write_text(CSV + "1,red,0\n")
    mended = run("mended.csv", *QUICK)
    assert mended.result["samples"] == outcome.result["samples"] == 61
    assert mended.result["score"] == outcome.result["score"]


def test_a_bad_row_beyond_the_limit_does_not_matter(run, tmp_path):
    (tmp_path / "bad.csv").write_text(CSV + "1,red\n")
    outcome = run("bad.csv", *QUICK, "--limit", "60")
    assert (outcome.status, outcome.result["samples"]) == (0, 60)
