"""Damaged tables and strange options, drawn with a seed: one clear line, or the right answer."""

from __future__ import annotations

import gzip
import io
import math
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import in_process

from localprop.errors import ConfigError, LocalpropError, StreamError
from localprop.online.settings import OnlineSettings, Settings
from localprop.table.table import ColumnKind, Table

pytestmark = pytest.mark.usefixtures("bounded")

ROWS = 60
NUMBER = ColumnKind.NUMBER
KINDS = {"t": ColumnKind.TIME, "x": NUMBER, "word": ColumnKind.TEXT, "y": NUMBER}
KINDS |= {"flag": ColumnKind.BOOLEAN}
STRANGE_FIELDS = ["", '"', '""', "\0", "1e400", "-1e-400", "NaN", "inf", "é", "١٢", "0x1F", "1_0"]
STRANGE_FIELDS += ["=1+1", "2024-02-30", "1;2", "true", "-", "a" * 5000, "🙂", "1,2", "\t", " 7 "]


def lines():
    """A table whose every row differs from the others, with all kinds of columns."""
    found = ["t,x,word,flag,y"]
    for k in range(ROWS):
        word = ["red", '"a, b"', "grün", ""][k % 4]
        day = f"2024-{1 + k % 12:02}-{1 + k % 28:02} {k % 24:02}:00"
        found.append(f"{day},{k / 8},{word},{'yes' if k % 3 else 'no'},{k * k % 101}.5")
    return found


def rows_of(data, folder, **options):
    """Returns the values of all rows, read in pieces of seven, each beside its line."""
    path = folder / "t"
    path.write_bytes(data)
    found = {}
    with Table(path, **options) as table:
        for piece in table.pieces(7):
            for i, line in enumerate(piece.lines.tolist()):
                row = []
                for column in piece.columns.values():
                    value = column.values[i]
                    text = column.categories and value >= 0
                    row.append(column.categories[value] if text else float(value))
                found[line] = row
    return found


def one_line(error):
    assert isinstance(error, StreamError)
    assert "\n" not in str(error).strip()
    assert len(str(error)) < 2000


def damage(text, pick):
    """Returns the text with some bytes flipped, cut, put in, taken away or written twice."""
    data = bytearray(text)
    for _ in range(pick.choice([1, 1, 2, 5])):
        place, length = pick.randrange(len(data)), pick.choice([1, 1, 3, 40])
        act = pick.choice(["flip", "put", "take", "twice", "cut"])
        if act == "flip":
            data[place] ^= 1 << pick.randrange(8)
        elif act == "put":
            data[place:place] = pick.choice(STRANGE_FIELDS).encode()[:200]
        elif act == "take":
            del data[place : place + length]
        elif act == "twice":
            data[place:place] = data[place : place + length]
        else:
            del data[max(place, 20) :]
        if not data:
            data = bytearray(b"x")
    return bytes(data)


def encodings(text):
    """The same table in each form that is read."""
    names = text[0].split(",")
    columns = {name: [str(k) for k in range(ROWS)] for name in names[:2]}
    columns |= {"x": [k / 3 for k in range(ROWS)]}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    plain = ("\n".join(text) + "\n").encode()
    return {
        "csv": plain,
        "crlf": plain.replace(b"\n", b"\r\n"),
        "semicolons": plain.replace(b",", b";"),
        "gzip": gzip.compress(plain, mtime=0),
        "parquet": file.getvalue(),
    }


def try_damaged(form, number, folder, start):
    """Reads damaged copies of a table; returns how many of them could not be read to the end."""
    whole, refused = encodings(lines())[form], 0
    for k in range(start, start + number):
        pick = random.Random(f"{form} {k}")
        try:
            rows_of(damage(whole, pick), folder, on_bad_row=pick.choice(["stop", "skip"]))
        except LocalpropError as error:
            one_line(error)
            refused += 1
    return refused


FORMS = ["csv", "crlf", "semicolons", "gzip", "parquet"]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_tables_are_read_or_refused_in_one_line(form, tmp_path):
    assert try_damaged(form, 70, tmp_path, 0) > 0


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", range(10))
def test_many_more_damaged_tables_are_read_or_refused_in_one_line(form, part, tmp_path):
    try_damaged(form, 70, tmp_path, 1000 + 70 * part)


def try_one_damaged_row(number, folder, start):
    """Damages a field or two of one row, and compares all others with an untouched copy."""
    whole = lines()
    expected = rows_of(("\n".join(whole) + "\n").encode(), folder, types=KINDS)
    for k in range(start, start + number):
        pick, changed = random.Random(f"row {k}"), list(whole)
        row = pick.choice([i for i in range(1, len(whole)) if '"' not in whole[i]])
        fields = changed[row].split(",")
        for _ in range(pick.choice([1, 1, 2])):
            field = pick.choice([s for s in STRANGE_FIELDS if s.count('"') % 2 == 0])
            fields[pick.randrange(len(fields))] = field
        if pick.random() < 0.2:
            fields = fields[: pick.randrange(1, len(fields))]
        changed[row] = ",".join(fields)
        data = ("\n".join(changed) + "\n").encode()
        found = rows_of(data, folder, on_bad_row="skip", types=KINDS)
        for line, values in expected.items():
            if line == row + 1:
                continue
            assert line in found, (k, line, changed[row])
            for a, b in zip(found[line], values, strict=True):
                same = a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
                assert same, (k, line, changed[row])


