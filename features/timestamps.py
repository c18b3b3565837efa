"""Times as sources write them -> int64 microseconds since 1970 in UTC.

Accepted: timestamps and dates with or without a zone, ISO 8601 texts, and numbers since 1970 whose
unit their size tells (seconds below 1e11, then milliseconds, microseconds, nanoseconds); whole
numbers such as 20170131 are dates. A time without a zone stands on the source's clock: one that
the clock skipped counts on from before the change, one that it showed twice is the earlier.

`parse` takes a whole column, `parse_one` one value of an event sent over HTTP; both say the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from features.schema import to_microseconds

FORMS = (
    "a timestamp, a date, ISO 8601 text (2017-01-31T18:05:00, with Z or +02:00 if it has a zone), seconds since 1970"
)

DAY_NUMBERS = (19_000_101, 21_001_231)  # 20170131 is a day, not a second in August 1970
UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (float("inf"), 0.001))
LIMIT = 253_402_300_800_000_000  # the year 10000; Python's and Polars' dates end there
NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?$"
_IS_NUMBER = re.compile(NUMBER, re.ASCII)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds of a column, null where there is none, and what was done to get them."""

    microseconds: pl.Series
    zoned: int = 0
    numbers: int = 0
    skipped: int = 0
    repeated: int = 0


def parse(column: pl.Series, zone: str) -> Times:
    """The instants of a column; null where it is null or cannot be read."""
    kind = column.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone:
        instants = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).dt.cast_time_unit("us")
        return Times(_bounded(instants.cast(pl.Int64)), zoned=column.len() - column.null_count())
    if isinstance(kind, pl.Datetime | pl.Date):
        return _on_the_clock(column.cast(pl.Datetime("us")), zone)
    if kind.is_numeric():
        return _numbers(column, zone)
    return _texts(column.cast(pl.String), zone)


def parse_one(value: Any, zone: ZoneInfo) -> int | None:
    """The instant of one value; None where it cannot be read."""
    if isinstance(value, str):
        return _one_text(value, zone)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _one_number(float(value), zone)
    if isinstance(value, date):
        when = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
        return to_microseconds(when if when.tzinfo else when.replace(tzinfo=zone, fold=0))
    return None


@lru_cache(maxsize=4096)  # a request's times are read when it is checked, and again as its events
def _one_text(text: str, zone: ZoneInfo) -> int | None:
    text = text.strip()
    if _IS_NUMBER.match(text):
        return _one_number(float(text), zone)
    when = _iso(text)
    return None if when is None else parse_one(when, zone)


def _one_number(value: float, zone: ZoneInfo) -> int | None:
    if DAY_NUMBERS[0] <= value <= DAY_NUMBERS[1] and value.is_integer():
        return parse_one(f"{int(value) // 10_000:04}-{int(value) // 100 % 100:02}-{int(value) % 100:02}", zone)
    if not abs(value) < LIMIT * 1_000.0:  # NaN too
        return None
    factor = next(factor for limit, factor in UNITS if abs(value) < limit)
    found = _rounded(value * factor)
    return found if abs(found) < LIMIT else None


def _rounded(value: float) -> int:
    """Half away from zero, as Polars rounds."""
    whole = int(abs(value) + 0.5)
    return whole if value >= 0 else -whole


def _on_the_clock(naive: pl.Series, zone: str) -> Times:
    """Naive local times of a zone as instants."""
    if zone == "UTC":
        return Times(_bounded(naive.cast(pl.Int64)))
    first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    last = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    instants = _as_utc(first)
    gaps = (first.is_null() & naive.is_not_null()).sum()
    if gaps:  # counted on from the day before, whose clock had not changed yet
        before = _as_utc((naive - _DAY).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null"))
        instants = instants.fill_null(before + _DAY // timedelta(microseconds=1))
    repeated = int((first != last).sum() or 0)
    return Times(_bounded(instants), skipped=int(gaps), repeated=repeated)


def _as_utc(aware: pl.Series) -> pl.Series:
    return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Int64)


def _numbers(column: pl.Series, zone: str) -> Times:
    values = column.cast(pl.Float64, strict=False).fill_nan(None)
    days = values.is_between(*DAY_NUMBERS) & (values == values.floor())
    scaled = _scaled(values.set(days.fill_null(False), None))
    if not days.any():
        return Times(scaled, numbers=column.len() - column.null_count())
    dates = values.filter(days).cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False)
    clock = _on_the_clock(dates.cast(pl.Datetime("us")), zone)
    placed = scaled.scatter(days.arg_true(), clock.microseconds)
    return Times(placed, numbers=column.len() - column.null_count(), skipped=clock.skipped, repeated=clock.repeated)


def _scaled(values: pl.Series) -> pl.Series:
    """Numbers since 1970 in the unit their size tells."""
    size, result = values.abs(), values * UNITS[-1][1]
    for limit, factor in reversed(UNITS[:-1]):
        result = (values * factor).zip_with(size < limit, result)
    result = result.round(mode="half_away_from_zero")
    return _bounded(result.set(result.abs() >= LIMIT, None).cast(pl.Int64))


def _texts(column: pl.Series, zone: str) -> Times:
    """ISO 8601 and numbers: what Polars reads at once, then the rest one by one."""
    texts = column.str.strip_chars()
    is_number = texts.str.contains(NUMBER).fill_null(False)
    aware = texts.str.replace(" ", "T", literal=True).str.strptime(
        pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False
    )
    naive = texts.str.replace(" ", "T", literal=True).str.strptime(
        pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f", strict=False
    )
    rest = texts.filter(texts.is_not_null() & aware.is_null() & naive.is_null() & ~is_number).unique()
    read = {text: _iso(text) for text in rest}
    naive = _filled(naive, texts, {text: when for text, when in read.items() if when and not when.tzinfo})
    aware = _filled(aware, texts, {text: when for text, when in read.items() if when and when.tzinfo})
    clock = _on_the_clock(naive, zone)
    numbers = _numbers(texts.zip_with(is_number, pl.Series([None], dtype=pl.String)).cast(pl.Float64), zone)
    found = _as_utc(aware).fill_null(clock.microseconds).fill_null(numbers.microseconds)
    return Times(
        _bounded(found),
        zoned=aware.len() - aware.null_count(),
        numbers=int(is_number.sum()),
        skipped=clock.skipped,
        repeated=clock.repeated,
    )


def _filled(found: pl.Series, texts: pl.Series, read: dict[str, datetime]) -> pl.Series:
    if not read:
        return found
    values = pl.Series(list(read.values()), dtype=found.dtype)
    return found.fill_null(texts.replace_strict(pl.Series(list(read)), values, default=None, return_dtype=found.dtype))


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _bounded(microseconds: pl.Series) -> pl.Series:
    """Null outside the years that calendars know."""
    return microseconds.set(microseconds.abs() >= LIMIT, None).cast(pl.Int64)
