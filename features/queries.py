"""Queries: DuckDB's SQL over named files, and SQL sent to a database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from features import addresses
from features.errors import InputError
from features.files import is_parquet, locate

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import URL

SINGLE, DOUBLE = "'", '"'  # SQL quotes texts with the one, names with the other
_DATABASES = "a SQLAlchemy URL such as sqlite:///events.db or postgresql://name@host/database"


def query_files(place: str, query: str, files: dict[str, str], base: Path, threads: int | None) -> pl.DataFrame:
    """The result of one SELECT over views of the named files.

    CSV columns are text in the query (cast what you calculate with), so that no id loses its
    zeros. The query sees the named files and nothing else: no other file, no network, no writing.
    Order the rows where the order of events of one instant matters.
    """
    import duckdb

    located = {name: locate(f"{place}.files.{name}", text, base) for name, text in files.items()}
    with duckdb.connect(config={"threads": threads} if threads else {}) as connection:
        try:
            for name, paths in located.items():
                connection.execute(f"create view {_quoted(name, DOUBLE)} as {_scan(paths)}")
            _lock(connection, [path for paths in located.values() for path in paths])
            _refuse_all_but_select(place, connection, query)
            found: pl.DataFrame = connection.sql(query).pl()
            return found
        except duckdb.Error as error:
            views = ", ".join(f"{name} ({len(paths)} file{'s'[: len(paths) - 1]})" for name, paths in located.items())
            raise InputError(
                f"{place}.query", _said(error), f"one SELECT in DuckDB's SQL over {views}", "mend the query"
            ) from None


def query_database(place: str, query: str, address: str, base: Path) -> pl.DataFrame:
    """The result of a query sent to a SQLAlchemy URL; nothing is committed.

    A relative path of an SQLite file starts at `base`. Passwords never show in an error.
    """
    from sqlalchemy import create_engine, exc

    url = _url(place, address, base)
    shown = addresses.shown(url)
    try:
        wait = {"connect_timeout": 10} if url.get_backend_name() == "postgresql" else {}
        engine = create_engine(url, connect_args=wait)
    except (exc.ArgumentError, ImportError) as error:
        raise InputError(f"{place}.database", f"{shown}: {addresses.masked(_said(error), url)}", _DATABASES) from None
    try:
        with engine.connect() as connection:
            result = connection.execution_options(no_parameters=True).exec_driver_sql(query)
            names = list(result.keys())
            rows = [tuple(row) for row in result]
    except exc.SQLAlchemyError as error:
        said = addresses.masked(_said(getattr(error, "orig", None) or error), url)
        raise InputError(f"{place}.query", f"{shown}: {said}", "a query this database can answer") from None
    finally:
        engine.dispose()
    return _frame(names, rows)


def _frame(names: list[str], rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """Rows as a frame."""
    return pl.DataFrame([_column(name, [row[number] for row in rows]) for number, name in enumerate(names)])


def _column(name: str, values: list[object]) -> pl.Series:
    """One type for a column that may have several (SQLite allows it): numbers if all are, else text."""
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        if all(value is None or isinstance(value, int | float) for value in values):
            return pl.Series(name, values, pl.Float64, strict=False)
        return pl.Series(name, [None if value is None else str(value) for value in values], pl.String)


def _scan(paths: list[Path]) -> str:
    listed = "[" + ", ".join(_quoted(str(path), SINGLE) for path in paths) + "]"
    if is_parquet(paths[0]):
        return f"select * from read_parquet({listed}, hive_partitioning = false)"  # noqa: S608
    return f"select * from read_csv({listed}, header = true, all_varchar = true, nullstr = '')"  # noqa: S608


def _lock(connection: duckdb.DuckDBPyConnection, paths: list[Path]) -> None:
    """From here on the connection reads these files only and its settings stand; its clock is UTC."""
    listed = ", ".join(_quoted(str(path), SINGLE) for path in paths)
    for statement in (
        "load icu",
        "set TimeZone = 'UTC'",
        f"set allowed_paths = [{listed}]",
        "set enable_external_access = false",
        "set lock_configuration = true",
    ):
        connection.execute(statement)


def _refuse_all_but_select(place: str, connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """COPY could write to the very files the query may read."""
    kinds = [statement.type.name for statement in connection.extract_statements(query)]
    if kinds != ["SELECT"]:
        found = " and ".join(kinds) or "nothing"
        raise InputError(f"{place}.query", f"{found} in place of one SELECT", "one SELECT in DuckDB's SQL")


def _quoted(text: str, sign: str) -> str:
    return sign + text.replace(sign, sign + sign) + sign


def _url(place: str, address: str, base: Path) -> URL:
    from sqlalchemy import exc, make_url

    shown = re.sub(r"://.*@", "://***@", address)
    try:
        url = make_url(address)
    except (exc.ArgumentError, ValueError):
        raise InputError(f"{place}.database", f"{shown} is not a database URL", _DATABASES) from None
    if "@" in (url.host or ""):  # the driver's message would show the password's second half
        raise InputError(f"{place}.database", f"{shown} holds two @", _DATABASES, "write %40 for an @ in a password")
    if url.drivername == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        path = base / url.database
        if not path.is_file():  # SQLite would make an empty database
            raise InputError(f"{place}.database", f"{url.database}: no such file", "an SQLite file")
        return url.set(database=str(path))
    return url


def _said(error: BaseException) -> str:
    """The message without its empty lines and the address SQLAlchemy adds."""
    lines = [line.rstrip() for line in str(error).splitlines()]
    return "\n    ".join(line for line in lines if line and not line.startswith("(Background"))
