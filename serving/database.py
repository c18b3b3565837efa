"""The database behind the score store: how it is reached, and whether its tables are the store's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from features.addresses import shown
from features.errors import InputError
from serving import access_tables as _access_tables  # noqa: F401 - they are the store's too
from serving.migrations import upgrade
from serving.tables import SCHEMA, metadata, schema_version

_LOCK = 0x6A6F7572  # PostgreSQL's, which knows locks by numbers


class StoreError(InputError):
    """The score store cannot be reached, or is not one that this version can use."""


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
        if name == "postgresql":
            return create_engine(found, hide_parameters=True, pool_pre_ping=True, connect_args={"connect_timeout": 5})
        return _sqlite(found)
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


def _sqlite(url: URL) -> Engine:
    # SQLite's driver begins transactions late and by its own rules; here SQLAlchemy says when.
    engine = create_engine(url, hide_parameters=True, connect_args={"isolation_level": None})

    @event.listens_for(engine, "connect")
    def _settings(connection, _record) -> None:  # type: ignore[no-untyped-def]
        for setting in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def transaction(engine: Engine, *, writes: bool = False) -> Iterator[Connection]:
    """A transaction; one that only reads sees one state of the database throughout.

    Raises
    ------
    StoreError
        Where the database cannot be reached, read or written.
    """
    options = {"isolation_level": "REPEATABLE READ"} if engine.name == "postgresql" and not writes else {}
    try:
        with engine.connect().execution_options(writes=writes, **options) as connection, connection.begin():
            yield connection
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, PoolTimeoutError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(
            f"score store {shown(str(engine.url))}",
            str(cause).strip().partition("\n")[0],
            "a database that can be reached, read and written",
            "see that it is running, its disk has room and this user may write to it",
        ) from error


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
    with transaction(engine, writes=True) as connection:
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


def lock(connection: Connection) -> None:
    """Let one writing transaction of those that ask for it proceed at a time; SQLite always does."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


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
