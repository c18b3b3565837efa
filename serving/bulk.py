"""Many rows at once: COPY on PostgreSQL, one insert of many elsewhere."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.schema import Column

_TYPES = {"INTEGER": "int4", "BIGINT": "int8", "BOOLEAN": "bool", "BYTEA": "bytea", "JSON": "json"}  # SQL -> COPY


def put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows that all have the columns of the first.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        Where a row is there already.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
    else:
        connection.execute(insert(table), rows)


def _copy(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    import psycopg

    columns = [table.c[name] for name in rows[0]]
    names = ", ".join(f'"{column.name}"' for column in columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY)'
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type(connection, column) for column in columns])
            for row in rows:
                copy.write_row(tuple(row.values()))
    except psycopg.IntegrityError as error:
        raise IntegrityError(statement, None, error) from error
    except psycopg.Error as error:  # the server is away, its disk is full: as SQLAlchemy tells it elsewhere
        raise OperationalError(statement, None, error) from error


def _type(connection: Connection, column: Column[Any]) -> str:
    kind = column.type.compile(dialect=connection.dialect)
    if kind.startswith(("DOUBLE", "FLOAT")):
        return "float8"
    return _TYPES.get(kind, "text")
