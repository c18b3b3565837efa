"""Leases: of several servers on one store, one does what only one may do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import InputError
from serving.clock import now
from serving.database import StoreError
from serving.store import Store
from serving.tables import leases

_SECOND = 1_000_000
_RENEW_SECONDS = 15.0


class BusyError(InputError):
    """Somebody else is at it."""


class Lease:
    """The right to do something alone, for as long as it is renewed.

    A holder that dies loses it after `seconds`. The clock may jump: a lease that ends later than one taken
    now could is nobody's.

    Parameters
    ----------
    name
        What it is for.
    seconds
        How long it holds without being renewed.
    """

    def __init__(self, store: Store, name: str, seconds: int = 60) -> None:
        self._store, self._name, self._length = store, name, seconds * _SECOND
        self._holder, self._until = uuid4().hex, 0

    def hold(self) -> bool:
        """Take the lease or renew it; whether it is ours.

        Raises
        ------
        StoreError
            Where the store cannot be used.
        """
        at = now()
        if at + self._length // 2 < self._until <= at + self._length:
            return True  # not yet half over: no need to write
        until = at + self._length
        self._until = until if self._take(at, until) else 0
        return bool(self._until)

    def release(self) -> None:
        """Give it up, so that another server need not wait for its end."""
        ours = (leases.c.name == self._name, leases.c.holder == self._holder)
        with suppress(StoreError), self._store.transaction(writes=True) as connection:
            connection.execute(delete(leases).where(*ours))
        self._until = 0

    def _take(self, at: int, until: int) -> bool:
        free = or_(leases.c.holder == self._holder, leases.c.until < at, leases.c.until > until)
        with self._store.transaction(writes=True) as connection:
            kind: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
            new = kind.insert(leases).values(name=self._name, holder=self._holder, until=until)
            connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
            taken = update(leases).where(leases.c.name == self._name, free)
            return bool(connection.execute(taken.values(holder=self._holder, until=until)).rowcount)


@contextmanager
def alone(store: Store, what: str) -> Iterator[Callable[[], None]]:
    """Hold the lease of some work, renewed while it goes on; yields a check that it is still ours.

    Raises
    ------
    BusyError
        Where somebody else holds it; from the check, where somebody else took it over.
    """
    lease, over, lost = Lease(store, what), threading.Event(), threading.Event()
    if not lease.hold():
        raise BusyError(what, "is under way elsewhere", do="wait for it; nothing was done here")

    def renew() -> None:
        while not over.wait(_RENEW_SECONDS):
            try:
                held = lease.hold()
            except InputError:
                continue  # the store is away; the lease holds for a while yet
            if not held:
                lost.set()
                return

    def check() -> None:
        if lost.is_set():
            raise BusyError(what, "was taken over elsewhere", do="nothing was registered here")

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield check
    finally:
        over.set()
        keeper.join()
        lease.release()
