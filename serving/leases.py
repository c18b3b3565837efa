"""Leases: of several servers on one store, one does what only one may do.

No clock decides who holds one: clocks differ among servers and are set. A holder lets the lease beat; whoever
waits for it watches, and takes it where it has not beaten for its whole length on the watcher's own stopwatch.
Each holder has a number, the fence, higher than those before it. What is written under the lease is checked
against it in the same transaction: a holder that slept through its end writes nothing.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update

from features.errors import InputError
from serving.database import StoreError, upsert
from serving.tables import leases

if TYPE_CHECKING:
    from serving.store import Store

SECONDS = 30.0
_BEATS = 3  # in a lease's length
_LOOKS = 60  # in a lease's length, of who waits for it


class LeaseLostError(InputError):
    """Somebody else holds the lease by now."""


def scoring(journey: str) -> str:
    """The lease of whoever writes the runs that a server was asked for."""
    return f"scoring of {journey}"


class Lease:
    """The right to do something alone, for as long as it is renewed; for one thread, others may ask if it is `held`.

    Parameters
    ----------
    name
        What it is for.
    seconds
        How long others wait for it to beat before they take it.
    """

    def __init__(self, store: Store, name: str, seconds: float = SECONDS) -> None:
        self._store, self.name, self._seconds = store, name, seconds
        self.fence = 0  # of this holder, or the last that this was
        self._renewed: float | None = None  # null: not held
        self._seen: tuple[int, int | None] | None = None
        self._since = 0.0

    @property
    def held(self) -> bool:
        """Whether nobody else can have taken it yet."""
        return self._renewed is not None and monotonic() < self._renewed + self._seconds

    def hold(self) -> bool:
        """Take the lease or renew it; whether it is ours.

        Raises
        ------
        StoreError
            Where the store cannot be used.
        """
        at = monotonic()  # from before it is written: others count from later on
        if self._renewed is not None and at < self._renewed + self._seconds / _BEATS:
            return True
        if self._renewed is not None and not self._beat():
            self._renewed = None
        elif self._renewed is not None or self._take(at):
            self._renewed = at
        return self._renewed is not None

    def watch(self) -> bool:
        """Take the lease, waiting until it is clear whether who has it is still there; whether it is ours.

        Raises
        ------
        StoreError
            Where the store cannot be used.
        """
        if self.hold():
            return True
        seen = self._seen
        while not self.hold():
            if self._seen != seen:  # it beats, or somebody else took it
                return False
            sleep(self._seconds / _LOOKS)
        return True

    def check(self, connection: Connection) -> None:
        """See that it is still ours, and let nobody take it before the end of this transaction.

        Raises
        ------
        LeaseLostError
            Where somebody else took it.
        """
        try:
            check(connection, self.name, self.fence)
        except LeaseLostError:
            self._renewed = None
            raise

    def release(self) -> None:
        """Give it up, so that another server need not wait for its end."""
        if self._renewed is None:
            return
        self._renewed = None
        ours = (leases.c.name == self.name, leases.c.fence == self.fence)
        with suppress(StoreError), self._store.transaction(writes=True) as connection:
            connection.execute(update(leases).where(*ours).values(beat=None))

    def _beat(self) -> bool:
        ours = (leases.c.name == self.name, leases.c.fence == self.fence, leases.c.beat.is_not(None))
        with self._store.transaction(writes=True) as connection:
            return bool(connection.execute(update(leases).where(*ours).values(beat=leases.c.beat + 1)).rowcount)

    def _take(self, at: float) -> bool:
        with self._store.transaction() as connection:
            row = connection.execute(
                select(leases.c.fence, leases.c.beat).where(leases.c.name == self.name)
            ).one_or_none()
        seen = None if row is None else (int(row.fence), row.beat)
        if seen is not None and seen[1] is not None and not self._rests(seen, at):
            return False
        with self._store.transaction(writes=True) as connection:
            return self._taken(connection, seen)

    def _rests(self, seen: tuple[int, int | None], at: float) -> bool:
        """Whether it has been as it is for its whole length."""
        if seen != self._seen:
            self._seen, self._since = seen, monotonic()
        return at - self._since >= self._seconds

    def _taken(self, connection: Connection, seen: tuple[int, int | None] | None) -> bool:
        """Take it, if it still is as it was seen (null: nobody ever had it)."""
        if seen is None:
            new = upsert(connection, leases).values(name=self.name, fence=1, beat=1)
            taken = connection.execute(new.on_conflict_do_nothing(index_elements=["name"])).rowcount
        else:
            same = (leases.c.fence == seen[0], leases.c.beat.is_not_distinct_from(seen[1]))
            next_one = update(leases).where(leases.c.name == self.name, *same).values(fence=seen[0] + 1, beat=1)
            taken = connection.execute(next_one).rowcount
        if taken:
            self.fence = seen[0] + 1 if seen else 1
        return bool(taken)


def check(connection: Connection, name: str, fence: int) -> None:
    """See that the holder of this number holds a lease until the end of this transaction.

    Raises
    ------
    LeaseLostError
        Where somebody else took it.
    """
    wanted = select(leases.c.fence).where(leases.c.name == name, leases.c.fence == fence, leases.c.beat.is_not(None))
    if connection.execute(wanted.with_for_update(read=True)).scalar() is None:  # SQLite has one writer at a time
        raise LeaseLostError(name, "another server does it by now")
