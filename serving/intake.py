"""Events into the store: requests that come at the same time share a transaction, and an answer means durable.

A thread of its own writes. While one transaction is on its way to the disk, the next requests gather;
so a single event costs little more than one of a hundred, and nothing is acknowledged before it is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import Full, Queue
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError

from features.schema import CUSTOMER, DAY, EVENT_ID, KNOWN_AT, TIME
from serving import events, replies
from serving.clock import now
from serving.database import StoreError
from serving.kept_out import barred
from serving.present import reached
from serving.replies import Keyed
from serving.store import Store

ACCEPTED, DUPLICATE, ERASED, AHEAD, REFUSED, OTHERS = "a", "d", "e", "f", "r", "o"  # what becomes of an event
AT_ONCE = 5_000  # events of one transaction, about
WAITING = 2_000  # requests; more are told to come again
WAITING_BYTES = 64_000_000  # of their bodies, which take several times that in memory
_STRAYS = DAY  # an event may lie so far ahead of all clocks; further is a mistake


class Reply(NamedTuple):
    """What became of each event of a request, a letter each, and whether it was told before."""

    outcomes: str
    replayed: bool = False


class _Request(NamedTuple):
    rows: Sequence[dict[str, Any]]
    keyed: Keyed | None
    reply: Future[Reply]
    size: int
    of_file: bool


class Intake:
    """Takes events from any thread; safe to share.

    Parameters
    ----------
    store
        Where they go.
    journey
        Whose they are.
    """

    def __init__(self, store: Store, journey: str) -> None:
        self._store, self._journey = store, journey
        self._queue: Queue[_Request | None] = Queue(WAITING)
        self._lock = Lock()
        self._thread: Thread | None = None
        self._bytes, self._counting = 0, Lock()  # of requests that are not answered yet

    def submit(
        self, rows: Sequence[dict[str, Any]], keyed: Keyed | None = None, size: int = 0, *, of_file: bool = False
    ) -> Future[Reply]:
        """Write the rows of one request; the future is done once they are durable.

        It fails with `StoreError` where the store is away, and with `KeyReusedError` where the key stands
        for another body.

        Parameters
        ----------
        size
            Bytes of its body.
        of_file
            Whether they are part of a file, whose events stand in any order: they do not make each other late.

        Raises
        ------
        StoreError
            Where more wait than the store can take.
        """
        request = _Request(rows, keyed, Future(), size, of_file)
        with self._lock:
            self._count(size)
            request.reply.add_done_callback(lambda _: self._count(-size))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="intake", daemon=True)
                self._thread.start()
            try:
                self._queue.put_nowait(request)
            except Full:
                request.reply.cancel()
                found, do = f"{WAITING:,} requests wait to be written", "send larger batches, or try again soon"
                raise StoreError("score store", found, "fewer at once", do) from None
        return request.reply

    def _count(self, size: int) -> None:
        """Count bytes that wait, or that do so no longer.

        Raises
        ------
        StoreError
            Where they are too many.
        """
        with self._counting:
            if size > 0 and self._bytes and self._bytes + size > WAITING_BYTES:
                found = f"{self._bytes / 1e6:,.0f} MB wait to be written"
                raise StoreError("score store", found, "fewer at once", "try again soon")
            self._bytes += size

    def close(self) -> None:
        """Write what waits, and end; more may be submitted later."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
                thread.join()

    def _run(self) -> None:
        left: list[_Request] = []
        while True:
            batch, left, last = self._gathered(left)
            if batch:
                self._settle(batch)
            if last and not left:
                return
            if last:
                self._queue.put(None)

    def _gathered(self, left: list[_Request]) -> tuple[list[_Request], list[_Request], bool]:
        """What waits: a batch, what must wait for it because its key is in the batch, and whether that is all."""
        waiting, size, last = list(left), sum(len(one.rows) for one in left), False
        while size < AT_ONCE and not (waiting and self._queue.empty()):
            one = self._queue.get()
            if one is None:
                last = True
                break
            if one.reply.set_running_or_notify_cancel():  # else nobody waits for it any longer
                waiting.append(one)
                size += len(one.rows)
        batch, after, seen = list[_Request](), list[_Request](), set[tuple[str, str]]()
        for request in waiting:
            key = None if request.keyed is None else (request.keyed.owner, request.keyed.key)
            (after if key in seen else batch).append(request)
            if key is not None:
                seen.add(key)
        return batch, after, last

    def _settle(self, batch: list[_Request]) -> None:
        """Write a batch and answer each request; where one breaks the batch, each is written alone."""
        try:
            told = self._write(batch, events.add)
        except Exception as error:  # whatever it is, whoever waits must be told
            if _away(error):
                told = [error] * len(batch)
            elif len(batch) > 1:
                for request in batch:
                    self._settle([request])
                return
            else:
                told = [self._written_singly(batch[0])]
        for request, reply in zip(batch, told, strict=True):
            if isinstance(reply, Exception):
                request.reply.set_exception(reply)
            else:
                request.reply.set_result(reply)

    def _write(self, batch: Sequence[_Request], add: _Add) -> list[Reply | Exception]:
        with self._store.transaction(writes=True) as connection:
            return _written(connection, self._journey, batch, add)

    def _written_singly(self, request: _Request) -> Reply | Exception:
        """What becomes of a request that cannot be written at once: the store refuses some of its events alone."""
        try:
            return self._write([request], _each_alone)[0]
        except Exception as error:
            return error


