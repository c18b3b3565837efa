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
from features.extra import Extra, arrived, before
from features.files import is_parquet, locate
from features.journey import Journey
from features.resolution import resolve_counted
from features.schema import CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, TIME
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

    @property
    def end(self) -> int | None:
        """The instant after the newest event; null: there is none but contacts."""
        return None if self.newest is None else self.newest + 1

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
    extra: Extra | None = None,
    erased: Erased | None = None,
) -> tuple[Journey, list[Path]]:
    """Read every source, and `extra`, into parts in `folder`; the resolved journey and the parts' files.

    As `features.log.read`; whoever was `erased` is left out.
    """
    paths = [folder / f"part-{number}.parquet" for number in range(1 + size(journey, base) // ROWS)]
    tally, last = Tally(), len(journey.events)
    with ExitStack() as stack:
        put = _Writers(paths, stack)
        for batch in _batches(journey, base, threads):
            rows = batch if erased is None else erased.left(batch)
            tally.add(rows)
            put.rows(rows)
        more, end, cutoff = arrived(extra, tally.end if journey.said_until is None else journey.said_until)
        if more is not None:
            shown = _of_source(before(more, cutoff, []), last, journey)
            tally.add(shown.filter(pl.col(TIME) < end))
            put.rows(shown)
    if tally.first is None:
        raise InputError("events", "no usable event", "sources that are not empty", "look at `journeycast check`")
    return resolve_counted(journey, tally.types, tally.channels, tally.first, end), paths


class _Writers:
    """Writes rows to the parts they belong to, each open until the end."""

    def __init__(self, paths: list[Path], stack: ExitStack) -> None:
        self._paths, self._stack = paths, stack
        self._writers: dict[Path, ParquetWriter] = {}

    def rows(self, rows: pl.DataFrame) -> None:
        """Write some."""
        for path, part in zip(self._paths, by_part(rows, len(self._paths)), strict=True):
            table = part.to_arrow()
            if path not in self._writers:
                self._writers[path] = self._stack.enter_context(ParquetWriter(path, table.schema, compression="lz4"))
            self._writers[path].write_table(table)


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


def _batches(journey: Journey, base: Path, threads: int | None) -> Iterator[pl.DataFrame]:
    end = journey.said_until
    for number, source in enumerate(journey.events):
        place = f"events.{number}"

        def pick(names: list[str], source=source, place=place) -> list[str]:  # type: ignore[no-untyped-def]
            return list(columns_of(source, journey, names, place).values())

        for batch in table_batches(source, base, pick, place, BATCH, threads):
            rows = canonical(batch, source, journey, place).rows
            rows = rows if end is None else rows.filter(pl.col(TIME) < end)
            yield _of_source(rows, number, journey)


def _of_source(rows: pl.DataFrame, number: int, journey: Journey) -> pl.DataFrame:
    """The rows in columns that are the same for every source."""
    if EVENT_ID not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(EVENT_ID))
    return shaped(rows, journey).with_columns(pl.lit(number, dtype=pl.Int16).alias(SOURCE))
