"""Dates and times as the world writes them, as seconds since 1970-01-01T00:00Z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from .arrays import keep, mask, matches, seconds

pc: Any = pyarrow.compute
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PIVOT = 69  # two digits from here on are of the 1900s, those below of the 2000s, as in POSIX
FAR = 4  # times the span: so much more is no stream's own
ORDERS = {"DMY": "day/month/year", "MDY": "month/day/year", "YMD": "year/month/day"}

# ISO 8601 as nearly every machine writes it: Arrow reads that by itself, many times faster.
ZONE = r"(?:Z|[+-]\d\d(?::?\d\d)?)"
ISO = rf"^\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?{ZONE}?)?$"
ZONED = rf":\d\d(?:\.\d+)?{ZONE}$"

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAMES = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_MONTH = rf"(?P<name>{_NAMES})\.?"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
_HALF = r"(?:\s*(?P<half>[ap])\.?m\.?)?"
_ZONE = r"(?:\s*(?:Z|(?:UTC|GMT)?(?P<zone>[+-]\d\d(?::?\d\d)?)|UTC|GMT))?"
_CLOCK = rf"(?:(?:T|,?\s+){_TIME}{_HALF}{_ZONE})?"
_DAY = r"(?P<day>\d{1,2})"
_YEAR = r"(?P<year>\d{4})"
_MARK = r"(?:[/-]|\.\s?)"
_CJK = r"\s*[年월月년]\s*"  # year and month in Chinese, Japanese and Korean
NUMERIC = rf"(?P<a>\d{{1,2}})(?P<mark>{_MARK})(?P<b>\d{{1,2}})(?P<again>{_MARK})(?P<c>\d{{4}}|\d\d)"
# Months by name, and years of four digits in front, leave no doubt which part is which.
CERTAIN = (
    # 2024/5/31, 2024-05, 2024年5月31日
    rf"{_YEAR}(?P<mark>{_MARK}|{_CJK})(?P<month>\d{{1,2}})"
    rf"(?:(?P<again>{_MARK}|{_CJK}){_DAY}\s*[日일.]?)?{_CLOCK}",
    # 20240531, 20240531T123000Z
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
    r"(?:T?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?(?:\.(?P<fraction>\d{1,9}))?"
    rf"{_ZONE})?",
    # 31 May 2024, 31-May-24, Fri, 31 May 2024 12:30:00 GMT
    rf"{_WEEKDAY}{_DAY}(?:st|nd|rd|th|\.)?[\s/-]*(?:of\s+)?{_MONTH},?"
    rf"(?:[\s/-]*{_YEAR}|[\s/-]+(?P<short>\d\d)){_CLOCK}",
    # 31/May/2024:12:30:00 +0200, of a server's log
    rf"{_DAY}/{_MONTH}/{_YEAR}:{_TIME}{_ZONE}",
    # May 31, 2024
    rf"{_WEEKDAY}{_MONTH}[\s/-]*{_DAY}(?:st|nd|rd|th)?(?:,\s*|[\s/-]+){_YEAR}{_CLOCK}",
    # Fri May 31 12:30:00 2024
    rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\s+{_TIME}(?:\s+(?:UTC|GMT))?\s+{_YEAR}",
    # 2024-May-31
    rf"{_YEAR}[\s/-]*{_MONTH}[\s/-]*{_DAY}{_CLOCK}",
    # May 2024
    rf"{_MONTH},?[\s/-]+{_YEAR}",
)


@dataclass(frozen=True)
class Reading:
    """How dates such as 03/04/2024 are read in a column.

    **Arguments:** `order`: a key of `ORDERS`, `None` where there is no such date; `how` that was
    found: `values` (a day above 12, say), `row order` (only so do the rows follow each other in
    time), or `custom` (nothing in these rows tells); `example`: the first such date.
    """

    order: str | None
    how: str = "values"
    example: str = ""


def parse(array: pa.Array, order: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns dates as seconds since 1970, NaN where there is none, and which values are dates.

    What has no zone is taken as UTC, a date without a clock as its midnight.

    **Arguments:** `array`: `(rows,)`, strings without blanks around them; `order` of dates such as
    03/04/2024, which are none without it.
    """
    iso = matches(array, ISO)
    values, fits = _parse_iso(array, iso)
    rest = mask(array.is_valid()) & ~iso
    if rest.any():
        distinct = keep(array, rest).dictionary_encode()
        found = _parse_distinct(distinct.dictionary, order)
        places = distinct.indices.fill_null(0).to_numpy(zero_copy_only=False)[rest]
        values[rest] = found[places]
        fits = fits | (rest & ~np.isnan(values))
    return values, fits


