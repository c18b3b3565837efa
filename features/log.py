"""The event log: every source of a journey as one canonical table, and the journey met with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import polars as pl

from features.canonical import (
    REASONS,
    Table,
    canonical,
    columns_of,
    ordered,
    shaped,
    without_repeated_ids,
)
from features.erased import Erased
from features.errors import InputError
from features.extra import Extra, arrived, before, end_of
from features.journey import Journey
from features.profile import read_profile
from features.records import from_records
from features.resolution import resolve
from features.schema import CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, POSITION, TIME, to_datetime
from features.sources import origin, read_table

__all__ = ["EventLog", "Origin", "from_records", "read", "write"]

LATE = "at or after observed_until"
EQUAL = "equal to another row in all columns"
STORED = "events in the store"
ERASED = "customers who were erased"


@dataclass(frozen=True, slots=True)
class Origin:
    """One source's share of the log.

    `rows` were usable; `first` and `last` are their times in microseconds (null: no rows);
    `backwards` counts the rows that stand after a later event of the same customer.
    """

    name: str
    rows: int
    first: int | None
    last: int | None
    backwards: int


@dataclass(frozen=True, slots=True)
class EventLog:
    """The canonical log.

    `events` has the columns of `features.schema` (times as int64 microseconds), `event_id` only
    where a source gives it, then the declared properties (number: float64, category: string),
    sorted by customer_id and position. `profile` has one row per customer; null: the journey has
    none. `read` counts the rows read, `left_out` those not used by reason, `duplicates` those
    equal to another in all columns (dropped only where the source says `drop_duplicates`),
    `notes` tell what was converted. Events at or after the journey's `observed_until` are there only where
    they were asked for (`features.extra`).
    """

    events: pl.DataFrame
    profile: pl.DataFrame | None = None
    read: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    notes: list[str] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)


def read(
    journey: Journey,
    base: Path,
    threads: int | None = None,
    extra: Extra | None = None,
    erased: Erased | None = None,
) -> tuple[Journey, EventLog]:
    """Read every source and resolve the journey with what is found.

    Parameters
    ----------
    journey : Journey
        As `features.definition.read` gives it.
    base : Path
        The folder relative paths start at.
    threads : int, optional
        DuckDB's threads; default: all.
    extra : polars.DataFrame or callable, optional
        Events that stand in no source, in canonical columns (times as int64 microseconds) and, where
        it has them, declared properties. A row whose `event_id` a source has of the same customer is that
        source's event. `features.extra` tells what a callable is asked.
    erased : Erased, optional
        Who is left out of every source, the profile too.

    Returns
    -------
    tuple of Journey and EventLog
        The journey has `types`, `channels` and `observed_until` filled in.

    Raises
    ------
    InputError
        A source that cannot be read, an empty log, names the log does not know, a horizon longer
        than the log.
    """
    tables = [_read_source(journey, number, base, threads) for number in range(len(journey.events))]
    notes = [note for _, table, _ in tables for note in table.notes]
    said = journey.said_until
    for _, table, _ in tables:
        if erased is not None:
            table.rows = _counted(table.rows, erased.left(table.rows), ERASED, table.left_out)
        if said is not None:
            table.rows = _before_end(table, said, notes)
    rows, end, cutoff = arrived(extra, said if said is not None else end_of(table.rows for _, table, _ in tables))
    if rows is not None:
        tables.append(_stored(rows, journey, cutoff, notes))
    rows = pl.concat([table.rows for _, table, _ in tables], how="diagonal")
    for _, table, _ in tables:
        table.rows = rows.clear()  # a log may fill half the memory: nothing is held twice
    left_out: dict[str, int] = {}
    for _, table, _ in tables:
        for reason, count in table.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    duplicates = rows.height - rows.hash_rows().n_unique() + left_out.get(EQUAL, 0)
    rows = _counted(rows, without_repeated_ids(rows), REASONS[EVENT_ID], left_out)
    _refuse_empty(rows, left_out)
    rows = ordered(rows)
    log = EventLog(
        events=rows,
        profile=read_profile(journey, base, threads, erased),
        read=sum(count for count, _, _ in tables),
        left_out=left_out,
        duplicates=duplicates,
        notes=notes,
        origins=[where for _, _, where in tables],
    )
    journey = journey.model_copy(update={"observed_until": journey.observed_until or to_datetime(end)})
    complete = rows if cutoff == end else rows.filter(pl.col(TIME) < end)
    _refuse_empty(complete, left_out)
    return resolve(journey, complete), log


def write(events: pl.DataFrame, path: Path) -> None:
    """The canonical log as Parquet that `read` reads again: times are timestamps in naive UTC.

    The file appears whole or not at all.
    """
    times = [pl.col(name).cast(pl.Datetime("us")) for name in (TIME, KNOWN_AT)]
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        events.drop(POSITION, strict=False).with_columns(times).write_parquet(part)
        part.replace(path)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})", "a file in a folder that exists") from None
    finally:
        part.unlink(missing_ok=True)


def _read_source(journey: Journey, number: int, base: Path, threads: int | None) -> tuple[int, Table, Origin]:
    source, place = journey.events[number], f"events.{number}"

    def pick(names: list[str]) -> list[str]:
        return list(columns_of(source, journey, names, place).values())

    frame = read_table(source, base, pick, place, threads)
    table = canonical(frame, source, journey, place)
    if source.drop_duplicates:
        table.rows = _counted(table.rows, table.rows.unique(keep="first", maintain_order=True), EQUAL, table.left_out)
    return frame.height, table, _origin(table.rows, origin(source))


def _stored(rows: pl.DataFrame, journey: Journey, cutoff: int, notes: list[str]) -> tuple[int, Table, Origin]:
    """Events from elsewhere as one more source."""
    table = Table(before(shaped(rows, journey), cutoff, notes))
    return rows.height, table, _origin(table.rows, STORED)


def _origin(rows: pl.DataFrame, name: str) -> Origin:
    before = pl.col(TIME).shift(1).over(CUSTOMER)
    first, last, backwards = rows.select(
        first=pl.col(TIME).min(), last=pl.col(TIME).max(), backwards=(pl.col(TIME) < before).sum()
    ).row(0)
    return Origin(name, rows.height, first, last, backwards)


def _counted(before: pl.DataFrame, after: pl.DataFrame, reason: str, left_out: dict[str, int]) -> pl.DataFrame:
    if after.height < before.height:
        left_out[reason] = left_out.get(reason, 0) + before.height - after.height
    return after


def _before_end(table: Table, end: int, notes: list[str]) -> pl.DataFrame:
    """A source's rows before the end of the log; contacts after it are told in a note, since nothing is wrong."""
    if (table.rows[TIME] < end).all():
        return table.rows
    contacts = before(table.rows.filter((pl.col(TIME) < end) | (pl.col(EVENT) == CONTACTED)), end, notes)
    theirs = table.rows.filter((pl.col(TIME) < end) | (pl.col(EVENT) != CONTACTED))
    return _counted(theirs, contacts, LATE, table.left_out)


def _refuse_empty(rows: pl.DataFrame, left_out: dict[str, int]) -> None:
    if rows.is_empty():
        reasons = ", ".join(f"{count} rows with {reason}" for reason, count in left_out.items())
        raise InputError("events", f"no usable event{': ' + reasons if reasons else '; the sources are empty'}")
