"""A file that grows: each row is learned once, whole, and nothing changes behind the learner."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import command, in_process
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.table.digest import Digest
from localprop.table.table import Table


@pytest.fixture
def go_on(tmp_path, monkeypatch, capfd):
    """Writes the table and learns it, going on from the checkpoint if there is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(text, *options):
        if text is not None:
            (tmp_path / "t.csv").write_text(text)
        options = ("--target", "y", "--hidden", "3", "--json", "--resume", *options)
        return in_process(monkeypatch, capfd, "learn", "t.csv", "--checkpoint", "c.npz", *options)

    return run


def lines(start, stop):
    return "".join(f"{k % 5 / 2},{'rs'[k % 2]},{k % 7 / 4 + 0.1}\n" for k in range(start, stop))


HEAD = "a,b,y\n"


def test_a_last_line_without_its_end_waits(go_on, tmp_path):
    found = go_on(HEAD + lines(0, 30) + "0.5,r,1")
    assert found.result["samples"] == 30
    assert "the last line has no line end and may be half a row" in found.err
    whole = HEAD + lines(0, 30) + "0.5,r,1000.25\n" + lines(31, 50)
    grown = go_on(whole).result
    (tmp_path / "c.npz").unlink()
    afresh = go_on(whole).result
    assert grown["samples"] == afresh["samples"] == 50
    assert grown["score"] == afresh["score"]


def test_a_last_line_without_its_end_is_learned_where_nobody_goes_on(tmp_path, monkeypatch, capfd):
    (tmp_path / "t.csv").write_text(HEAD + lines(0, 30) + "0.5,r,1")
    options = ("--target", "y", "--hidden", "3", "--json")
    found = in_process(monkeypatch, capfd, "learn", tmp_path / "t.csv", *options)
    assert found.result["samples"] == 31


@pytest.mark.parametrize(
    "changed",
    [
        lines(0, 20) + lines(70, 170) + lines(20, 60),  # a hundred rows inserted
        lines(0, 20) + lines(21, 61),  # one taken away
        lines(0, 20) + lines(20, 60).replace("1.5,s,", "1.5,r,", 1),  # changed in place
    ],
    ids=["inserted", "removed", "changed"],
)
def test_a_table_that_was_changed_among_learned_rows_is_refused(go_on, changed, tmp_path):
    assert go_on(HEAD + lines(0, 40)).status == 0
    kept = (tmp_path / "c.npz").read_bytes()
    found = go_on(HEAD + changed)
    assert found.status == 1
    assert "its first 40 rows are not those that were learned" in found.err
    assert (tmp_path / "c.npz").read_bytes() == kept


def test_a_file_grows_piece_by_piece(go_on, tmp_path):
    for stop in (3, 4, 11, 40, 41):
        assert go_on(HEAD + lines(0, stop)).result["samples"] == stop
    parts = go_on(HEAD + lines(0, 60)).result
    (tmp_path / "c.npz").unlink()
    assert go_on(HEAD + lines(0, 60)).result["score"] == parts["score"]


VALUES = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5))


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=20), st.data())
def test_a_digest_does_not_depend_on_how_rows_come_but_on_each_field(rows, data):
    def digest(parts):
        made = Digest(2)
        for part in parts:
            made.update([pa.array([row[i] for row in part], pa.string()) for i in range(2)])
        return made.value()

    whole = digest([rows])
    cut = data.draw(st.integers(0, len(rows)))
    assert digest([rows[:cut], rows[cut:]]) == whole
    if rows:
        place, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 1))
        other = data.draw(VALUES.filter(lambda v: v != rows[place][column]))
        changed = [list(row) for row in rows]
        changed[place][column] = other
        assert digest([changed]) != whole


STRANGE_TIMES = {
    "nanoseconds": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
    "an unknown zone": pa.array([1_700_000_000, None], pa.timestamp("s", tz="Nowhere/At_All")),
    "beyond every calendar": pa.array([1 << 60, None], pa.timestamp("ms")),
    "a date beyond every calendar": pa.array([2**31 - 1, None], pa.date32()),
    "a duration": pa.array([1, None], pa.duration("ns")),
    "decimals": pa.array([None, None], pa.decimal128(38, 3)),
    "a category": pa.array(["p", None]).dictionary_encode(),
}


@pytest.mark.parametrize("name", STRANGE_TIMES)
def test_parquet_of_strange_times_is_read_and_known_again(tmp_path, name):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"t": STRANGE_TIMES[name], "y": [1.0, 2.0]}), path)
    found = []
    for _ in range(2):
        with Table(path) as table:
            (piece,) = table.pieces(10)
            found.append((table.digest(), piece.columns["t"].values.tolist()))
    assert json.dumps(found[0]) == json.dumps(found[1])
    assert np.isnan(piece.columns["t"].values[1]) or piece.columns["t"].values[1] == -1


def test_dates_are_seconds(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"t": [dt.date(1970, 1, 2)], "y": [1.0]}), path)
    with Table(path) as table:
        (piece,) = table.pieces(10)
    assert piece.columns["t"].values.tolist() == [86_400.0]


def test_a_limit_on_a_live_pipe_waits_for_no_more(tmp_path):
    words = command("learn", "-", "--target", "y", "--hidden", "3", "--limit", "20", "--json")
    with subprocess.Popen(
        words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdin.write((HEAD + lines(0, 25)).encode())
        run.stdin.flush()
        found = json.loads(run.stdout.read())  # ends, though the pipe stays open
    assert found["samples"] == 20


def test_numbers_that_no_float_can_square_are_said_to_be_missing(go_on):
    rows = "".join(f"{'1e160' if k % 10 == 3 else k % 5},r,{k % 7}.5\n" for k in range(40))
    found = go_on(HEAD + rows)
    assert "column 'a' has 4 numbers beyond 1e+150, taken as missing" in found.err
    assert found.result["task"] == "regression"


def test_long_rows_are_read_in_bounded_memory(tmp_path):
    """Two hundred megabytes of long fields take no more at a time than the bounds say."""
    with (tmp_path / "long.csv").open("w") as file:
        file.write("a,y\n")
        for k in range(400):
            file.write(f"{'x' * 500_000}{k},{k % 2}\n")
    code = (
        "import resource, sys\n"
        "from localprop.table.table import Table\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, rows = peak(), 0\n"
        "with Table(sys.argv[1], label='y') as table:\n"
        "    for piece in table.pieces(1000):\n"
        "        rows += len(piece.lines)\n"
        "print(rows, (peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "long.csv")], capture_output=True, text=True
    )
    rows, mebibytes = map(int, done.stdout.split())
    assert rows == 400
    assert mebibytes < 1024