def test_a_damaged_row_changes_no_other(tmp_path):
    try_one_damaged_row(150, tmp_path, 0)


@pytest.mark.slow
def test_many_more_damaged_rows_change_no_other(tmp_path):
    try_one_damaged_row(1500, tmp_path, 1000)


ODD_NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "1e3",
    "1.5",
    "nan",
    "inf",
    "",
    "x",
    "1_0",
    "99999999999999999999",
]
OPTIONS = {
    "--task": ["auto", "classification", "regression", "forecast", "x", ""],
    "--horizon": ODD_NUMBERS,
    "--law": ["hamiltonian", "least-action", "x", ""],
    "--time": ["t", "x", "word", "nowhere", ""],
    "--text": ["x", "word", "nowhere", ""],
    "--types": ["x=number", "x=time", "word=number", "x", "=", "x=", "nowhere=text", "x=colour"],
    "--decide-after": ODD_NUMBERS,
    "--hops": [*ODD_NUMBERS, "auto"],
    "--hidden": ["2", "2,2", "0", "-3", "2,,2", "", "x", "1e9", "999999999", "2,1.5"],
    "--seed": ODD_NUMBERS,
    "--limit": ODD_NUMBERS,
    "--every": ODD_NUMBERS,
    "--on-bad-row": ["stop", "skip", "x", ""],
    "--predictions": ["p.csv", "p.parquet", "p.txt", "nowhere/p.csv", ".", ""],
    "--out": ["report", "t.csv", ""],
    "--target": ["y", "x", "word", "flag", "t", "nowhere", ""],
}


def try_options(number, start, monkeypatch, capfd, folder):
    """Runs the command with options drawn at random; returns how many sets were taken."""
    (folder / "t.csv").write_text("\n".join(lines()[:13]) + "\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "300")
    taken = 0
    for k in range(start, start + number):
        pick = random.Random(f"options {k}")
        chosen = {"--target": "y", "--hidden": "2"}
        for name in pick.sample(list(OPTIONS), pick.choice([1, 2, 3])):
            chosen[name] = pick.choice(OPTIONS[name])
        words = [word for pair in chosen.items() for word in pair]
        outcome = in_process(monkeypatch, capfd, "learn", "t.csv", *words, "--json")
        assert outcome.status in (0, 1, 2), words
        assert "Traceback" not in outcome.err, (words, outcome.err)
        if outcome.status:
            last = [line for line in outcome.err.splitlines() if line.strip()][-1]
            assert last.startswith("localprop: "), (words, last)
        else:
            assert outcome.result["samples"] >= 1
            taken += 1
    return taken


@pytest.mark.parametrize("part", range(4))
def test_options_are_taken_or_refused_in_one_line(part, monkeypatch, capfd, tmp_path):
    assert try_options(25, 25 * part, monkeypatch, capfd, tmp_path) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(40))
def test_many_more_options_are_taken_or_refused_in_one_line(part, monkeypatch, capfd, tmp_path):
    try_options(25, 1000 + 25 * part, monkeypatch, capfd, tmp_path)


ODD = [None, True, False, 0, -1, 1, 2.5, math.nan, math.inf, 10**30, "", "x", "auto", b"x", (), []]
ODD += [
    (2,),
    [2, 2],
    (0,),
    ("a",),
    {"a": 1},
    {1},
    1j,
    object(),
    range(2),
    "classification",
    "number",
    "hamiltonian",
    "stop",
]
FIELDS = {
    OnlineSettings: ["task", "horizon", "law", "time", "hops", "hidden", "seed"],
    Settings: [],
}
FIELDS[Settings] = [*FIELDS[OnlineSettings], "text", "types", "decide_after", "on_bad_row"]


def settings_of_odd_values():
    """Makes settings with one odd value each; returns what was raised but a line in words."""
    wrong = []
    for kind, names in FIELDS.items():
        for name in names:
            taken = 0
            for value in ODD:
                given = {"target": "y"} if kind is Settings else {}
                try:
                    kind(**given, **{name: value})
                    taken += 1
                except ConfigError as error:
                    if "\n" in str(error):
                        wrong.append((kind, name, value, str(error)))
                except Exception as error:
                    wrong.append((kind, name, value, repr(error)))
            if not 0 < taken < len(ODD):
                wrong.append((kind, name, taken))
    return wrong


def test_settings_are_taken_or_refused():
    # In a process of its own, in which no types are checked but by the settings themselves.
    code = "import test_strange_input as t; print(*t.settings_of_odd_values(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