_Add: TypeAlias = Callable[[Connection, Sequence[dict[str, Any]]], events.Added]
_DEADLOCK, _TOO_LONG = "40", "54000"  # SQLSTATE: a class of them; what an index does not take


def _refused(error: BaseException | None) -> bool:
    """Whether the store does not take what it was given; any other fault is the store's own and passes."""
    return isinstance(error, DataError | UnicodeError) or _sqlstate(error) == _TOO_LONG


def _away(error: Exception) -> bool:
    """Whether the store takes nothing now, whatever it is; else it may take the other requests of a batch."""
    if not isinstance(error, StoreError):
        return False
    return not _refused(error.__cause__) and not _sqlstate(error.__cause__).startswith(_DEADLOCK)


def _sqlstate(error: BaseException | None) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _each_alone(connection: Connection, rows: Sequence[dict[str, Any]]) -> events.Added:
    """Add events one by one; those the store does not take are `refused`."""
    new, refused = set[str](), set[str]()
    for row in rows:
        try:
            with connection.begin_nested():
                new |= events.add(connection, [row]).new
        except (DBAPIError, UnicodeError) as error:
            if not _refused(error):
                raise
            refused.add(row[EVENT_ID])
    return events.Added(new, refused)


def _written(connection: Connection, journey: str, batch: Sequence[_Request], add: _Add) -> list[Reply | Exception]:
    """The replies of a batch, whose rows are in the store when the transaction ends."""
    events.in_order(connection, journey)
    moment = now()
    known = replies.known(connection, journey, [one.keyed for one in batch if one.keyed], moment)
    fresh = [one for one in batch if one.keyed is None or one.keyed not in known]
    letters = iter(_outcomes(connection, journey, fresh, moment, add))
    again = [one for one in batch if one.keyed and one.keyed in known]
    gone = barred(connection, journey, {row[CUSTOMER] for one in again for row in one.rows}) if again else set[str]()
    told: list[Reply | Exception] = []
    new: list[tuple[Keyed, str]] = []
    for request in batch:
        if request.keyed is None or request.keyed not in known:
            outcomes = next(letters)
            told.append(Reply(outcomes))
            new += [(request.keyed, outcomes)] if request.keyed else []
        elif (before := known[request.keyed]) is None or len(before) != len(request.rows):
            told.append(replies.reused(request.keyed.key))
        else:
            pairs = zip(before, request.rows, strict=True)
            told.append(Reply("".join(ERASED if row[CUSTOMER] in gone else one for one, row in pairs), replayed=True))
    replies.keep(connection, journey, new, moment)
    return told


def _outcomes(connection: Connection, journey: str, requests: Sequence[_Request], moment: int, add: _Add) -> list[str]:
    """Write what can be; a letter for each event of each request."""
    rows = [row for request in requests for row in request.rows]
    so_far = reached(connection, journey)
    here = [so_far.scored if request.of_file else so_far.present for request in requests for _ in request.rows]
    # Not `here`, nor the newest run's cutoff: an event moves those, and would take the limit along.
    furthest = max(moment, so_far.observed or moment) + _STRAYS
    kept_out = barred(connection, journey, {row[CUSTOMER] for row in rows})
    letters, seen, wanted = list[str](), set[str](), list[dict[str, Any]]()
    for row, instant in zip(rows, here, strict=True):
        known_at = _known_at(row, instant)
        if row[CUSTOMER] in kept_out:
            letters.append(ERASED)
        elif max(known_at, row[TIME]) > furthest:
            letters.append(AHEAD)
        elif row[EVENT_ID] in seen:
            letters.append(DUPLICATE)
        else:
            seen.add(row[EVENT_ID])
            letters.append(ACCEPTED)
            wanted.append({**row, KNOWN_AT: known_at})
    added = add(connection, wanted)
    again = {row[EVENT_ID] for letter, row in zip(letters, rows, strict=True) if letter == DUPLICATE}
    owners = events.owners(connection, journey, (again | {row[EVENT_ID] for row in wanted} - added.new) - added.refused)
    told = iter(_settled(letter, row, added, owners) for letter, row in zip(letters, rows, strict=True))
    return ["".join(next(told) for _ in request.rows) for request in requests]


def _settled(letter: str, row: dict[str, Any], added: events.Added, owners: Mapping[str, str]) -> str:
    """What became of an event once the store has said what it took."""
    event_id = row[EVENT_ID]
    if letter not in {ACCEPTED, DUPLICATE}:
        return letter
    if event_id in added.refused:
        return REFUSED
    if owners.get(event_id, row[CUSTOMER]) != row[CUSTOMER]:
        return OTHERS
    return letter if event_id in added.new else DUPLICATE


def _known_at(row: dict[str, Any], here: int | None) -> int:
    """As the event says; else its time, or for one that comes late the first instant nobody has been answered at."""
    if row[KNOWN_AT] is not None:
        return int(row[KNOWN_AT])
    return int(row[TIME] if here is None else max(row[TIME], here))
