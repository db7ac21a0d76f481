"""What a table reads is what was written, whatever the file and the size of the pieces."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import gzip
import io
import math
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localprop.errors import ConfigError
from localprop.table.columns import ABSENT, MARKS
from localprop.table.table import LOOK, LOOK_AT_PIPE, ColumnKind, Table

NUMBER, TEXT, TIME = ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.TIME
BOOLEAN, UNDECIDED = ColumnKind.BOOLEAN, ColumnKind.UNDECIDED


def read(path, rows=1000, start=0, **options):
    """Returns every column as a list of plain values, None where missing, and the lines."""
    with Table(path, **options) as table:
        values = {name: [] for name in table.columns}
        lines, sizes = [], []
        for piece in table.pieces(rows, start):
            assert piece.row == start + sum(sizes)
            sizes.append(len(piece.lines))
            lines += piece.lines.tolist()
            for name, column in piece.columns.items():
                values[name] += plain(column)
        assert all(size == rows for size in sizes[:-1])
        return values, lines, table.kinds, table.skipped_rows


def plain(column):
    if column.kind is TEXT:
        assert column.values.dtype == np.int32
        firsts = list(dict.fromkeys(c for c in column.values.tolist() if c >= 0))
        assert firsts == list(range(len(column.categories)))
        return [column.categories[c] if c >= 0 else None for c in column.values]
    assert column.values.dtype == np.float64
    return [None if math.isnan(v) else v for v in column.values.tolist()]


def written(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# One column of numbers keeps numbers that are not in the way of text; a blank is no value.
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda s: s.strip() not in ABSENT + MARKS
)
numbers = st.floats(allow_nan=False)
rows_of_table = st.lists(
    st.tuples(st.none() | numbers, st.none() | words, st.sampled_from(["yes", "No", "", "T"])),
    min_size=1,
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=rows_of_table,
    size=st.integers(1, 40),
    start=st.integers(0, 10),
    block=st.integers(1, 64),
    delimiter=st.sampled_from(",;\t|"),
    dialect=st.sampled_from(
        # Unasked, the csv module quotes only those line ends that it writes itself.
        [
            ("\r\n", csv.QUOTE_MINIMAL),
            ("\r\n", csv.QUOTE_ALL),
            ("\n", csv.QUOTE_ALL),
            ("\r", csv.QUOTE_ALL),
        ]
    ),
)
def test_what_the_csv_module_writes_reads_back_the_same(
    tmp_path, monkeypatch, rows, size, start, block, delimiter, dialect
):
    monkeypatch.setattr("localprop.table.source.FILE_BLOCK", block)
    out = io.StringIO(newline="")
    end, quoting = dialect
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["x", "a name", "flag"])
    writer.writerows([[None if x is None else repr(x), w, f] for x, w, f in rows])
    path = written(tmp_path, out.getvalue())
    start = min(start, len(rows))
    values, lines, kinds, skipped = read(
        path, size, start, types=dict.fromkeys(["a name"], ColumnKind.TEXT)
    )
    assert values["x"] == [x for x, _, _ in rows[start:]]
    assert values["a name"] == [w for _, w, _ in rows[start:]]
    truth = {"yes": 1.0, "T": 1.0, "No": 0.0, "": None}
    assert values["flag"] == [truth[f] for _, _, f in rows[start:]]
    given_x = any(x is not None for x, _, _ in rows)
    assert kinds["x"] is (NUMBER if given_x else UNDECIDED)
    assert skipped == 0
    # Lines, by what the csv module says of the physical lines it has read.
    reader = csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter)
    starts = [1]
    for _ in reader:
        starts.append(reader.line_num + 1)
    assert lines == starts[1:-1][start:]


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zst", "parquet", "misnamed"])
def test_every_format_gives_the_same_table(tmp_path, kind):
    x = [0.5, None, -math.inf, 1e30, 1e-30] * 50
    y = ["red", "blue", None, "red", "green"] * 50
    text = "x,y\n" + "".join(
        f"{'' if a is None else a},{'NA' if b is None else b}\n" for a, b in zip(x, y, strict=True)
    )
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"x": x, "y": y}), path, row_group_size=60)
    elif kind == "csv.gz":
        # A gzip file may have several members.
        path.write_bytes(gzip.compress(text[:50].encode()) + gzip.compress(text[50:].encode()))
    elif kind in ("csv.zst", "misnamed"):
        path.write_bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))
    else:
        path.write_text(text)
    values, lines, kinds, _ = read(path, 7)
    assert values == {"x": x, "y": y}
    assert kinds == {"x": NUMBER, "y": TEXT}
    assert lines == list(range(1, 251) if kind == "parquet" else range(2, 252))


def test_kinds_are_those_of_most_values(tmp_path):
    text = (
        "n,b,d,t,w,e\n"
        "1,true,2024-02-29,2024-02-29T12:00:00Z,a,\n"
        " +2.5 ,No,1970-01-02,2024-02-29 12:00:00.25,1,NA\n"
        "-Infinity,F,?,2024-02-29T12:00+05:30,2024-01-01,null\n"
        "1e400,N/A,0001-01-01,1969-12-31T23:59:59.1234567,yes, nan \n"
    )
    values, _, kinds, _ = read(written(tmp_path, text))
    assert list(kinds.values()) == [NUMBER, BOOLEAN, TIME, TIME, TEXT, UNDECIDED]
    assert values["n"] == [1.0, 2.5, -math.inf, math.inf]
    assert values["b"] == [1.0, 0.0, 0.0, None]
    day = dt.datetime(2024, 2, 29, tzinfo=dt.UTC).timestamp()
    first = dt.datetime(1, 1, 1, tzinfo=dt.UTC).timestamp()
    assert values["d"] == [day, 86400.0, None, first]
    noon = day + 43200
    assert values["t"] == [noon, noon + 0.25, noon - 5.5 * 3600, -1 + 0.123456]
    assert values["w"] == ["a", "1", "2024-01-01", "yes"]
    assert values["e"] == [None] * 4


def test_columns_asked_for_as_text_stay_text(tmp_path):
    values, _, kinds, _ = read(
        written(tmp_path, "code,x\n007,1\n7,2\n"), types=dict.fromkeys(["code"], ColumnKind.TEXT)
    )
    assert values["code"] == ["007", "7"]
    assert kinds == {"code": TEXT, "x": NUMBER}


@pytest.mark.parametrize("size", [1, 3, 5000])
def test_a_column_without_values_is_undecided_until_one_appears(tmp_path, size):
    blank = LOOK + 500
    rows = ["1,,"] * blank + ["2,red,", "3,4,2020-01-01", "4,,"]
    path = written(tmp_path, "x,late,later\n" + "\n".join(rows) + "\n")
    with Table(path) as table:
        assert table.kinds == {"x": NUMBER, "late": UNDECIDED, "later": UNDECIDED}
        for piece in table.pieces(size):
            stop = piece.row + len(piece.lines)
            assert piece.columns["late"].kind is (TEXT if stop > blank else UNDECIDED)
            assert piece.columns["later"].kind is (TIME if stop > blank + 1 else UNDECIDED)
            if stop <= blank:
                assert np.isnan(piece.columns["late"].values).all()
    values, *_ = read(path, size, start=blank - 1)
    assert values["late"] == [None, "red", "4", None]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffx,y\n1,2\n3,4\n",
        "x,y\r\n1,2\r\n3,4\r\n",
        "x,y\r1,2\r3,4",
        "x;y\n1;2\n3;4",
        "x\ty\n1\t2\n3\t4\n",
        '"x","y"\n"1",2\n3,"4"',
        "\n\nx , y\n1 , 2\n\n3,4\n\n",
    ],
)
def test_dialects(tmp_path, text):
    values, lines, *_ = read(written(tmp_path, text))
    assert values == {"x": [1.0, 3.0], "y": [2.0, 4.0]}
    assert lines == ([4, 6] if text.startswith("\n") else [2, 3])


def test_columns_without_a_name_are_named_by_their_place(tmp_path):
    with Table(written(tmp_path, "x,,\n1,2,3\n")) as table:
        assert table.columns == ("x", "column2", "column3")


def test_quotation_marks_inside_a_field_are_letters(tmp_path):
    text = 'size,note\n5" pipe,a\n6,"b\nc, ""d"""\n7,e\n'
    values, lines, *_ = read(
        written(tmp_path, text), types=dict.fromkeys(["size"], ColumnKind.TEXT)
    )
    assert values == {"size": ['5" pipe', "6", "7"], "note": ["a", 'b\nc, "d"', "e"]}
    assert lines == [2, 3, 5]


