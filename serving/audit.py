"""Who read or changed what, and when: kept in memory for a moment, and written in batches beside the requests."""

from __future__ import annotations

import logging
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from features.schema import DAY
from serving.access_tables import audit
from serving.clock import now
from serving.database import StoreError
from serving.kept_out import barred
from serving.store import Store

LOOPBACK = "loopback"  # who asks a server that has no keys
COMMAND_LINE = "command line"
KEPT = 400 * DAY
EVERY_JOURNEY = "*"  # what is no journey's own, such as a key
_EVERY_SECONDS = 1.0
_PURGED_EVERY_SECONDS = 3600.0
_SOON = 1_000  # entries that are not kept waiting
_MOST = 200_000  # entries that wait for a store that is away
_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One request: `at` in microseconds, `route` the template, `customer_id` null where it is not one."""

    at: int
    who: str
    method: str
    route: str
    journey: str
    customer_id: str | None
    status: int


class Audit:
    """Takes entries from any thread and writes them by a thread of its own, all of them when it is closed."""

    def __init__(self, store: Store) -> None:
        self._store, self._waiting, self._away = store, deque[Entry](), False
        self._lock, self._wake, self._end = Lock(), Event(), Event()
        self._thread: Thread | None = None
        self._purge_at = time.monotonic()

    def add(self, entry: Entry) -> None:
        """Take an entry; it is stored within a second or so."""
        if len(self._waiting) >= _MOST:
            self._waiting.popleft()
            _log.error("the audit log loses entries: the store has been away for too long")
        self._waiting.append(entry)
        if self._thread is None:
            self._start()
        if len(self._waiting) >= _SOON:
            self._wake.set()

    def flush(self) -> None:
        """Write what waits; where the store is away, it goes on waiting."""
        with self._lock:
            entries = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not entries:
                return
            try:
                self._write(entries)
                self._away = False
            except StoreError as error:
                self._waiting.extendleft(reversed(entries))
                if not self._away:  # once: this is tried every second
                    _log.warning("audit entries wait: %s", error.found)
                self._away = True
            except Exception:  # one of them cannot be written: the others must not go with it
                self._write_singly(entries)

    def _write(self, entries: list[Entry]) -> None:
        purges = time.monotonic() >= self._purge_at
        with self._store.transaction(writes=True, long=purges) as connection:
            write(connection, entries)
            if purges:
                purge(connection)
                self._purge_at = time.monotonic() + _PURGED_EVERY_SECONDS

    def _write_singly(self, entries: list[Entry]) -> None:
        for number, entry in enumerate(entries):
            try:
                self._write([entry])
            except StoreError:
                self._waiting.extendleft(reversed(entries[number:]))
                return
            except Exception:  # the next entries must not wait for whoever mends this
                _log.exception("an audit entry is lost")

    def close(self) -> None:
        """Write what waits, and end."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end.set()
            self._wake.set()
            thread.join()
            self._end.clear()
        self.flush()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="audit", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            self._wake.wait(_EVERY_SECONDS)
            self._wake.clear()
            self.flush()


def write(connection: Connection, entries: list[Entry]) -> None:
    """Write entries, without the ids of customers who were erased."""
    rows = [entry._asdict() for entry in entries]
    for journey in {entry.journey for entry in entries}:
        theirs = [row for row in rows if row["journey"] == journey and row["customer_id"] is not None]
        gone = barred(connection, journey, {row["customer_id"] for row in theirs})
        for row in theirs:
            row["customer_id"] = None if row["customer_id"] in gone else row["customer_id"]
    connection.execute(insert(audit), rows)


def purge(connection: Connection) -> None:
    """Delete what is too old."""
    connection.execute(delete(audit).where(audit.c.at < now() - KEPT))


def newest(
    store: Store, journey: str, limit: int, *, customer_id: str | None = None, who: str | None = None, since: int = 0
) -> list[Entry]:
    """The newest entries of a journey first, and those of every journey, such as keys that were made.

    Parameters
    ----------
    customer_id, who
        Of these alone; null: of all.
    since
        Microseconds.
    """
    asked: list[Any] = [audit.c.journey.in_((journey, EVERY_JOURNEY)), audit.c.at >= since]
    asked += [audit.c.customer_id == customer_id] if customer_id is not None else []
    asked += [audit.c.who == who] if who is not None else []
    columns = [audit.c[name] for name in Entry._fields]
    with store.transaction() as connection:
        rows = connection.execute(select(*columns).where(*asked).order_by(audit.c.id.desc()).limit(limit)).all()
    return sorted((Entry(*row) for row in rows), key=lambda entry: entry.at, reverse=True)  # workers write by turns
