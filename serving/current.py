"""A customer's answer now: the stored one, or one computed anew where events of theirs came in since."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import orjson
import polars as pl
from sqlalchemy import Connection, and_, bindparam, func, or_, select

from features.canonical import ordered, shaped
from features.journey import Journey, Risk
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, TIME
from serving.answers import to_json
from serving.bands import settled
from serving.histories import has_history, history
from serving.present import present
from serving.store import LATEST, Store
from serving.tables import THEIRS, events, runs, stored_answers

if TYPE_CHECKING:
    from serving.scorer import Scorer
    from serving.vector_log import VectorLog

_KEPT = 10_000  # customers whose newest answer is kept
NO_MODEL = "events came in since, which this answer does not know: the models cannot be loaded now"
_NO_HISTORY = "events came in since, which this answer does not know: it was scored by an earlier version; score again"


def _of_run(name: str):  # type: ignore[no-untyped-def]
    return LATEST.with_only_columns(runs.c[name]).scalar_subquery()


_OF_CUSTOMER = and_(events.c.journey == bindparam("journey"), events.c.customer_id == bindparam("customer_id"))
# What the run could not see: what came in after its log was read, or lies beyond its cutoff.
_BEYOND = or_(events.c.known_at >= _of_run("cutoff"), events.c.time >= _of_run("cutoff"))
_SINCE = or_(events.c.id > func.coalesce(_of_run("event_id"), 0), and_(THEIRS, _BEYOND))
_ANSWER = select(stored_answers.c.answer).where(
    stored_answers.c.run_id == _of_run("id"), stored_answers.c.customer_id == bindparam("customer_id")
)
# One look for all: the answer of most customers is the stored one.
_FOUND = select(
    _of_run("id").label("run"),
    _of_run("cutoff").label("cutoff"),
    _ANSWER.scalar_subquery().label("answer"),
    select(func.max(events.c.id)).where(_OF_CUSTOMER, _SINCE).scalar_subquery().label("newest"),
)


class Found(NamedTuple):
    """What the store says of a customer.

    `run` is the newest run (null: none), `cutoff` its cutoff, `answer` the customer's stored answer as JSON (null: the
    run has none), `newest` the number of the newest event that the run could not see (null: there is none).
    """

    customer_id: str
    run: int | None
    cutoff: int | None
    answer: bytes | None
    newest: int | None


def find(store: Store, journey: str, customer_id: str) -> Found:
    """The stored answer, and whether events came in since."""
    if "\x00" in customer_id:  # PostgreSQL stores no NUL, and refuses to be asked for one
        return Found(customer_id, None, None, None, None)
    with store.transaction() as connection:
        row = connection.execute(_FOUND, {"journey": journey, "customer_id": customer_id}).one()
    return Found(
        customer_id, row.run, row.cutoff, None if row.answer is None else zlib.decompress(row.answer), row.newest
    )


def with_warning(answer: bytes, warning: str) -> bytes:
    """An answer as JSON with one more warning."""
    told = orjson.loads(answer)
    return orjson.dumps({**told, "warnings": [*told["warnings"], warning]})


class Current:
    """Computes answers anew and keeps them until the next event or run; safe to share between threads."""

    def __init__(self, store: Store, turn: Lock) -> None:
        self._store, self._turn, self._lock = store, turn, Lock()
        # By customer: what the newest answer was computed from, and it; no older one is ever asked for.
        self._kept: OrderedDict[str, tuple[tuple[object, ...], bytes | None]] = OrderedDict()

    def answer(self, found: Found, scorer: Scorer, vectors: VectorLog | None) -> bytes | None:
        """The answer from everything that is known by now, as JSON; null: nothing of the customer can be seen yet.

        The cutoff is the moment after the newest event that was acknowledged, of any customer.
        """
        with self._store.transaction() as connection:
            cutoff = present(connection, scorer.journey.journey)
        known = (found.newest, found.run, cutoff, *scorer.versions.items())
        with self._lock:
            before, told = self._kept.get(found.customer_id, (None, None))
            if before == known:
                self._kept.move_to_end(found.customer_id)
                return told
        told = self._computed(found, cutoff, scorer, vectors)
        with self._lock:
            self._kept[found.customer_id] = known, told
            self._kept.move_to_end(found.customer_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return told

    def forget(self) -> None:
        """Keep no answer any longer."""
        with self._lock:
            self._kept.clear()

    def _computed(self, found: Found, cutoff: int | None, scorer: Scorer, vectors: VectorLog | None) -> bytes | None:
        journey = scorer.journey
        with self._store.transaction() as connection:
            if found.answer is not None and not has_history(connection, journey.journey, found.customer_id):
                return with_warning(found.answer, _NO_HISTORY)
            if cutoff is None or (cutoff == found.cutoff and not _seen(connection, journey, found.customer_id, cutoff)):
                return found.answer
            rows = history(connection, journey.journey, found.customer_id)
        if rows.filter((pl.col(TIME) < cutoff) & (pl.col(KNOWN_AT) < cutoff)).is_empty():
            return found.answer
        asked = pl.DataFrame({CUSTOMER: [found.customer_id], CUTOFF: [cutoff]})
        with self._turn:
            log = ordered(shaped(rows, journey))
            anew = scorer.predict(log, asked, served=vectors.add if vectors else None)[0]
        return to_json(settled(anew, _band(found.answer), journey.risk_bands))


def _band(answer: bytes | None) -> Risk | None:
    """The band that the stored answer tells: a customer on its edge keeps it until the next run."""
    churn = orjson.loads(answer).get("churn") if answer is not None else None
    return churn.get("risk") if churn else None


def _seen(connection: Connection, journey: Journey, customer_id: str, cutoff: int) -> bool:
    """Whether an event that came in since can be seen at a cutoff."""
    before = and_(events.c.time < cutoff, events.c.known_at < cutoff)
    wanted = select(events.c.id).where(_OF_CUSTOMER, _SINCE, before).limit(1)
    return connection.execute(wanted, {"journey": journey.journey, "customer_id": customer_id}).scalar() is not None
