"""Some customers for all of them, where there are very many: drawn by their ids, and so the same on every run.

By a checksum that is the same on every machine and with every version of any library.
"""

from __future__ import annotations

import zlib

import polars as pl

from features.schema import CUSTOMER


def is_drawn(customer_id: str, customers: int, most: int) -> bool:
    """Whether a customer is among the about `most` that are drawn of so many; of no more than that everyone is.

    Who is drawn of many is drawn of fewer, too.
    """
    return customers <= most or zlib.crc32(customer_id.encode("utf-8", "surrogatepass")) / 2**32 < most / customers


def of_some(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """The rows of about `most` customers, with all of theirs, in their order; the very same rows where no more are."""
    customers = rows[CUSTOMER].unique()
    if len(customers) <= most:
        return rows
    chosen = [name for name in customers if is_drawn(name, len(customers), most)]
    return of_these(rows, pl.Series(chosen, dtype=customers.dtype))


def of_these(rows: pl.DataFrame, customers: pl.Series) -> pl.DataFrame:
    """The rows of the customers named, in their order."""
    return rows.filter(pl.col(CUSTOMER).is_in(customers.unique().implode()))
