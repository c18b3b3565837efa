"""The event log on a cluster: every source as one canonical table, and the journey met with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from features.canonical import columns_of, shaped
from features.erased import Erased
from features.errors import InputError
from features.extra import Extra, arrived, before
from features.journey import Journey, Source
from features.resolution import resolve_counted
from features.schema import (
    CHANNEL,
    CONTACTED,
    CUSTOMER,
    EVENT,
    EVENT_ID,
    KNOWN_AT,
    POSITION,
    TIME,
    VALUE,
)
from features.spark_columns import lacks, numbers, texts, times
from features.spark_erased import left
from features.spark_sources import ARRIVAL, quoted, read_source
from features.timestamps import FORMS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType

    Given: TypeAlias = dict[str, tuple[Column, DataType]]  # canonical name -> the source's column and its type

SOURCE = "arrival_source"
NEEDED = [CUSTOMER, TIME, EVENT, KNOWN_AT]  # a row that lacks one is left out
ROWS_OF_PART = 100_000
MOST_TOUCHPOINTS = 100_000  # pairs of event type and channel that the driver counts


@dataclass(frozen=True, slots=True)
class SpreadLog:
    """The canonical log on the machines of a cluster, without `position`, with the order of arrival."""

    rows: DataFrame
    size: int

    def by_customer(self, copies: float = 1.0) -> DataFrame:
        """The log with `position`, a customer's rows on one machine, as many parts as its `copies` need."""
        from pyspark.sql import Window
        from pyspark.sql import functions as f

        parts = 1 + int(self.size * copies) // ROWS_OF_PART
        place = f.row_number().over(Window.partitionBy(CUSTOMER).orderBy(TIME, SOURCE, *ARRIVAL))
        rows = self.rows.repartition(parts, CUSTOMER).withColumn(POSITION, (place - 1).cast("bigint"))
        return rows.drop(SOURCE, *ARRIVAL, EVENT_ID)


def read_log(
    session: SparkSession,
    journey: Journey,
    base: Path,
    extra: Extra | None = None,
    erased: Erased | None = None,
) -> tuple[Journey, SpreadLog]:
    """The journey resolved with its log, and the log.

    As `features.log.read`; only counts of types and channels and the span of time come to the driver.
    `extra`, which stands in no source, goes from here to the cluster; whoever was `erased` is left out.

    Raises
    ------
    InputError
        As there, and for a source or a name that a cluster cannot read.
    """
    _refuse_names(journey)
    sources = [_canonical(session, journey, number, base) for number in range(len(journey.events))]
    rows, end = left(_union(sources), erased), journey.said_until
    if end is not None:
        rows = rows.where(quoted(TIME) < end)
    elif extra is not None:
        end = _end_of(rows)
    more, complete, cutoff = arrived(extra, end)
    if more is not None and (more := before(more, cutoff, [])).height:
        rows = _union([rows, _extra(session, more, journey)])
    rows = _first_of_id(rows) if EVENT_ID in rows.columns else rows
    resolved, size = _resolved(journey, rows.where(quoted(TIME) < complete) if complete else rows)
    return resolved, SpreadLog(rows, size)


