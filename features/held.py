"""A table that query plans read, put in anew for every run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source


class Held:
    """Rows that a plan built once reads whenever it runs.

    Attributes
    ----------
    frame
        The rows, with the columns of the schema.
    read
        The columns that runs have asked for.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = pl.Schema(schema)
        self.frame = pl.DataFrame(schema=self._schema)
        self.read = set[str]()

    def rows(self) -> pl.LazyFrame:
        """A plan that reads what is held when it runs."""
        return register_io_source(self._read, schema=self._schema)

    def _read(
        self, with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        frame = self.frame
        self.read |= set(frame.columns if with_columns is None else with_columns)
        frame = frame if predicate is None else frame.filter(predicate)
        frame = frame if with_columns is None else frame.select(with_columns)
        yield frame if n_rows is None else frame.head(n_rows)
