"""Many rows at once: COPY on PostgreSQL, one insert of many elsewhere."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Connection, Table, any_, bindparam, insert
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.schema import Column

from features.errors import InputError

_TYPES = {"INTEGER": "int4", "BIGINT": "int8", "BOOLEAN": "bool", "BYTEA": "bytea", "JSON": "json"}  # SQL -> COPY


def put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows that all have the columns of the first.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        Where a row is there already.
    InputError
        Where a value is one that the database does not take.
    """
    if not rows:
        return
    try:
        if connection.dialect.name == "postgresql":
            _copy(connection, table, rows)
        else:
            connection.execute(insert(table), rows)
    except (DataError, UnicodeError, OverflowError, struct.error) as error:
        raise _refused(table, rows, error) from error


def among(connection: Connection, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """That a column has one of these values: one parameter for any number of them, where the database knows arrays."""
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, values, ARRAY(column.type)))
    return column.in_(values)


def _refused(table: Table, rows: list[dict[str, Any]], error: Exception) -> InputError:
    """The first value that no database takes, or what this one says of what it does not take."""
    for row in rows:
        for name, value in row.items():
            if accepted := _accepted(table.c[name], value):
                of = f" of {row['customer_id']!r}" if name != "customer_id" and "customer_id" in row else ""
                return InputError(f"{table.name}: {name}{of}", ascii(value)[:100], accepted, "correct it at its source")
    cause = getattr(error, "orig", None) or error
    return InputError(f"{table.name}", str(cause).partition("\n")[0], "values that the database takes")


def _accepted(column: Column[Any], value: Any) -> str | None:
    """What the column takes, where the value is something else; null: it may be stored."""
    if isinstance(value, str):
        try:
            value.encode()
            return "text without the character NUL" if "\x00" in value else None
        except UnicodeEncodeError:
            return "text that is Unicode: no half of a surrogate pair"
    if isinstance(value, int) and not isinstance(value, bool):
        bits = 63 if isinstance(column.type, BigInteger) else 31
        return None if -(2**bits) <= value < 2**bits else f"a whole number of {bits + 1} bits"
    return None


def _copy(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    import psycopg

    columns = [table.c[name] for name in rows[0]]
    names = ", ".join(f'"{column.name}"' for column in columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    driver: Any = connection.connection.driver_connection
    types = [_type(connection, column) for column in columns]
    for column, kind in zip(columns, types, strict=True):
        # psycopg cuts what is too large for an int4 to its lower bits, and says nothing.
        if kind == "int4" and _overflows(row[column.name] for row in rows):
            raise OverflowError(column.name)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(tuple(row.values()))
    except psycopg.IntegrityError as error:
        raise IntegrityError(statement, None, error) from error
    except psycopg.DataError as error:
        raise DataError(statement, None, error) from error
    except psycopg.Error as error:  # the server is away, its disk is full: as SQLAlchemy tells it elsewhere
        lost = bool(driver.closed)
        if lost:
            connection.invalidate(error)
        raise OperationalError(statement, None, error, connection_invalidated=lost) from error


def _overflows(values: Iterable[Any]) -> bool:
    known = [value for value in values if isinstance(value, int)]
    return bool(known) and not (min(known) >= -(2**31) and max(known) < 2**31)


def _type(connection: Connection, column: Column[Any]) -> str:
    kind = column.type.compile(dialect=connection.dialect)
    if kind.startswith(("DOUBLE", "FLOAT")):
        return "float8"
    return _TYPES.get(kind, "text")