def are_dates(array: pa.Array) -> bool:
    """Returns whether most strings spell a date, or would in a calendar with that day."""
    fits = parse(array, read(array).order)[1]
    return bool(np.mean(matches(array, ISO) | fits) > 0.5)


def read(array: pa.Array) -> Reading:
    """Returns how dates such as 03/04/2024 are read: as most of them are dates at all.

    Of 13/04/2024 only one order makes a date, and the majority of such values decides. Where they
    leave a tie, the order in which the rows follow each other in time decides, if only one does;
    else the custom of most of the world, day first.

    **Arguments:** `array`: `(rows,)`, strings without blanks around them, null where missing.
    """
    numeric = array.drop_null()
    numeric = numeric.filter(pc.match_substring_regex(numeric, _whole(NUMERIC + _CLOCK)))
    found = {order: _numeric(numeric, order) for order in ORDERS}
    counts = {order: int(np.sum(~np.isnan(values))) for order, values in found.items()}
    most = max(counts.values())
    if not most:
        return Reading(None)
    example = numeric[
        int(np.argmax(~np.isnan(found[max(counts, key=lambda o: counts[o])])))
    ].as_py()
    best = [order for order in ORDERS if counts[order] == most]
    best = _without_far_years({order: found[order] for order in best})
    if len(best) == 1:
        return Reading(best[0], "values", example)
    steady = [order for order in best if _in_order(found[order])]
    if len(steady) == 1:
        return Reading(steady[0], "row order", example)
    return Reading((steady or best)[0], "custom", example)