def test_parquet_types(tmp_path):
    columns = {
        "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
        "large": pa.array(["b", "NA", "c"], pa.large_string()),
        "decimal": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")]),
        "date": pa.array([1, None, 2], pa.date32()),
        "nanoseconds": pa.array([1_500_000_000, None, 0], pa.timestamp("ns", "Europe/Rome")),
        "bool": pa.array([True, None, False]),
        "int": pa.array([2**63 - 1, None, -1]),
        "unsigned": pa.array([2**64 - 1, None, 0], pa.uint64()),
        "float": pa.array([math.inf, None, 0.5], pa.float32()),
        "nan": pa.array([math.nan, 1.0, 2.0]),
        "hour": pa.array([dt.time(1), None, dt.time(0, 0, 1)]),
        "span": pa.array([1500, None, 0], pa.duration("ms")),
        "spelled": pa.array(["1.5", None, "2"]),
        "nothing": pa.nulls(3),
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    values, lines, kinds, _ = read(path, 2)
    assert values == {
        "dictionary": ["a", None, "a"],
        "large": ["b", None, "c"],
        "decimal": [1.5, None, -2.25],
        "date": [86400.0, None, 172800.0],
        "nanoseconds": [1.5, None, 0.0],
        "bool": [1.0, None, 0.0],
        "int": [2.0**63, None, -1.0],
        "unsigned": [2.0**64, None, 0.0],
        "float": [math.inf, None, 0.5],
        "nan": [None, 1.0, 2.0],
        "hour": [3600.0, None, 1.0],
        "span": [1.5, None, 0.0],
        "spelled": [1.5, None, 2.0],
        "nothing": [None] * 3,
    }
    assert lines == [1, 2, 3]
    assert kinds["nothing"] is UNDECIDED
    assert (kinds["bool"], kinds["date"], kinds["spelled"]) == (BOOLEAN, TIME, NUMBER)
    values, *_ = read(path, types=dict.fromkeys(["int", "bool"], ColumnKind.TEXT))
    assert values["int"] == [str(2**63 - 1), None, "-1"]
    assert values["bool"] == ["true", None, "false"]


def test_progress_ends_at_one(tmp_path):
    path = written(tmp_path, "x\n" + "1\n" * 300_000)
    with Table(path) as table:
        shares = [table.progress() for _ in table.pieces(10_000)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1
    assert shares[-1] == 1.0


def test_a_table_shows_its_first_rows_before_any_is_delivered(tmp_path):
    content = "x,y\n1,a\n,b\n3,c\n" + "4,a\n" * 1000
    with Table(written(tmp_path, content)) as table:
        np.testing.assert_array_equal(table.first("x").values[:4], [1.0, np.nan, 3.0, 4.0])
        assert table.first("y").categories == ["a", "b", "c"]
        assert len(table.first("y").values) == 1000
        assert next(table.pieces(2)).columns["x"].values[0] == 1.0


def test_a_table_that_has_grown_is_known_again(tmp_path):
    def digests(content, rows=10):
        with Table(written(tmp_path, content)) as table:
            return table.digests(rows)

    kept = digests("x,y\n1,a\n2,b\n")
    assert len(set(kept)) == 2
    assert digests("x,y\n1,a\n2,b\n3,c\n", 2) == kept
    assert digests("x,y\n1,a\n2,d\n", 2) != kept
    assert digests("x,y\n1,a\n", 2) == kept[:1]
    assert len(digests("x\n" + "1\n" * 50)) == 10


def test_a_column_can_be_cut(tmp_path):
    with Table(written(tmp_path, "x,y\n1,a\n2,b\n3,\n4,c\n5,b\n")) as table:
        columns = next(table.pieces(5)).columns
    assert columns["x"].cut(1, 3).values.tolist() == [2.0, 3.0]
    y = columns["y"].cut(2)
    assert y.values.tolist() == [-1, 0, 1]
    assert y.categories == ["c", "b"]


def test_a_table_is_read_once(tmp_path):
    with Table(written(tmp_path, "x\n1\n")) as table:
        list(table.pieces(1))
        with pytest.raises(ConfigError, match="open it again"):
            list(table.pieces(1))
        with pytest.raises(ConfigError, match="at least 1"):
            list(table.pieces(0))


PRINT_PIECES = """
from localprop.table.table import Table
with Table("-") as table:
    for piece in table.pieces(10):
        print(piece.row, piece.columns["x"].values.sum(), table.progress(), flush=True)
"""


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input(compress):
    text = compress(b"x\n" + b"1\n" * 25)
    run = subprocess.run([sys.executable, "-c", PRINT_PIECES], input=text, capture_output=True)
    pieces = [line.split() for line in run.stdout.decode().splitlines()]
    sizes = [int(float(size)) for _, size, _ in pieces]  # how a pipe is cut is up to its writer
    assert sum(sizes) == 25
    assert max(sizes) <= 10
    assert [int(row) for row, *_ in pieces] == np.cumsum([0, *sizes[:-1]]).tolist()


def test_a_live_pipe_delivers_each_piece_as_its_rows_arrive():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PRINT_PIECES], stdin=pipe, stdout=pipe) as run:
        assert run.stdin
        assert run.stdout
        guard = threading.Timer(120, run.kill)  # a reader that waits for more would hang the test
        guard.start()
        run.stdin.write(b"x\n" + b"1\n" * LOOK_AT_PIPE)
        run.stdin.flush()
        seen = 0
        while seen < LOOK_AT_PIPE:
            row, size, _ = run.stdout.readline().split()
            assert int(row) == seen
            seen += int(float(size))
        for k in range(3):
            run.stdin.write(b"2\n")  # and each row by itself
            run.stdin.flush()
            assert run.stdout.readline() == b"%d 2.0 None\n" % (LOOK_AT_PIPE + k)
        guard.cancel()
