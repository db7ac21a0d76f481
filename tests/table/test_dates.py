"""Dates as the world writes them are the moments that `datetime` says."""

from __future__ import annotations

import datetime as dt
import email.utils

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprop.errors import ConfigError, StreamError
from localprop.online.settings import ORDERS as SPELLED_ORDERS
from localprop.online.settings import Settings
from localprop.table.dates import ORDERS, PIVOT, parse, read
from localprop.table.table import ColumnKind, Table

TIME, TEXT, NUMBER = ColumnKind.TIME, ColumnKind.TEXT, ColumnKind.NUMBER
UTC = dt.UTC
CLOCKS = ["", " %H:%M", "T%H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", ", %I:%M:%S %p", " %H:%M:%SZ"]
DATES = {
    "DMY": ["%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d. %m. %Y", "%d/%m/%y", "%d.%m.%y"],
    "MDY": ["%m/%d/%Y", "%m-%d-%Y", "%m.%d.%Y", "%m/%d/%y", "%m-%d-%y"],
    "YMD": ["%y/%m/%d", "%y-%m-%d", "%y.%m.%d"],
    None: [
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%Y. %m. %d.",
        "%Y年%m月%d日",
        "%d %b %Y",
        "%d-%b-%y",
        "%d %B %Y",
        "%a, %d %b %Y",
        "%A %d. %B %Y",
        "%b %d, %Y",
        "%B %d %Y",
        "%Y-%b-%d",
    ],
}
WRITTEN = [(order, date, clock) for order in DATES for date in DATES[order] for clock in CLOCKS]
# Two digits of a year are those of 1969 to 2068.
moments = st.datetimes(dt.datetime(1969, 1, 1), dt.datetime(2068, 12, 31, 23, 59, 59))


def seconds(moment):
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def precise_to(moment, form):
    """The part of a moment that a format holds."""
    full = "%S" in form
    micro = moment.microsecond if "%f" in form else 0
    moment = moment.replace(microsecond=micro, second=moment.second if full else 0)
    return moment if "%M" in form else moment.replace(hour=0, minute=0)


def one(text, order=None):
    values, fits = parse(pa.array([text]), order)
    assert fits[0] == ~np.isnan(values[0])
    return values[0] if fits[0] else None


@settings(deadline=None, max_examples=60)
@given(moments=st.lists(moments, min_size=1, max_size=5), form=st.sampled_from(WRITTEN))
def test_what_datetime_writes_reads_back(moments, form):
    order, date, clock = form
    texts = [moment.strftime(date + clock) for moment in moments]
    values, fits = parse(pa.array([*texts, None]), order)
    assert fits.tolist() == [True] * len(moments) + [False]
    # Seconds as floats, of whole microseconds: both sides round once.
    expected = [seconds(precise_to(moment, date + clock)) for moment in moments]
    np.testing.assert_allclose(values[:-1], expected, rtol=0, atol=2e-6)


@settings(deadline=None, max_examples=100)
@given(moment=moments, minutes=st.integers(-14 * 60, 14 * 60), form=st.sampled_from(range(4)))
def test_zones_are_those_of_datetime(moment, minutes, form):
    moment = moment.replace(microsecond=0, tzinfo=dt.timezone(dt.timedelta(minutes=minutes)))
    texts = [
        moment.isoformat(),
        moment.strftime("%d/%m/%Y %H:%M:%S %z"),
        email.utils.format_datetime(moment),
        moment.strftime("%d/%b/%Y:%H:%M:%S %z"),
    ]
    assert one(texts[form], "DMY") == moment.timestamp()


@settings(deadline=None, max_examples=100)
@given(numbers=st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999)))
def test_only_days_of_the_calendar_are_dates(numbers):
    a, b, year = numbers
    try:
        expected = seconds(dt.datetime(year, b, a))
    except ValueError:
        expected = None
    assert one(f"{a}/{b}/{year:04}", "DMY") == expected


def test_years_of_two_digits_turn_at_the_pivot_of_posix():
    for year in range(100):
        text = f"01/02/{year:02}"
        assert one(text, "DMY") == seconds(dt.datetime.strptime(text, "%d/%m/%y"))
    assert PIVOT == 69


def test_other_ways_to_write_a_moment():
    noon = seconds(dt.datetime(2024, 5, 31, 12, 30))
    for text in (
        "2024-05-31T12:30:00Z",
        "2024-05-31 14:30+02:00",
        "20240531T123000Z",
        "20240531T1230",
        "20240531123000",
        "Fri May 31 12:30:00 2024",
        "Fri May 31 12:30:00 UTC 2024",
        "Friday, 31st of May 2024 12:30 p.m.",
        "31/MAY/2024:14:30:00 +0200",
        "2024년 5월 31일 12:30",
    ):
        assert one(text) == noon, text
    may = seconds(dt.datetime(2024, 5, 1))
    assert [one(text) for text in ("2024-05", "2024/5", "May 2024")] == [may] * 3
    for text in ("12:30", "1/2-2024", "May 31 12:05:06", "2024-13-01", "31/05/2024 24:00", "2024"):
        assert one(text) is None, text
    assert one("31/05/2024 13:00 PM", "DMY") is None
    assert one("03/04/2024") is None  # nobody said which is the day