def _without_far_years(found: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the orders that do not scatter dates over many more years than another one does.

    Days taken for years of two digits run from 2001 to 2031.
    """
    if "YMD" not in found:
        return list(found)
    spans = {order: float(np.nanmax(v) - np.nanmin(v)) for order, v in found.items()}
    others = [order for order in found if order != "YMD"]
    nearest = min((spans[order] for order in others), default=np.inf)
    if spans["YMD"] < nearest / FAR:
        return ["YMD"]
    return others if nearest < spans["YMD"] / FAR else list(found)


def _in_order(values: np.ndarray) -> bool:
    """Whether times never fall or never rise, with at least three different ones."""
    steps = np.diff(values[~np.isnan(values)])
    return bool(np.sum(steps != 0) >= 2 and (np.all(steps >= 0) or np.all(steps <= 0)))


def _parse_iso(array: pa.Array, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not fits.any():
        return np.full(len(array), np.nan), fits
    zoned = fits & matches(array, ZONED)
    array = pc.replace_substring_regex(keep(array, fits), r"(\.\d{6})\d+", r"\1")
    try:
        local = keep(array, ~zoned).cast(pa.timestamp("us"))
        world = keep(array, zoned).cast(pa.timestamp("us", "UTC"))
        return np.where(zoned, seconds(world), seconds(local)), fits
    except pa.ArrowInvalid:  # a day or an hour that no calendar has
        values = np.array([_iso_seconds(text) for text in array.to_pylist()], dtype=np.float64)
        return values, fits & ~np.isnan(values)


def _iso_seconds(text: str | None) -> float:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return np.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1) / 1e6


def _parse_distinct(array: pa.Array, order: str | None) -> np.ndarray:
    """Returns the seconds of distinct strings, NaN for those that are no dates."""
    values = np.full(len(array), np.nan)
    left = np.arange(len(array))
    for grammar in (*([NUMERIC + _CLOCK] if order else []), *CERTAIN):
        if not len(left):
            break
        here = array.take(pa.array(left))
        hit = matches(here, _whole(grammar))
        if not hit.any():
            continue
        dates = here.filter(pa.array(hit))
        if grammar.startswith(NUMERIC):
            values[left[hit]] = _numeric(dates, str(order))
        else:
            values[left[hit]] = _named(dates, grammar)
        left = left[~hit]
    return values


def _whole(grammar: str) -> str:
    return rf"(?i)^(?:{grammar})$"


class _Fields:
    """The parts of dates that all match one grammar."""

    def __init__(self, array: pa.Array, grammar: str):
        parts = pc.extract_regex(array, pattern=_whole(grammar))
        self._parts = dict(zip([f.name for f in parts.type], parts.flatten(), strict=True))
        self.rows = len(array)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def text(self, name: str) -> pa.Array:
        """Returns a part as it stands, empty where there is none."""
        return self._parts.get(name, pa.array([""] * self.rows, pa.string()))

    def given(self, name: str) -> np.ndarray:
        """Returns where there is such a part."""
        if name not in self:
            return np.zeros(self.rows, bool)
        return mask(pc.not_equal(self.text(name), ""))

    def number(self, name: str, otherwise: int = 0) -> np.ndarray:
        """Returns a part as whole numbers."""
        if name not in self:
            return np.full(self.rows, otherwise)
        text = self.text(name)
        text = pc.if_else(pc.equal(text, ""), str(otherwise), text)
        return text.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _numeric(array: pa.Array, order: str) -> np.ndarray:
    """Returns the seconds of dates such as 03/04/2024, all of them of that grammar."""
    if not len(array):
        return np.zeros(0)
    fields = _Fields(array, NUMERIC + _CLOCK)
    parts = dict(zip(order, "abc", strict=True))
    year, month, day = (fields.number(parts[part]) for part in "YMD")
    digits = pc.utf8_length(fields.text(parts["Y"])).to_numpy(zero_copy_only=False)
    four = pc.utf8_length(fields.text("c")).to_numpy(zero_copy_only=False) == 4
    right = four if order != "YMD" else ~four
    right = np.where(digits == 4, right, (digits == 2) & ~four)
    year = np.where(digits == 4, year, _century(year))
    return np.where(right, _seconds(fields, year, month, day), np.nan)


def _century(year: np.ndarray) -> np.ndarray:
    return year + np.where(year >= PIVOT, 1900, 2000)


def _named(array: pa.Array, grammar: str) -> np.ndarray:
    """Returns the seconds of dates that leave no doubt, all of them of this grammar."""
    fields = _Fields(array, grammar)
    short = _century(fields.number("short"))
    year = np.where(fields.given("short"), short, fields.number("year"))
    month, day = fields.number("month"), fields.number("day", 1)
    if "name" in fields:
        names = pc.utf8_slice_codeunits(pc.ascii_lower(fields.text("name")), 0, 3)
        month = pc.index_in(names, pa.array(MONTHS)).to_numpy(zero_copy_only=False) + 1
    return _seconds(fields, year, month, day)


def _seconds(fields: _Fields, year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Returns seconds since 1970, NaN where the calendar or the clock has no such moment."""
    hour, minute, second = (fields.number(part) for part in ("hour", "minute", "second"))
    good = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    good &= (minute < 60) & (second < 60) & _one_mark(fields)
    half = fields.given("half")
    good &= np.where(half, (hour >= 1) & (hour <= 12), hour < 24)
    afternoon = half & mask(pc.equal(pc.ascii_lower(fields.text("half")), "p"))
    hour = np.where(half, hour % 12 + 12 * afternoon, hour)

    months = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("M8[M]")
    first = months.astype("M8[D]")
    good &= day <= ((months + 1).astype("M8[D]") - first).astype(np.int64)
    days = first.astype(np.int64) + day - 1
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(fields.text("fraction"), 6, "0"), 0, 6)
    offset, real = _offset(fields)
    whole = days * 86_400 + hour * 3600 + minute * 60 + second - offset
    micro = whole * 1_000_000 + fraction.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return np.where(good & real, micro / 1e6, np.nan)


def _one_mark(fields: _Fields) -> np.ndarray:
    """Returns where day, month and year have one mark between them: 1/2/2024, not 1/2-2024."""
    if "mark" not in fields:
        return np.ones(fields.rows, bool)
    one, other = (pc.utf8_slice_codeunits(fields.text(m), 0, 1) for m in ("mark", "again"))
    cjk = matches(fields.text("mark"), _CJK)
    return cjk | ~fields.given("again") | mask(pc.equal(one, other))


def _offset(fields: _Fields) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many seconds each clock is ahead of UTC, and where there is such a zone."""
    zone = pc.replace_substring(fields.text("zone"), ":", "")
    sign = np.where(mask(pc.starts_with(zone, "-")), -1, 1)
    digits = pc.utf8_rpad(pc.utf8_slice_codeunits(zone, 1, 5), 4, "0").cast(pa.int64())
    hours, minutes = np.divmod(digits.to_numpy(zero_copy_only=False), 100)
    return sign * (hours * 3600 + minutes * 60), (hours < 24) & (minutes < 60)
