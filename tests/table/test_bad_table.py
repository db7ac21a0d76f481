"""Every mistake in a table is told in one line, with its place; bad rows are out whole."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_table import read, written

from localprop.errors import ConfigError, StreamError
from localprop.table.table import LOOK, ColumnKind, Table


def complaint(path, **options):
    with pytest.raises(StreamError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    assert message.startswith(str(path))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


RUBBISH = random.Random(0).randbytes(5000)

WRONG_FILES = {
    "empty": (b"", "empty"),
    "blank": (b"\n\r\n\n", "no text"),
    "header only": (b"x,y\n", "a header and no rows"),
    "header without end": (b"x,y", "a header and no rows"),
    "same names": (b"x,y,x\n1,2,3\n", "fields 1 and 3 of the header"),
    "rubbish": (RUBBISH, "neither CSV nor Parquet"),
    "text of another code": ("größe,y\n1,2\n".encode("latin1"), "not UTF-8"),
    "UTF-16": ("x,y\n1,2\n".encode("utf-16"), "iconv -f UTF-16"),
    "UTF-16 without mark": ("x,y\n1,2\n".encode("utf-16-le"), "binary content"),
    "Excel": (b"PK\x03\x04" + RUBBISH, "Excel"),
    "gzip twice": (gzip.compress(gzip.compress(b"x\n1\n")), "compressed twice"),
    "false gzip": (b"\x1f\x8b" + RUBBISH, "gzip file is damaged"),
    "cut gzip": (gzip.compress(RUBBISH.hex().encode())[:1000], "gzip file is cut off"),
    "false zstd": (b"\x28\xb5\x2f\xfd" + RUBBISH, "zstd file is damaged"),
    "short Parquet": (b"PAR1", "Parquet file is cut off"),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_wrong_files(tmp_path, kind):
    content, words = WRONG_FILES[kind]
    path = written(tmp_path, content)
    assert words in complaint(path).problem
    assert words in complaint(path, on_bad_row="skip").problem


def test_random_bytes_named_gzip(tmp_path):
    error = complaint(written(tmp_path, RUBBISH, "a.csv.gz"))
    assert "nor gzip, as the name promises" in error.problem


def test_no_such_file_names_those_like_it(tmp_path):
    written(tmp_path, "x\n1\n", "prices.csv")
    assert "did you mean 'prices.csv'" in complaint(tmp_path / "price.csv").problem
    assert "no folder" in complaint(tmp_path / "none" / "price.csv").problem


def test_a_folder(tmp_path):
    assert "a folder" in complaint(tmp_path).problem


def test_a_file_that_must_not_be_read(tmp_path, monkeypatch):
    path = written(tmp_path, "x\n1\n")
    path.chmod(0)
    if os.access(path, os.R_OK):  # the superuser may read everything

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(type(path), "open", refuse)
    assert "no permission" in complaint(path).problem


def test_a_required_column_that_is_not_there(tmp_path):
    path = written(tmp_path, "price,label\n1,2\n")
    error = complaint(path, required=["lable"])
    assert "did you mean 'label'?" in error.problem
    assert "'price', 'label'" in error.problem


BAD_ROWS = {
    "too few fields": ("3", None, "1 field where the header has 3"),
    "too many fields": ("1,2,3,4", None, "4 fields where the header has 3"),
    "text among numbers": ("abc,true,2020-01-01", "x", "text 'abc' in a column that was numeric"),
    "number among booleans": ("1,3.5,2020-01-01", "b", "number '3.5' in a column of true and"),
    "text among times": ("1,true,soon", "t", "text 'soon' in a column of dates"),
    "no such day": ("1,true,2023-02-29", "t", "text '2023-02-29' in a column of dates"),
    "other code": (b"1,true,\xff", None, "not UTF-8"),
    "few fields of another code": (b"\xff", None, "not UTF-8"),
}
GOOD = b"1,true,2020-01-01\n"


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        (kind, at)
        for kind in BAD_ROWS
        for at in (4, LOOK + 20_000)
        # A column that is not all true and false where kinds are decided is text.
        if (kind, at) != ("number among booleans", 4)
    ],
)
def test_a_bad_row_stops_the_stream_or_is_left_out(tmp_path, kind, at):
    row, column, words = BAD_ROWS[kind]
    row = row if isinstance(row, bytes) else row.encode()
    path = written(tmp_path, b"x,b,t\n" + GOOD * at + row + b"\n" + GOOD * 5)
    error = complaint(path)
    assert words in error.problem
    assert "--on-bad-row skip" in error.problem
    assert (error.line, error.column) == (at + 2, column)
    values, lines, _, skipped = read(path, 10, on_bad_row="skip")
    assert skipped == 1
    assert lines == [*range(2, at + 2), *range(at + 3, at + 8)]
    assert values["x"] == [1.0] * (at + 5)
    whole = []  # pieces before the bad row arrive
    with Table(path) as table, pytest.raises(StreamError):
        whole.extend(len(piece.lines) for piece in table.pieces(2))
    assert whole == [2] * (at // 2)


def test_the_first_of_several_bad_rows_is_told(tmp_path):
    text = "x,y\n1,2\n1,b\n3\n4,5\na,6\n7,8\n9,10\n"
    assert complaint(written(tmp_path, text)).line == 3
    values, _, _, skipped = read(written(tmp_path, text), on_bad_row="skip")
    assert values == {"x": [1.0, 4.0, 7.0, 9.0], "y": [2.0, 5.0, 8.0, 10.0]}
    assert skipped == 3


def test_lines_are_counted_over_quoted_line_ends_and_blanks(tmp_path):
    text = 'x,y\n1,"a\nb"\n\n2,c\n3\n4,"d\r\n\r\ne"\nf,g\n5,h\n6,i\n'
    path = written(tmp_path, text)
    assert complaint(path).line == 6
    _, lines, _, skipped = read(path, on_bad_row="skip")
    assert (lines, skipped) == ([2, 5, 7, 11, 12], 2)


def test_a_file_cut_in_the_middle_of_a_letter(tmp_path):
    whole = "x,name\n1,a\n2,größe".encode()
    cut = whole[: whole.index("ö".encode()) + 1]
    error = complaint(written(tmp_path, cut))
    assert error.line == 3
    assert "not UTF-8" in error.problem


def test_a_quotation_mark_that_is_never_closed(tmp_path):
    path = written(tmp_path, 'x,y\n1,2\n3,"4\n5,6\n')
    error = complaint(path)
    assert error.line == 3
    assert "never closed" in error.problem
    assert read(path, on_bad_row="skip")[0] == {"x": [1.0], "y": [2.0]}


def test_a_row_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("localprop.table.delimited.LONGEST_ROW", 1 << 20)
    path = written(tmp_path, 'x,y\n1,2\n3,"' + "4,\n" * 500_000)
    for on_bad_row in ("stop", "skip"):
        error = complaint(path, on_bad_row=on_bad_row)
        assert error.line == 3
        assert "more than 1 MiB" in error.problem


def test_a_row_larger_than_a_block_is_read(tmp_path):
    path = written(tmp_path, "x,y\n1," + "a" * 1_000_000 + "\n2,b\n")
    values, *_ = read(path, 1)
    assert values["y"] == ["a" * 1_000_000, "b"]


def test_no_row_that_can_be_used(tmp_path):
    error = complaint(written(tmp_path, "x,y\n1\n2\n"), on_bad_row="skip")
    assert "none of its 2 rows" in error.problem
    assert error.line == 2


def test_parquet_that_is_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.arange(50_000.0) ** 2}), path, row_group_size=10_000)
    content = path.read_bytes()
    assert "cut off or damaged" in complaint(written(tmp_path, content[:-100], "b")).problem
    middle = len(content) // 2
    content = content[:middle] + RUBBISH + content[middle + len(RUBBISH) :]
    error = complaint(written(tmp_path, content, "c"))
    assert "damaged" in error.problem
    assert error.line
    assert error.line > 10_000


@pytest.mark.parametrize("value", [[1.0], {"a": 1}])
def test_parquet_with_a_nested_column(tmp_path, value):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1.0], "deep": [value]}), path)
    error = complaint(path)
    assert error.column == "deep"
    assert re.search("unsupported column type (list|struct)<", error.problem)


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()])
def test_parquet_with_text_of_another_code(tmp_path, kind):
    path = tmp_path / "a.parquet"
    column = pa.array([b"a", b"\xff"]).cast(kind, safe=False)
    pq.write_table(pa.table({"x": [1.0, 2.0], "name": column}), path)
    error = complaint(path)
    assert error.column == "name"
    assert "not UTF-8" in error.problem


def test_parquet_without_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), path)
    assert "no rows" in complaint(path).problem


def test_a_start_beyond_the_end(tmp_path):
    path = written(tmp_path, "x\n1\n2\n")
    assert read(path, start=2)[0] == {"x": []}
    assert "goes on from row 3" in complaint(path, start=3).problem


def test_options_without_sense(tmp_path):
    with pytest.raises(ConfigError, match="'stop' or 'skip'"):
        Table(written(tmp_path, "x\n1\n"), on_bad_row="ignore")


FIELDS = st.sampled_from(["1", "2.5", "", "a", "NA", "true", "2020-01-01", '"q\nr"', "x,y"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=20),
    cuts=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    blocks=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    looks=st.sampled_from([1, 5, 1000]),
    start=st.integers(0, 5),
)
def test_nothing_depends_on_pieces_blocks_or_a_resumed_start(
    tmp_path, monkeypatch, rows, cuts, blocks, looks, start
):
    monkeypatch.setattr("localprop.table.table.LOOK", looks)
    path = written(tmp_path, "p,q\n" + "".join(f"{a},{b}\n" for a, b in rows))

    def outcome(size, block, start):
        monkeypatch.setattr("localprop.table.source.FILE_BLOCK", block)
        try:
            return read(path, size, start, on_bad_row="skip")
        except StreamError as error:
            return str(error)

    first, second = (outcome(*at, 0) for at in zip(cuts, blocks, strict=True))
    assert first == second
    if isinstance(first, str) or start > len(first[1]):
        return
    later = outcome(cuts[0], blocks[1], start)
    assert later[1:] == (first[1][start:], *first[2:])
    for name in first[0]:
        whole, rest = first[0][name][start:], later[0][name]
        assert whole == rest or set(whole) | set(rest) == {None}


QUOTATION = st.text(st.sampled_from('",\n\ra'), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=QUOTATION, block=st.integers(1, 30))
def test_quotation_marks_are_read_as_the_csv_module_reads_them(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr("localprop.table.source.FILE_BLOCK", block)
    text = "p,q\nw,w\n" + text
    # The row after the end tells whether a mark was left open: then it is inside the last row,
    # which the csv module lets pass and a table does not.
    reader = csv.reader(io.StringIO(text + "\nz,z\n", newline=""))
    expected, start = [], 1
    for row in reader:
        expected.append((start, [value if value.strip() else None for value in row]))
        start = reader.line_num + 1
    expected = [(line, row) for line, row in expected[1:-1] if len(row) == 2]
    values, lines, *_ = read(
        written(tmp_path, text),
        3,
        on_bad_row="skip",
        types=dict.fromkeys(["p", "q"], ColumnKind.TEXT),
    )
    assert list(zip(lines, map(list, zip(*values.values(), strict=True)), strict=True)) == expected


DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=3)


def _whole_files():
    text = b"x,name,when\n" + b"".join(
        b'%d.5,"n\xc3\xb6 %d",2024-01-%02d\n' % (i, i % 7, i % 28 + 1) for i in range(300)
    )
    out = pa.BufferOutputStream()
    numbers = {"x": np.arange(300.0), "name": [str(i % 7) for i in range(300)]}
    pq.write_table(pa.table(numbers), out, row_group_size=100)
    zstd = pa.Codec("zstd").compress(text, asbytes=True)
    return [text, gzip.compress(text), zstd, out.getvalue().to_pybytes()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.sampled_from(_whole_files()),
    damage=DAMAGE,
    end=st.floats(0, 1),
    on_bad_row=st.sampled_from(["stop", "skip"]),
)
def test_whatever_is_damaged_the_answer_is_a_table_or_one_line(
    tmp_path, content, damage, end, on_bad_row
):
    for where, what in damage:
        at = int(where * len(content))
        content = content[:at] + what + content[at + len(what) :]
    path = written(tmp_path, content[: int(end * len(content)) or None])
    message = f"{path}"
    try:
        read(path, 50, on_bad_row=on_bad_row)
    except StreamError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert "\n" not in message
