"""The logs that are measured: simulated once, made larger by repeating customers under new ids."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import cast

import polars as pl
from pyarrow.parquet import ParquetFile, ParquetWriter

from benchmarks.lines import progress
from features.definition import SHIPPED
from features.schema import CUSTOMER, EVENT_ID

JOURNEYCAST = (sys.executable, str(SHIPPED.parent / "journeycast.py"))
BEGIN = date(2023, 1, 1)  # of the simulator
ROWS = 500_000  # copied at a time


@dataclass(frozen=True, slots=True)
class Size:
    """How large the base log is: so many customers, so many days."""

    customers: int
    days: int


def base(folder: Path, size: Size) -> Path:
    """The simulated log, made where it is not there yet."""
    path = folder / f"simulated-{size.customers}-{size.days}.parquet"
    if not path.exists():
        progress(f"simulating {size.customers:,} customers for {size.days} days")
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"unfinished-{path.name}"
        command = [*JOURNEYCAST, "simulate", "-o", str(part)]
        command += ["--customers", str(size.customers), "--days", str(size.days)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        part.replace(path)
    return path


def times(path: Path, copies: int) -> Path:
    """The log with every customer so many times, each copy with ids of its own."""
    larger = path.with_name(f"{path.stem}-times-{copies}.parquet")
    if copies == 1 or larger.exists():
        return path if copies == 1 else larger
    progress(f"repeating every customer of {path.name} {copies} times")
    part = path.with_name(f"unfinished-{larger.name}")
    with ExitStack() as stack:
        writer: ParquetWriter | None = None
        for copy in range(copies):
            for batch in ParquetFile(path).iter_batches(ROWS):
                rows = cast(pl.DataFrame, pl.from_arrow(batch)).with_columns(pl.col(CUSTOMER, EVENT_ID) + f"-{copy}")
                table = rows.to_arrow()
                writer = writer or stack.enter_context(ParquetWriter(part, table.schema, compression="lz4"))
                writer.write_table(table)
    part.replace(larger)
    return larger


def some(path: Path, share: int) -> Path:
    """The events of one customer in `share`."""
    fewer = path.with_name(f"{path.stem}-one-in-{share}.parquet")
    if not fewer.exists():
        log = pl.scan_parquet(path)
        customers = log.select(pl.col(CUSTOMER).unique().sort().gather_every(share)).collect().to_series()
        log.filter(pl.col(CUSTOMER).is_in(customers.implode())).sink_parquet(fewer)
    return fewer


def definition(log: Path, days: int) -> Path:
    """The shipped definition over a log of so many days."""
    until = datetime.combine(BEGIN + timedelta(days=days), clock(), UTC)
    text = (SHIPPED / "simulated.yml").read_text(encoding="utf-8")
    for before, after in (
        ("../.journeycast/simulated.parquet", log.name),
        ("2024-06-24T00:00:00Z", until.isoformat()),
        ("within: 84d", "within: 56d"),
    ):
        if before not in text:
            raise ValueError(f"simulated.yml no longer says {before!r}")
        text = text.replace(before, after)
    path = log.with_suffix(".yml")
    path.write_text(text, encoding="utf-8")
    return path
