"""Vectors to a file, for any table of customers and cutoffs, and the catalogue as text."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from features.catalogue import catalogue, columns
from features.engine import build
from features.errors import InputError
from features.instants import KEYS
from features.journey import Journey, Source
from features.labels import population
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF
from features.sources import read_table
from features.timestamps import parse


def write(journey: Journey, log: EventLog, output: Path, cutoffs: Path | None = None) -> int:
    """Write one vector per row of `cutoffs` (default: everyone at `observed_until`); the number of rows.

    `cutoff` is written as a timestamp (microseconds, naive UTC).
    """
    if output.suffix != ".parquet":
        raise InputError(str(output), "not a Parquet file's name", "a name that ends in .parquet")
    wanted = read_cutoffs(cutoffs) if cutoffs else population(log.events, [journey.observed_until_microseconds])
    built = build(log.events, wanted, catalogue(journey), log.profile)
    output.parent.mkdir(parents=True, exist_ok=True)
    built.with_columns(pl.from_epoch(CUTOFF, time_unit="us").alias(CUTOFF)).write_parquet(output)
    return len(built)


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
