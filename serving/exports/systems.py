"""Files for systems: JSON lines and Parquet, with every id exactly as it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from serving.exports.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 5_000  # also the rows of a row group
DOCUMENT = "answer"


def json_lines(table: Table) -> Iterator[bytes]:
    """The documents as they are stored, one a line."""
    return (document + b"\n" for document in table.documents)


def write_parquet(table: Table, target: BinaryIO) -> None:
    """Write Parquet, typed also where there is no customer, a part of the rows at a time.

    A run's file has the whole answer as JSON text beside the columns, in `answer`.
    """
    import pyarrow.parquet as pq

    schema = _schema(table)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        while chunk := list(islice(table.documents, ROWS_AT_ONCE)):
            writer.write_table(_part(table, chunk, schema))


def _part(table: Table, documents: list[bytes], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    rows: list[dict[str, Any]] = [dict(table.row(document)) for document in documents]
    if DOCUMENT in schema.names:
        for row, document in zip(rows, documents, strict=True):
            row[DOCUMENT] = document.decode()
    return pa.Table.from_pylist(rows, schema)


def _schema(table: Table) -> pa.Schema:
    import pyarrow as pa

    types = {"text": pa.string(), "truth": pa.bool_(), "whole": pa.int64(), "time": pa.timestamp("us", "UTC")}
    fields = [pa.field(column.name, types.get(column.kind, pa.float64())) for column in table.columns]
    return pa.schema([*fields, pa.field(DOCUMENT, pa.string())] if table.whole else fields)
