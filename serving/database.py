"""The database behind the score store: how it is reached, and whether its tables are the store's."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, insert, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from features.addresses import shown
from features.errors import InputError
from serving import access_tables as _access_tables  # noqa: F401 - they are the store's too
from serving.migrations import upgrade
from serving.tables import SCHEMA, metadata, schema_version

_POOL_SECONDS = 10.0  # for one of the connections that others use
_LOCK, _NAMED_LOCKS = 0x6A6F7572, 0x6A6F7576  # PostgreSQL's, which knows locks by numbers
# PostgreSQL: waits for the disk, and for the standbys where it was told to.
DURABLE = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " WHEN 'local' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"
)
_PATIENCE = 30_000  # milliseconds SQLite waits for others
# What is deleted is written over, or an erased customer would be left in the file.
_SETTINGS = (
    *(f"busy_timeout={_PATIENCE}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"),
    "secure_delete=ON",
)
# PostgreSQL: no privilege, table, column or schema, where SQLite tells of the file. Other statements are our mistakes.
_NOT_AS_MADE = ("42501", "42P01", "42703", "3F000")
_SWEEPS = 2_000  # milliseconds that are waited for those who still read what was deleted


class StoreError(InputError):
    """The score store cannot be reached, or is not one that this version can use."""


class AwayError(StoreError):
    """The score store does not answer: whoever asks it next will wait in vain, too."""


def connect(url: str) -> Engine:
    """An engine for the store at `url`; nothing is opened yet.

    Raises
    ------
    InputError
        Where `url` is not one that the store can live at.
    """
    try:
        found = make_url(url)
        name = found.get_backend_name()
        if name not in ("sqlite", "postgresql") or (name == "sqlite" and found.database in (None, "", ":memory:")):
            raise ArgumentError
        return _postgresql(found) if name == "postgresql" else _sqlite(found)
    except (ArgumentError, NoSuchModuleError):
        raise InputError(
            "score store",
            f"{shown(url)!r} is not the address of a store",
            "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
            "correct the address",
        ) from None


def exists(url: str) -> bool:
    """Whether there is a database at `url`: a file for SQLite, anything for a server."""
    found = make_url(url)
    return found.get_backend_name() != "sqlite" or Path(found.database or "").exists()


def _postgresql(url: URL) -> Engine:
    from serving import patience

    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_timeout=_POOL_SECONDS)
    event.listen(engine, "do_connect", lambda _, __, args, named: patience.connection(args, named))
    return engine


def _sqlite(url: URL) -> Engine:
    # SQLite's driver begins transactions late and by its own rules; here SQLAlchemy says when.
    engine = create_engine(url, hide_parameters=True, connect_args={"isolation_level": None})

    @event.listens_for(engine, "connect")
    def _settings(connection, _record) -> None:  # type: ignore[no-untyped-def]
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def transaction(engine: Engine, *, writes: bool = False, long: bool = False) -> Iterator[Connection]:
    """A transaction; one that only reads sees one state of the database throughout.

    Parameters
    ----------
    long
        Its statements may take minutes. Others fail where PostgreSQL takes longer than `serving.patience` says.

    Raises
    ------
    AwayError
        Where PostgreSQL cannot be reached, or does not answer any more.
    StoreError
        Where the database cannot be opened, read or written.
    """
    options = {"isolation_level": "REPEATABLE READ"} if engine.name == "postgresql" and not writes else {}
    try:
        opened = engine.connect()
    except (DBAPIError, PoolTimeoutError) as error:
        kind = AwayError if engine.name == "postgresql" and isinstance(error, DBAPIError) else StoreError
        raise _told(kind, engine, error) from error
    try:
        with (
            opened.execution_options(writes=writes, **options) as connection,
            _patient(connection, long=long),
            connection.begin(),
        ):
            if long and engine.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection
    except (IntegrityError, DataError):
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) not in _NOT_AS_MADE:
            raise
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        raise _told(AwayError if lost else StoreError, engine, error) from error


def _told(kind: type[StoreError], engine: Engine, error: DBAPIError | PoolTimeoutError) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return kind(
        f"score store {shown(str(engine.url))}",
        str(cause).strip().partition("\n")[0],
        "a database that can be reached, read and written",
        "see that it is running, its disk has room and this user may write to it",
    )


@contextmanager
def _patient(connection: Connection, *, long: bool) -> Iterator[None]:
    """Say for how long PostgreSQL may be silent."""
    if connection.dialect.name != "postgresql":
        yield
        return
    from serving import patience

    driver: Any = connection.connection.driver_connection
    driver.patience = patience.LONG if long else patience.USUAL
    try:
        yield
    finally:
        driver.patience = patience.SETUP


def sweep(engine: Engine) -> bool:
    """Write what was deleted over in the file itself and empty SQLite's log of writes; whether that was possible.

    It is not while somebody reads what was there before. PostgreSQL sees to it itself, in its own time.
    """
    if engine.name != "sqlite":
        return True
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_SWEEPS}")
        (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute(f"PRAGMA busy_timeout={_PATIENCE}")
    except sqlite3.OperationalError:
        raw.invalidate()
        return False
    finally:
        raw.close()
    return not busy


def prepare(engine: Engine) -> None:
    """Make the tables in an empty database, or bring those of an earlier version to this one.

    Raises
    ------
    StoreError
        Where the database holds other tables, or those of a version that no step leads on from.
    """
    if engine.name == "sqlite":
        Path(engine.url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
    with transaction(engine) as connection:
        if _version(connection) == SCHEMA:
            return
    with transaction(engine, writes=True, long=True) as connection:
        lock(connection)
        version = _version(connection)
        if version is None:
            metadata.create_all(connection)
            connection.execute(insert(schema_version).values(version_num=SCHEMA))
        elif upgrade(connection, version) != SCHEMA:
            raise StoreError(
                _place(connection),
                f"its tables are of version {version}",
                f"version {SCHEMA}",
                "install the version of journeycast that made them, or score into a new store",
            )


def upsert(connection: Connection, table: Table) -> Any:
    """An insert that can say what happens where a row is there already."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def lock(connection: Connection) -> None:
    """Let one writing transaction of those that ask for it proceed at a time; SQLite always does."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def one_at_a_time(connection: Connection, what: str) -> None:
    """Let one writing transaction of those that do the same proceed at a time; SQLite always does."""
    if connection.dialect.name == "postgresql":
        keys = {"key": _NAMED_LOCKS, "what": zlib.crc32(what.encode()) - 2**31}
        connection.execute(text("SELECT pg_advisory_xact_lock(:key, :what)"), keys)


def durable(connection: Connection) -> None:
    """Let this transaction be on the disk when it ends, whatever the database was told; SQLite always is."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT {DURABLE}"))


def _version(connection: Connection) -> str | None:
    """The version of the store's tables; null in an empty database."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if schema_version.name not in tables:
        raise StoreError(
            _place(connection),
            f"the database holds other tables ({', '.join(sorted(tables)[:5])})",
            "an empty database, or one that journeycast made",
            "give the score store a database of its own",
        )
    return str(connection.execute(select(schema_version.c.version_num)).scalar())


def _place(connection: Connection) -> str:
    return f"score store {shown(str(connection.engine.url))}"
