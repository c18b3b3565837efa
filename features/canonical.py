"""One source's table -> canonical columns, in order of arrival; what cannot be used is counted.

`column_of_text`, `column_of_numbers` take whole columns, `one_text`, `one_number` single values of
events sent over HTTP; both say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from features.definition import did_you_mean
from features.errors import InputError
from features.journey import Journey, Source
from features.schema import CANONICAL, CHANNEL, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, POSITION, REQUIRED, TIME, VALUE
from features.timestamps import FORMS, Times, parse

REASONS = {
    CUSTOMER: "no customer_id",
    TIME: "no readable time",
    EVENT: "no event type",
    KNOWN_AT: "no readable known_at",
    EVENT_ID: "event_id seen before",
}


@dataclass(slots=True)
class Table:
    """A source's usable rows in canonical columns, and what was noticed on the way."""

    rows: pl.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def columns_of(source: Source, journey: Journey, names: list[str], place: str) -> dict[str, str]:
    """Canonical name -> column of the source, for those the source has.

    Raises
    ------
    InputError
        A column that is required, or that the journey maps, is not there.
    """
    wanted = {name: source.columns.get(name, name) for name in (*CANONICAL, *journey.properties)}
    if source.event:
        del wanted[EVENT]
    for name, column in wanted.items():
        if column not in names and (name in REQUIRED or name in source.columns):
            raise InputError(
                f"{place}.columns.{name}",
                f"the source has no column {column!r}{did_you_mean(column, names)}",
                ", ".join(names),
                f"map it: columns: {{{name}: <one of these>}}",
            )
    return {name: column for name, column in wanted.items() if column in names}


def canonical(frame: pl.DataFrame, source: Source, journey: Journey, place: str) -> Table:
    """The usable rows of one source, in order of arrival.

    Returns
    -------
    Table
        `rows`: canonical columns but `position`, then every declared property (null where the
        source lacks it); `event_id` only where the source has it. NaN, infinite and unreadable
        numbers are null; unreadable times leave the row out, and are counted.
    """
    table = Table(frame)
    zone = source.timezone or journey.timezone
    columns = columns_of(source, journey, frame.columns, place)
    found: dict[str, pl.Series] = {}
    for name in (CUSTOMER, EVENT, CHANNEL, EVENT_ID):
        if name in columns:
            found[name] = column_of_text(frame[columns[name]], f"{place}.columns.{name}")
    if source.event:
        found[EVENT] = pl.repeat(source.event, frame.height, dtype=pl.String, eager=True)
    elif source.types:
        found[EVENT] = _renamed(found[EVENT], source.types)
    found[TIME] = _time(frame[columns[TIME]], zone, f"{place}.columns.{TIME}", table.notes)
    found[KNOWN_AT] = found[TIME]
    if KNOWN_AT in columns:
        known = _time(frame[columns[KNOWN_AT]], zone, f"{place}.columns.{KNOWN_AT}", table.notes)
        unknown = frame[columns[KNOWN_AT]].is_null()
        found[KNOWN_AT] = found[TIME].zip_with(unknown, known)
    for name, kind in {VALUE: "number", **journey.properties}.items():
        if name in columns:
            convert = column_of_text if kind == "category" else _numbers(table.notes)
            found[name] = convert(frame[columns[name]], f"{place}.columns.{name}")
    table.rows = shaped(frame.select(**found), journey)
    _leave_out(table)
    return table


def shaped(frame: pl.DataFrame, journey: Journey) -> pl.DataFrame:
    """Every canonical column but `position`, typed and in order; what is not there is null."""
    kinds: dict[str, Any] = dict.fromkeys((CUSTOMER, EVENT, CHANNEL, EVENT_ID), pl.String)
    kinds |= {TIME: pl.Int64, KNOWN_AT: pl.Int64, VALUE: pl.Float64}
    kinds |= {name: pl.Float64 if kind != "category" else pl.String for name, kind in journey.properties.items()}
    order = [CUSTOMER, TIME, EVENT, VALUE, CHANNEL, KNOWN_AT, EVENT_ID, *journey.properties]
    frame = _as_declared(frame, journey)
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kinds[name]).alias(name)
        for name in order
        if name in frame.columns or name != EVENT_ID
    )


def _as_declared(frame: pl.DataFrame, journey: Journey) -> pl.DataFrame:
    """Properties read anew that were stored when they were declared as another kind; what is no number is unknown."""
    found = []
    for name, kind in journey.properties.items():
        if name in frame.columns and kind == "category" and frame[name].dtype.is_numeric():
            found.append(column_of_text(frame[name], name).alias(name))
        elif name in frame.columns and kind != "category" and frame[name].dtype == pl.String:
            found.append(column_of_numbers(frame[name])[0].alias(name))
    return frame.with_columns(found) if found else frame


def ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by customer and time, ties in order of arrival, with `position` after `known_at`."""
    place = rows.columns.index(KNOWN_AT) + 1
    # Numbers that stand for the ids sort in a third of the time and the memory.
    codes = rows[CUSTOMER].cast(pl.Enum(rows[CUSTOMER].unique().sort())).to_physical()
    order = pl.Series(np.lexsort((rows[TIME].to_numpy(), codes.to_numpy())), dtype=pl.UInt32)
    codes, number = codes.gather(order), pl.int_range(rows.height, dtype=pl.Int64, eager=True)
    first = number.set(~codes.ne_missing(codes.shift()), None).forward_fill()
    return rows[order].insert_column(place, (number - first).alias(POSITION))


def without_repeated_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """The first of a customer's rows that share an `event_id`; rows without one stay.

    An id is its customer's: what is known of one customer does not hang on the ids of others, so that one
    history, a part of a log and the whole of it agree.
    """
    if EVENT_ID not in rows.columns:
        return rows
    again = (rows[EVENT_ID].is_not_null() & ~rows[EVENT_ID].is_first_distinct()).any()
    if not again:
        return rows
    shared = (rows[EVENT_ID].is_not_null() & rows[EVENT_ID].is_duplicated()).arg_true()
    first = rows[shared].select(pl.struct(CUSTOMER, EVENT_ID).is_first_distinct()).to_series()
    return rows.filter(pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True).scatter(shared, first))


def column_of_text(column: pl.Series, place: str) -> pl.Series:
    """Ids and names as text: 7 -> '7', 12.0 -> '12', '007' stays."""
    kind = column.dtype
    if kind.is_nested() or kind == pl.Object:
        raise InputError(place, f"the column {column.name!r} holds {kind}", "text or numbers")
    if isinstance(kind, pl.Decimal) and kind.scale == 0:
        return column.cast(pl.String)
    if kind.is_float() or kind.is_decimal():
        numbers = column.cast(pl.Float64).fill_nan(None)
        whole = numbers.is_finite() & (numbers == numbers.floor()) & (numbers.abs() < 2**63)
        texts = numbers.cast(pl.Int64, strict=False).cast(pl.String)
        return texts.zip_with(whole.fill_null(False), numbers.cast(pl.String))
    return column.cast(pl.String, strict=False)


def one_text(value: Any) -> str | None:
    """One id or name as text."""
    if isinstance(value, str):
        return value or None
    if value is None or isinstance(value, bool):
        return None if value is None else str(value).lower()
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 2**63
        return None if math.isnan(value) else str(int(value)) if whole else str(value)
    return str(value)


def column_of_numbers(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Finite numbers, null for all else; and which of the given values were refused."""
    texts = column.dtype == pl.String
    numbers = (column.str.strip_chars() if texts else column).cast(pl.Float64, strict=False)
    finite = numbers.set(~numbers.is_finite().fill_null(False), None)
    refused = column.is_not_null() & numbers.is_not_nan().fill_null(True) & finite.is_null()
    return finite, refused


def one_number(value: Any) -> float | None:
    """One finite number; None for all else."""
    if value is None:
        return None
    if isinstance(value, str):
        value = None if "_" in value else value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _numbers(notes: list[str]) -> Any:
    def convert(column: pl.Series, place: str) -> pl.Series:
        numbers, refused = column_of_numbers(column)
        if refused.any():
            example = column.filter(refused)[0]
            if numbers.is_null().all():
                raise InputError(place, f"no value is a number, for instance {example!r}", "numbers such as 12.5")
            notes.append(
                f"{place}: {refused.sum()} values are not finite numbers ({example!r}) and are read as unknown"
            )
        return numbers

    return convert


def _time(column: pl.Series, zone: str, place: str, notes: list[str]) -> pl.Series:
    times = parse(column, zone)
    if times.microseconds.is_null().all() and not column.is_null().all():
        raise InputError(
            place, f"no value is a time, for instance {column.drop_nulls()[0]!r}", FORMS, "convert it with a query"
        )
    notes += [f"{place}: {said}" for said in _said_of(times, zone)]
    return times.microseconds


def _said_of(times: Times, zone: str) -> Iterable[str]:
    if times.zoned:
        yield "times with a zone were converted to UTC"
    if zone != "UTC" and times.microseconds.len() - times.microseconds.null_count() > times.zoned:
        yield f"times without a zone were read as {zone} and converted to UTC"
    if times.numbers:
        yield "numbers were read as dates (20170131) or as time since 1970 in the unit their size tells"
    if times.skipped:
        yield f"{times.skipped} times that the clock of {zone} skipped were counted on from before the change"
    if times.repeated:
        yield f"{times.repeated} times that the clock of {zone} showed twice were read as the earlier"


def _renamed(types: pl.Series, mapping: dict[str, list[str]]) -> pl.Series:
    return types.replace({original: name for name, originals in mapping.items() for original in originals})


def _leave_out(table: Table) -> None:
    """Count each unusable row once, under its first reason, and drop it."""
    for name, reason in REASONS.items():
        if name in table.rows.columns and name != EVENT_ID:
            lacking = table.rows[name].null_count()
            if lacking:
                table.left_out[reason] = lacking
                table.rows = table.rows.filter(pl.col(name).is_not_null())
