"""One table as the journey describes it: files, a query over files, or a query to a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars import selectors

from features.files import Pick, file_batches, locate, read_files
from features.journey import Profile, Source
from features.queries import query_database, query_files


def read_table(
    source: Source | Profile, base: Path, pick: Pick | None = None, place: str = "events", threads: int | None = None
) -> pl.DataFrame:
    """The rows of a source in their order of arrival, under the source's own column names.

    Parameters
    ----------
    source : Source or Profile
        What the journey says.
    base : Path
        The folder relative paths start at.
    pick : callable, optional
        Chooses the columns to read among all; default: every column.
    place : str
        The source's key in the journey, for messages.
    threads : int, optional
        DuckDB's threads; default: all.

    Returns
    -------
    polars.DataFrame
        Columns of CSV are text, an empty text is null; others have the types they come with.

    Raises
    ------
    InputError
        A missing file, package or column, a glob without a match, a query's error, an
        unreachable database.
    """
    if source.query is None:
        frame = read_files(place, locate(f"{place}.file", source.file or "", base), pick)
    else:
        if source.database:
            frame = query_database(place, source.query, source.database, base)
        else:
            frame = query_files(place, source.query, source.files, base, threads)
        frame = frame.select(pick(frame.columns)) if pick else frame
    return frame.with_columns(selectors.string().replace("", None))


def table_batches(
    source: Source, base: Path, pick: Pick, place: str, rows: int, threads: int | None = None
) -> Iterator[pl.DataFrame]:
    """The rows that `read_table` gives, so many at a time; the answer of a query is in memory at once."""
    if source.query is None:
        batches = file_batches(place, locate(f"{place}.file", source.file or "", base), pick, rows)
    else:
        batches = read_table(source, base, pick, place, threads).iter_slices(rows)
    for batch in batches:
        yield batch.with_columns(selectors.string().replace("", None))


def origin(source: Source | Profile) -> str:
    """Where a source's rows come from, for people; a password never shows."""
    if source.file:
        return source.file
    if source.files:
        return "query over " + ", ".join(text.rsplit("/", 1)[-1] for text in source.files.values())
    return "query to " + (source.database or "").split("://")[0]