def test_the_majority_of_what_is_not_ambiguous_decides():
    ambiguous = ["03/04/2024"] * 50
    assert read(pa.array([*ambiguous, "13/04/2024", "14/05/2024", "04/15/2024"])).order == "DMY"
    assert read(pa.array([*ambiguous, "04/13/2024", "05/14/2024", "15/04/2024"])).order == "MDY"
    assert read(pa.array(["24-05-30", "24-05-31", "24-06-01"])).order == "YMD"
    assert read(pa.array(["30.05.24", "31.05.24", "01.06.24"])).order == "DMY"
    assert read(pa.array(["2024-05-31", "31 May 2024", None])).order is None
    assert {read(pa.array(ambiguous + more)).how for more in ([], ["03/05/2024"])} == {"custom"}
    rows = [f"{month}/{day}/2024" for month in (1, 2, 3) for day in range(1, 13)]
    assert (read(pa.array(rows)).order, read(pa.array(rows)).how) == ("MDY", "row order")


def table(tmp_path, dates, name="t.csv"):
    path = tmp_path / name
    path.write_text("\n".join(["t;y", *(f"{date};1" for date in dates)]) + "\n")
    return path


def read_table(path, **options):
    with Table(path, **options) as opened:
        values = [piece.columns["t"].values for piece in opened.pieces(7)]
        return np.concatenate(values), opened.kinds["t"], opened.dates, opened.remarks()


def test_a_table_reads_one_column_in_one_way(tmp_path):
    days = [dt.datetime(2024, 1, 1) + dt.timedelta(days=k) for k in range(60)]
    expected = [seconds(day) for day in days]
    for form, order in (("%d/%m/%Y", "DMY"), ("%m/%d/%Y", "MDY"), ("%y.%m.%d", "YMD")):
        path = table(tmp_path, [day.strftime(form) for day in days])
        values, kind, dates, remarks = read_table(path)
        assert (kind, dates, remarks) == (TIME, {"t": order}, [])
        np.testing.assert_array_equal(values, expected)
        frame = pa.table({"t": [day.strftime(form) for day in days], "y": [1] * 60})
        pq.write_table(frame, tmp_path / "t.parquet")
        np.testing.assert_array_equal(read_table(tmp_path / "t.parquet")[0], expected)


def test_what_nothing_tells_is_said_and_can_be_said(tmp_path):
    path = table(tmp_path, ["03/04/2024"] * 20)
    values, _, dates, remarks = read_table(path)
    assert dates == {"t": "DMY"}
    assert values[0] == seconds(dt.datetime(2024, 4, 3))
    assert len(remarks) == 1
    for part in ("'03/04/2024'", "read as day/month/year", "--types t=time:MDY"):
        assert part in remarks[0]
    values, _, dates, remarks = read_table(path, dates={"t": "MDY"})
    assert (values[0], dates, remarks) == (seconds(dt.datetime(2024, 3, 4)), {"t": "MDY"}, [])


def test_a_later_date_of_another_order_does_not_fit(tmp_path):
    path = table(tmp_path, [*["13/04/2024"] * 10, "04/13/2024", "14/04/2024"])
    with pytest.raises(StreamError) as info:
        read_table(path, decide_after=5)
    for part in ("line 12", "'04/13/2024'", "day/month/year", "--types t=time:MDY"):
        assert part in str(info.value)
    assert len(read_table(path, decide_after=5, on_bad_row="skip")[0]) == 11


def test_plain_numbers_stay_numbers_unless_said_otherwise(tmp_path):
    path = table(tmp_path, ["20240531", "20240601"])
    assert read_table(path)[1] is NUMBER
    values, kind, dates, _ = read_table(path, types={"t": TIME})
    assert (kind, dates) == (TIME, {})
    expected = [seconds(dt.datetime(2024, 5, 31)), seconds(dt.datetime(2024, 6, 1))]
    np.testing.assert_array_equal(values, expected)
    assert read_table(table(tmp_path, ["12:30", "10:15"]))[1] is TEXT


def test_a_setting_says_the_order():
    given = Settings(target="y", types={"t": "time:MDY", "u": "time", "v": "text"})
    assert given.kinds == {"t": "time", "u": "time", "v": "text"}
    assert given.dates == {"t": "MDY"}
    assert set(SPELLED_ORDERS) == set(ORDERS)
    with pytest.raises(ConfigError, match="time:DMY"):
        Settings(target="y", types={"t": "time:DYM"})
