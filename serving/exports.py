"""The at-risk list as a file for people: CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from features.errors import InputError
from serving.answers import AtRiskCustomer

COLUMNS = tuple(AtRiskCustomer.model_fields)
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(customers: Iterable[AtRiskCustomer]) -> str:
    """The list as CSV (RFC 4180), one line of names first; null is an empty cell.

    Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
    """
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    lines.writerows([_cell(getattr(customer, name)) for name in COLUMNS] for customer in customers)
    return text.getvalue()


def _cell(value: str | float | None) -> str | float | None:
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS_FORMULA) else value


def write(customers: Iterable[AtRiskCustomer], path: Path) -> None:
    """Write the list to a file: `.csv` for people, `.parquet` with ids exactly as they are.

    Raises
    ------
    InputError
        Where the name ends in anything else.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise InputError(str(path), "a list cannot be written in this form", "a name that ends in .csv or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text(to_csv(customers), encoding="utf-8", newline="")
    else:
        pl.DataFrame([one.model_dump() for one in customers], infer_schema_length=None).write_parquet(path)
