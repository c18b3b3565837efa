"""Vectors to a file, for any table of customers and cutoffs, and the catalogue as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import polars as pl
from pyarrow.parquet import ParquetWriter

from features import parts
from features.catalogue import catalogue, columns
from features.engine import build
from features.erased import Erased
from features.errors import InputError
from features.extra import Extra
from features.instants import KEYS
from features.journey import Journey, Source
from features.labels import population
from features.log import read
from features.profile import read_profile
from features.schema import CUSTOMER, CUTOFF
from features.sources import read_table
from features.timestamps import parse


def write(
    journey: Journey,
    base: Path,
    output: Path,
    cutoffs: Path | None = None,
    threads: int | None = None,
    extra: Extra | None = None,
    erased: Erased | None = None,
) -> int:
    """Write one vector per row of `cutoffs` (default: everyone at `observed_until`); the number of rows.

    A log too large for memory is read and built in parts, some of the customers at a time; their
    vectors then stand part by part.

    Parameters
    ----------
    journey
        As `features.definition.read` gives it, with `base`.
    output
        A Parquet file, there whole or not at all. `cutoff` is a timestamp (microseconds, naive UTC).
    cutoffs
        A Parquet or CSV file with `customer_id` and `cutoff`.
    threads
        DuckDB's threads; default: all.
    extra
        Events that stand in no source, as `features.log.read` takes them.
    erased
        Who is left out.
    """
    if output.suffix != ".parquet":
        raise InputError(str(output), "not a Parquet file's name", "a name that ends in .parquet")
    wanted = read_cutoffs(cutoffs) if cutoffs else None
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        built = Path(folder, output.name)
        rows = _write(_vectors(journey, base, wanted, Path(folder), _More(threads, extra, erased)), built)
        built.replace(output)
    return rows


class _More(NamedTuple):
    """What reading a log takes beside its sources, in the order of `features.log.read`."""

    threads: int | None
    extra: Extra | None
    erased: Erased | None


def _write(frames: Iterable[pl.DataFrame], path: Path) -> int:
    rows = 0
    with ExitStack() as stack:
        writer: ParquetWriter | None = None
        for frame in frames:
            table = frame.with_columns(pl.from_epoch(CUTOFF, time_unit="us").alias(CUTOFF)).to_arrow()
            writer = writer or stack.enter_context(ParquetWriter(path, table.schema, compression="zstd"))
            writer.write_table(table)
            rows += len(frame)
    return rows


def _vectors(
    journey: Journey,
    base: Path,
    wanted: pl.DataFrame | None,
    folder: Path,
    more: _More,
) -> Iterator[pl.DataFrame]:
    """The vectors of the journey's customers, in one frame or one per part."""
    if parts.size(journey, base) <= parts.ROWS:
        resolved, log = read(journey, base, *more)
        yield _built(resolved, log.events, wanted, log.profile)
        return
    resolved, paths = parts.split(journey, base, folder, *more)
    profile = read_profile(journey, base, more.threads, more.erased)
    asked = [None] * len(paths) if wanted is None else parts.by_part(wanted, len(paths))
    for path, rows in zip(paths, asked, strict=True):
        yield _built(resolved, parts.read_part(journey, path), rows, profile)


def _built(
    journey: Journey, events: pl.DataFrame, wanted: pl.DataFrame | None, profile: pl.DataFrame | None
) -> pl.DataFrame:
    everyone = population(events, [journey.observed_until_microseconds]) if wanted is None else wanted
    return build(events, everyone, catalogue(journey), profile)


def read_cutoffs(path: Path) -> pl.DataFrame:
    """`customer_id` and `cutoff` of a Parquet or CSV file; a naive `cutoff` is UTC.

    Raises
    ------
    InputError
        Where the file is missing, lacks a column, or holds a pair twice.
    """
    if not path.is_file():
        raise InputError("--cutoffs", f"no file {path}", "a Parquet or CSV file with customer_id and cutoff")
    frame = read_table(Source(file=str(path.resolve())), Path.cwd(), place=f"--cutoffs {path}")
    if missing := [name for name in KEYS if name not in frame.columns]:
        raise InputError(f"--cutoffs {path}", f"columns {', '.join(frame.columns)}", ", ".join(KEYS), f"add {missing}")
    rows = pl.DataFrame({CUSTOMER: frame[CUSTOMER].cast(pl.String), CUTOFF: parse(frame[CUTOFF], "UTC").microseconds})
    wrong = rows.is_duplicated() | rows.select(pl.any_horizontal(pl.all().is_null())).to_series()
    if wrong.any():
        number = wrong.arg_true()[0]
        found = f"row {number + 1}, {frame[CUSTOMER][number]!r} at {frame[CUTOFF][number]!r}: twice, or not complete"
        raise InputError(f"--cutoffs {path}", found, "each customer and time once, such as 2024-06-01T00:00:00Z")
    return rows


def catalogue_text(journey: Journey) -> str:
    """Every feature, a line each: name, unit, reason code, description."""
    rows = [(f.name, f.unit, f.reason, f.description) for f in columns(journey)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join("  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]) for row in rows)
