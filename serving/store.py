"""The score store: every customer's latest answer, run by run."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from features.errors import InputError
from serving import cursors
from serving.answers import Answer, to_json
from serving.cursors import Cursor
from serving.database import StoreError, connect, prepare, transaction
from serving.listing import Filters, Page, page
from serving.tables import UNKNOWN_LOSS, Run, runs, scores, stored_answers

_CHUNK = 2_000
_LATEST = select(runs).where(runs.c.journey == bindparam("journey")).order_by(runs.c.id.desc()).limit(1)
_ANSWER = select(stored_answers.c.answer).where(
    stored_answers.c.run_id == _LATEST.with_only_columns(runs.c.id).scalar_subquery(),
    stored_answers.c.customer_id == bindparam("customer_id"),
)


class NoScoresError(InputError):
    """No scoring run of this journey is stored yet."""


class RunGoneError(InputError):
    """The run that a cursor names is no longer stored."""


class Store:
    """Answers on SQLite (`sqlite:///FILE`) or PostgreSQL (`postgresql://...`).

    Nothing is opened before the first use, and every use may raise `StoreError`: a server starts
    and recovers whatever the database does. Safe to share between threads.

    Parameters
    ----------
    url
        SQLAlchemy's form of a database's address.
    keep
        Runs kept per journey; older ones go when a new one is written.
    """

    def __init__(self, url: str, *, keep: int = 10) -> None:
        if keep < 1:
            raise InputError("score store", f"{keep} runs to keep", "1 or more")
        self._engine, self._keep = connect(url), keep
        self._prepared, self._lock = False, Lock()

    def close(self) -> None:
        """Close the connections; the store may be used again."""
        self._engine.dispose()

    def write_run(
        self, journey: str, cutoff: int, scored_at: int, versions: dict[str, int], answers: Iterable[Answer]
    ) -> int:
        """Write a run and return its id; readers see all of it or, where anything fails, nothing.

        `answers` is read once, in chunks, while the transaction is open: on SQLite no one else
        writes until it is exhausted.

        Raises
        ------
        InputError
            Where there is no answer, or two of one customer.
        """
        new = {"journey": journey, "cutoff": cutoff, "scored_at": scored_at, "versions": versions, "customers": 0}
        with self._transaction(writes=True) as connection:
            run_id = connection.execute(insert(runs).values(new).returning(runs.c.id)).scalar_one()
            customers, currency = _write(connection, run_id, iter(answers))
            if not customers:
                raise InputError(
                    "score", "no customer was scored", "one or more", "check that the event log has events"
                )
            known = update(runs).where(runs.c.id == run_id)
            connection.execute(known.values(customers=customers, currency=currency))
            self._forget_old(connection, journey)
        return run_id

    def latest_run(self, journey: str) -> Run | None:
        """The newest run of a journey; null: none yet."""
        with self._transaction() as connection:
            return _latest(connection, journey)

    def answer_json(self, journey: str, customer_id: str) -> bytes | None:
        """The customer's answer in the newest run, as JSON; null: the run has none."""
        if "\x00" in customer_id:  # PostgreSQL stores no NUL, and refuses to be asked for one
            return None
        with self._transaction() as connection:
            found = connection.execute(_ANSWER, {"journey": journey, "customer_id": customer_id}).scalar()
        return None if found is None else zlib.decompress(found)

    def answer(self, journey: str, customer_id: str) -> Answer | None:
        """The customer's answer in the newest run; null: the run has none."""
        found = self.answer_json(journey, customer_id)
        return None if found is None else Answer.model_validate_json(found)

    def at_risk(
        self,
        journey: str,
        *,
        risk: str | None = None,
        stage: str | None = None,
        minimum_cltv: float | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page:
        """A page of the customers that churn asks about, by expected loss, the largest first.

        Customers without an expected loss come last, by churn probability; so does everyone where
        the journey has no CLTV. Ties go by `customer_id`. A list begun on one run is read to its
        end on that run, whatever is written meanwhile.

        Parameters
        ----------
        after
            The `next_cursor` of the page before.

        Raises
        ------
        NoScoresError
            Where the journey has no run.
        RunGoneError
            Where the run that `after` names was deleted.
        InputError
            Where `after` is not a cursor.
        """
        begun = cursors.decode(after) if after is not None else None
        filters = Filters(risk, stage, minimum_cltv)
        with self._transaction() as connection:
            return page(connection, _run_of(connection, journey, begun), filters, limit, begun)

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        with self._lock:
            if not self._prepared:
                prepare(self._engine)
                self._prepared = True
        try:
            with transaction(self._engine, writes=writes) as connection:
                yield connection
        except StoreError:
            self._prepared = False  # the database that comes back may be another one
            raise

    def _forget_old(self, connection: Connection, journey: str) -> None:
        of_journey = select(runs.c.id).where(runs.c.journey == journey).order_by(runs.c.id.desc())
        old = connection.execute(of_journey.offset(self._keep)).scalars().all()
        if old:
            connection.execute(delete(runs).where(runs.c.id.in_(old)))  # scores and answers go with it


def _write(connection: Connection, run_id: int, answers: Iterator[Answer]) -> tuple[int, str | None]:
    """Write all answers; how many there were, and their currency."""
    customers, currency = 0, None
    while chunk := list(islice(answers, _CHUNK)):
        try:
            connection.execute(insert(scores), [_score(run_id, answer) for answer in chunk])
        except IntegrityError as error:
            raise InputError(
                "score", "two answers of one customer", "one answer per customer", "score each customer once"
            ) from error
        connection.execute(
            insert(stored_answers),
            [{"run_id": run_id, "customer_id": a.customer_id, "answer": zlib.compress(to_json(a), 1)} for a in chunk],
        )
        customers += len(chunk)
        currency = currency or next((answer.cltv.currency for answer in chunk if answer.cltv), None)
    return customers, currency


def _score(run_id: int, answer: Answer) -> dict[str, Any]:
    churn, cltv = answer.churn, answer.cltv
    probability = churn.probability if churn else None
    raising = [reason for reason in churn.reasons if reason.effect > 0] if churn else []
    top = max(raising, key=lambda reason: reason.effect, default=None)
    known = UNKNOWN_LOSS if answer.expected_loss is None else answer.expected_loss
    return {
        "run_id": run_id,
        "customer_id": answer.customer_id,
        "stage": answer.stage.name if answer.stage else None,
        "churn_eligible": bool(churn and churn.eligible),
        "churn_probability": probability,
        "churn_percentile": churn.percentile if churn else None,
        "risk": churn.risk if churn else None,
        "cltv_expected": cltv.expected if cltv else None,
        "at_stake": answer.at_stake,
        "expected_loss": answer.expected_loss,
        "reason_code": top.code if top else None,
        "reason": top.text if top else None,
        "rank_value": known if probability is not None else None,
    }


def _latest(connection: Connection, journey: str) -> Run | None:
    row = connection.execute(_LATEST, {"journey": journey}).one_or_none()
    return Run(**row._mapping) if row else None


def _run_of(connection: Connection, journey: str, begun: Cursor | None) -> Run:
    if begun is None:
        run = _latest(connection, journey)
        if run is None:
            raise NoScoresError(journey, "no scores are stored", "", f"run journeycast score {journey}")
        return run
    found = select(runs).where(runs.c.id == begun.run_id, runs.c.journey == journey)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise RunGoneError(
            "cursor",
            f"the run {begun.run_id} it belongs to is no longer stored",
            "a cursor of one of the newest runs",
            "leave the cursor out to begin with the first page of the newest run",
        )
    return Run(**row._mapping)