def _union(frames: list[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _end_of(rows: DataFrame) -> int | None:
    """As `features.extra.end_of`."""
    from pyspark.sql import functions as f

    theirs = f.max(f.when(quoted(EVENT) != CONTACTED, quoted(TIME)))
    (row,) = rows.select(f.coalesce(theirs, f.max(TIME))).collect()
    return None if row[0] is None else int(row[0]) + 1


def _refuse_names(journey: Journey) -> None:
    """Spark reads a dot in a column's name as a field of a struct."""
    for name in (*journey.properties, *(journey.profile.features if journey.profile else ())):
        if "." in name or "`" in name:
            found = f"{name!r} holds a sign that names of columns on a cluster cannot hold"
            raise InputError(name, found, "letters, digits, spaces, _ and -", "rename it, and map it under columns")


def _canonical(session: SparkSession, journey: Journey, number: int, base: Path) -> DataFrame:
    """The usable rows of one source: canonical columns but `position`, properties, and the order of arrival."""
    from pyspark.sql import functions as f

    source, place = journey.events[number], f"events.{number}"
    frame = read_source(session, source, base, place)
    kinds = {field.name: field.dataType for field in frame.schema if field.name not in ARRIVAL}
    columns = columns_of(source, journey, list(kinds), place)
    given = {name: (quoted(column), kinds[column]) for name, column in columns.items()}
    found = _converted(given, source, journey, place)
    accepted = {name: "numbers such as 12.5" for name, kind in _kinds(journey).items() if kind == "double"}
    _refuse_unreadable(frame, given, found, {TIME: FORMS, **accepted}, place)
    arrival = [f.lit(number).alias(SOURCE), *ARRIVAL]
    rows = frame.select(*(column.alias(name) for name, column in found.items()), *arrival).dropna(subset=NEEDED)
    return _first_of_equals(rows, list(found)) if source.drop_duplicates else rows


def _extra(session: SparkSession, extra: pl.DataFrame, journey: Journey) -> DataFrame:
    """Events from this machine as one more source."""
    rows = shaped(extra, journey)
    places = (pl.lit(len(journey.events)), pl.lit(""), pl.lit(0, dtype=pl.Int64), pl.int_range(pl.len()))
    placed = rows.with_columns(place.alias(name) for name, place in zip((SOURCE, *ARRIVAL), places, strict=True))
    return session.createDataFrame(placed.to_arrow())


def _converted(given: Given, source: Source, journey: Journey, place: str) -> dict[str, Column]:
    """The canonical columns and properties; null where the source lacks one, but `event_id`, which is absent."""
    from pyspark.sql import functions as f

    found: dict[str, Column] = {}
    zone = source.timezone or journey.timezone
    for name, kind in _kinds(journey).items():
        if name in given:
            convert = texts if kind == "string" else numbers
            found[name] = convert(*given[name], f"{place}.columns.{name}")
        elif name != EVENT_ID:
            found[name] = f.lit(None).cast(kind)
    if source.event:
        found[EVENT] = f.lit(source.event)
    for name, originals in source.types.items():
        found[EVENT] = f.when(texts(*given[EVENT], place).isin(originals), name).otherwise(found[EVENT])
    found[TIME] = found[KNOWN_AT] = times(*given[TIME], zone)
    if KNOWN_AT in given:
        found[KNOWN_AT] = f.when(lacks(*given[KNOWN_AT]), found[TIME]).otherwise(times(*given[KNOWN_AT], zone))
    return found


def _kinds(journey: Journey) -> dict[str, str]:
    """The columns beside the times, with their types."""
    properties = {name: "string" if kind == "category" else "double" for name, kind in journey.properties.items()}
    return {**dict.fromkeys((CUSTOMER, EVENT, CHANNEL, EVENT_ID), "string"), VALUE: "double", **properties}


def _refuse_unreadable(
    frame: DataFrame, given: Given, found: dict[str, Column], accepted: dict[str, str], place: str
) -> None:
    """One look at the texts that stand for times and numbers: of each column some must be readable."""
    from pyspark.sql import functions as f
    from pyspark.sql.types import StringType

    asked = [name for name in accepted if name in given and isinstance(given[name][1], StringType)]
    looks = [
        look for name in asked for look in (f.max(f.when(~lacks(*given[name]), given[name][0])), f.count(found[name]))
    ]
    (row,) = frame.select(*looks).collect() if asked else [()]
    for number, name in enumerate(asked):
        example, readable = row[2 * number : 2 * number + 2]
        if example is not None and not readable:
            said = f"no value can be read, for instance {example!r}"
            raise InputError(f"{place}.columns.{name}", said, accepted[name], "convert the column")


def _first_of_equals(rows: DataFrame, columns: list[str]) -> DataFrame:
    """Of rows equal in all columns the one that arrived first."""
    return _first(rows, [quoted(name) for name in columns])


def _first_of_id(rows: DataFrame) -> DataFrame:
    """Of a customer's rows with one `event_id` the one that arrived first; rows without one stay."""
    from pyspark.sql import functions as f

    # Rows without an id are told apart by their place, or one machine would get them all.
    own = [f.when(quoted(EVENT_ID).isNull(), quoted(name)) for name in (SOURCE, *ARRIVAL)]
    return _first(rows, [quoted(CUSTOMER), quoted(EVENT_ID), *own])


def _first(rows: DataFrame, same: list[Column]) -> DataFrame:
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    place = f.row_number().over(Window.partitionBy(*same).orderBy(SOURCE, *ARRIVAL))
    return rows.withColumn(POSITION, place).where(quoted(POSITION) == 1).drop(POSITION)


def _resolved(journey: Journey, rows: DataFrame) -> tuple[Journey, int]:
    """The journey with what the log says of it, and the number of events."""
    from pyspark.sql import functions as f

    counted = rows.groupBy(EVENT, CHANNEL).agg(f.count("*"), f.min(TIME), f.max(TIME))
    found = [tuple(row) for row in counted.limit(MOST_TOUCHPOINTS + 1).collect()]
    if not found:
        raise InputError("events", "no usable event")
    if len(found) > MOST_TOUCHPOINTS:
        said = f"more than {MOST_TOUCHPOINTS:,} pairs of event type and channel"
        raise InputError("events", said, "types and channels, not ids", "map the right columns under columns")
    types, channels = dict[str, int](), dict[str, int]()
    for event, channel, number, _, _ in found:
        types[event] = types.get(event, 0) + number
        if channel is not None:
            channels[channel] = channels.get(channel, 0) + number
    theirs = [row for row in found if row[0] != CONTACTED] or found  # our own doing says nothing of the log's end
    first, newest = min(row[3] for row in found), max(row[4] for row in theirs)
    return resolve_counted(journey, types, channels, first, newest + 1), sum(types.values())
