"""Logs larger than memory: events by part, each part some of the customers with all of their events.

Sources are read a batch at a time and every row goes to the part its customer's hash names, so that
vectors can be built part by part. Only files are read in batches; the answer of a query to a
database or over files must fit in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from pyarrow.parquet import ParquetFile, ParquetWriter

from features.canonical import canonical, columns_of, ordered, shaped, without_repeated_ids
from features.erased import Erased
from features.errors import InputError
from features.files import is_parquet, locate
from features.journey import Journey
from features.resolution import resolve_counted
from features.schema import CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, TIME, to_microseconds
from features.sources import table_batches

ROWS = 4_000_000  # of a part, about
BATCH = 500_000  # rows read at a time
CSV_ROW = 50  # bytes, about: the number of rows of a CSV file is not known before it is read
SOURCE = "source"  # which source a row came from


@dataclass(slots=True)
class Tally:
    """What a journey is resolved with, counted while reading."""

    types: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    first: int | None = None
    newest: int | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Count one batch."""
        if rows.is_empty():
            return
        self.types.update(dict(rows[EVENT].value_counts().rows()))
        self.channels.update(dict(rows[CHANNEL].drop_nulls().value_counts().rows()))
        theirs = pl.col(EVENT) != CONTACTED  # what the business did says nothing of how far the log has come
        low, high = rows.select(pl.col(TIME).min(), pl.col(TIME).filter(theirs).max().alias("high")).row(0)
        self.first = low if self.first is None else min(self.first, low)
        self.newest = self.newest if high is None else high if self.newest is None else max(self.newest, high)


def size(journey: Journey, base: Path) -> int:
    """About how many rows the journey's files hold; 0 for other sources."""
    found = 0
    for number, source in enumerate(journey.events):
        if source.file:
            for path in locate(f"events.{number}.file", source.file, base):
                found += ParquetFile(path).metadata.num_rows if is_parquet(path) else path.stat().st_size // CSV_ROW
    return found


def split(
    journey: Journey,
    base: Path,
    folder: Path,
    threads: int | None = None,
    extra: pl.DataFrame | None = None,
    erased: Erased | None = None,
) -> tuple[Journey, list[Path]]:
    """Read every source, and `extra`, into parts in `folder`; the resolved journey and the parts' files.

    Whoever was `erased` is left out.

    As `features.log.read`, but an `event_id` is looked for among the events of its customer only.
    """
    paths = [folder / f"part-{number}.parquet" for number in range(1 + size(journey, base) // ROWS)]
    tally = Tally()
    with ExitStack() as stack:
        writers: dict[Path, ParquetWriter] = {}
        for batch in _batches(journey, base, threads, extra):
            rows = batch if erased is None else erased.left(batch)
            tally.add(rows)
            for path, part in zip(paths, by_part(rows, len(paths)), strict=True):
                table = part.to_arrow()
                if path not in writers:
                    writers[path] = stack.enter_context(ParquetWriter(path, table.schema, compression="lz4"))
                writers[path].write_table(table)
    if tally.first is None or tally.newest is None:
        raise InputError("events", "no usable event", "sources that are not empty", "look at `journeycast check`")
    return resolve_counted(journey, tally.types, tally.channels, tally.first, tally.newest), paths


def by_part(rows: pl.DataFrame, parts: int) -> list[pl.DataFrame]:
    """The rows of each part, in their order; a customer is always in the same."""
    if parts == 1:
        return [rows]
    number = rows[CUSTOMER].hash(seed=0) % parts
    return [rows.filter(number == part) for part in range(parts)]


def read_part(journey: Journey, path: Path) -> pl.DataFrame:
    """One part's events, as `features.log.read` gives those of a log."""
    rows = pl.read_parquet(path)
    for number, source in enumerate(journey.events):
        if source.drop_duplicates:
            own = pl.col(SOURCE) == number
            rows = rows.filter(~own | pl.struct(pl.all()).is_first_distinct())
    return ordered(without_repeated_ids(rows.drop(SOURCE)))


def customers(paths: Iterable[Path], cutoff: int) -> int:
    """How many customers of the parts have an event that was known before the cutoff."""
    known = pl.max_horizontal(TIME, KNOWN_AT) < cutoff
    return sum(
        int(pl.scan_parquet(path).filter(known).select(pl.col(CUSTOMER).n_unique()).collect().item())
        for path in paths
        if path.exists()
    )


def first_time(paths: Iterable[Path]) -> int | None:
    """The time of the first event of all parts; null: there is none."""
    found = [pl.scan_parquet(path).select(pl.col(TIME).min()).collect().item() for path in paths if path.exists()]
    return min((int(time) for time in found if time is not None), default=None)


def _batches(journey: Journey, base: Path, threads: int | None, extra: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
    end = None if journey.observed_until is None else to_microseconds(journey.observed_until)
    for number, source in enumerate(journey.events):
        place = f"events.{number}"

        def pick(names: list[str], source=source, place=place) -> list[str]:  # type: ignore[no-untyped-def]
            return list(columns_of(source, journey, names, place).values())

        for batch in table_batches(source, base, pick, place, BATCH, threads):
            rows = canonical(batch, source, journey, place).rows
            rows = rows if end is None else rows.filter(pl.col(TIME) < end)
            yield _of_source(rows, number, journey)
    if extra is not None and extra.height:
        rows = extra.with_columns(pl.col(KNOWN_AT).fill_null(pl.col(TIME)))
        yield _of_source(rows if end is None else rows.filter(pl.col(TIME) < end), len(journey.events), journey)


def _of_source(rows: pl.DataFrame, number: int, journey: Journey) -> pl.DataFrame:
    """The rows in columns that are the same for every source."""
    if EVENT_ID not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(EVENT_ID))
    return shaped(rows, journey).with_columns(pl.lit(number, dtype=pl.Int16).alias(SOURCE))
