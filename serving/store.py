"""The score store: every customer's latest answer, run by run."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from features.errors import InputError
from features.journey import RiskBands
from features.schema import DAY
from serving import changes, cursors, documented, retention, rows
from serving.answers import Answer
from serving.clock import now
from serving.cursors import Cursor
from serving.database import AwayError, StoreError, connect, durable, lock, prepare, sweep
from serving.database import transaction as begin
from serving.documented import Kept
from serving.filters import Wanted
from serving.kept_out import beside_others
from serving.listing import Page, page
from serving.outage import Outage
from serving.rows import CHUNK, Held, Written
from serving.runs import WHOLE, Asked, Begun, begin_run, given_up, go_on, mine, undo
from serving.segments import Segments
from serving.tables import Run, histories, runs, stored_answers

_WHOLE_LIST = Wanted()
_log = logging.getLogger(__name__)
LATEST = select(runs).where(runs.c.journey == bindparam("journey"), WHOLE).order_by(runs.c.scored_at.desc()).limit(1)
KEEP_CHANGES = 90 * DAY
_ANSWER = select(stored_answers.c.answer).where(
    stored_answers.c.run_id == LATEST.with_only_columns(runs.c.id).scalar_subquery(),
    stored_answers.c.customer_id == bindparam("customer_id"),
)
_ANSWERS = select(stored_answers.c.customer_id, stored_answers.c.answer).order_by(stored_answers.c.customer_id)


class Options(NamedTuple):
    """How a run is written.

    `bands`: each customer's band is held against that of the run before; null: it is as the answers say.
    `begun`: the run, begun before its log was read (`serving.beginning`); null: it is begun now, and what came
    in while the log was read may count as known before its cutoff. `asked`: the run that was asked for
    (`serving.runs.ask`) and is begun now; null: it gets an id of its own.
    `documents` is called when all answers are written: what it gives is stored with the run.
    """

    bands: RiskBands | None = None
    asked: Asked | None = None
    documents: Callable[[], Iterable[Kept]] = tuple
    begun: Begun | None = None


_AS_TOLD = Options()


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
        The newest runs kept per journey; older ones go as `serving.retention` says when a new one is written.
    keep_changes
        How long changes of risk bands are kept (microseconds), whatever becomes of their runs.
    hurried
        Whether requests wait for it: a database that does not answer is told after seconds, and to everyone
        at once as long as it stays away. Otherwise statements may take as long as they need.
    """

    def __init__(self, url: str, *, keep: int = 10, keep_changes: int = KEEP_CHANGES, hurried: bool = False) -> None:
        if keep < 1:
            raise InputError("score store", f"{keep} runs to keep", "1 or more")
        self._engine, self._keep, self._keep_changes = connect(url), keep, keep_changes
        self._prepared, self._lock = False, Lock()
        self._hurried, self._outage = hurried, Outage()

    def close(self) -> None:
        """Close the connections; the store may be used again."""
        self._engine.dispose()

    def write_run(
        self,
        journey: str,
        cutoff: int,
        scored_at: int,
        versions: dict[str, int],
        answers: Iterable[Answer],
        segments: Segments | None = None,
        options: Options = _AS_TOLD,
    ) -> int:
        """Write a run and return its id; readers see all of it or, where anything fails, nothing.

        `answers` is read once, a part at a time, and each part is a transaction of its own: others
        write meanwhile. A run is stored as scored after the one before it, whatever the clock says.
        Histories of customers whom the run no longer has go with it.

        Raises
        ------
        InputError
            Where there is no answer, or two of one customer, or another run was finished meanwhile, or this
            one was given up: by a server that took over, where it was asked for.
        """
        held = Held(segments or Segments(), options.bands)
        of = options.begun or options.asked
        fence = of.fence if of else None
        new = {"journey": journey, "cutoff": cutoff, "versions": versions, "segments": held.segments.names or None}
        before, run_id, stamp = self._begin(new, scored_at, options)
        try:
            to = rows.To(journey, run_id, stamp, fence)
            written = rows.write(self.transaction, to, answers, before, held)
            if not written.customers:
                raise InputError(
                    "score", "no customer was scored", "one or more", "check that the event log has events"
                )
            told = list(options.documents())  # before anybody has to wait
            with self.transaction(writes=True) as connection:
                self._finish(connection, to, before, written)
                documented.write_new(connection, journey, run_id, told)
                documented.carry(connection, journey, run_id)
                retention.forget(connection, journey, self._keep)
        except BaseException as error:
            with suppress(StoreError), self.transaction(writes=True) as connection:
                undo(connection, run_id, error, fence)
            raise
        self._delete_old(journey)
        return run_id

    def _delete_old(self, journey: str) -> None:
        """Delete what nobody sees any more; the run that was written is whole, whatever becomes of this."""
        try:
            retention.sweep(self.transaction, journey)
        except StoreError as error:
            _log.warning("old runs of %s are deleted after the next run: %s", journey, error.found)

    def _begin(self, new: dict[str, Any], scored_at: int, options: Options) -> tuple[Run | None, int, int]:
        """The run before, and the id and stamp of the new one, which nobody sees yet."""
        begun = options.begun
        with self.transaction(writes=True) as connection:
            before = begun.before if begun else latest(connection, new["journey"])
            stamp = max(scored_at, before.scored_at + 1) if before else scored_at
            new = {**new, "scored_at": stamp}
            run_id = go_on(connection, begun, new) if begun else begin_run(connection, new, options.asked)
        return before, run_id, stamp

    def _finish(self, connection: Connection, to: rows.To, before: Run | None, written: Written) -> None:
        """Show the run and its changes, and forget histories that are nobody's: all of it in one transaction."""
        journey, run_id = to.journey, to.run_id
        durable(connection)
        beside_others(connection)  # whoever erases a customer deletes from the same tables
        lock(connection)  # changes get their ids in the order in which they become visible
        newest = latest(connection, journey)
        if (newest and newest.id) != (before and before.id):
            raise InputError(
                f"score {journey}",
                "another run was finished meanwhile, and this one was held against the one before it",
                "one scoring of a journey at a time",
                "score again if the log has grown",
            )
        whole = update(runs).where(*mine(run_id, to.fence))
        if not connection.execute(whole.values(written._asdict() | {"finished_at": now()})).rowcount:
            raise given_up(journey, run_id)
        changes.prune(connection, journey, now() - self._keep_changes)
        if before is not None:
            changes.record(connection, run_id)
        _forget_histories(connection, journey, run_id)

    def latest_run(self, journey: str) -> Run | None:
        """The newest run of a journey; null: none yet."""
        with self.transaction() as connection:
            return latest(connection, journey)

    def answer_json(self, journey: str, customer_id: str) -> bytes | None:
        """The customer's answer in the newest run, as JSON; null: the run has none."""
        if "\x00" in customer_id:  # PostgreSQL stores no NUL, and refuses to be asked for one
            return None
        with self.transaction() as connection:
            found = connection.execute(_ANSWER, {"journey": journey, "customer_id": customer_id}).scalar()
        return None if found is None else zlib.decompress(found)

    def answer(self, journey: str, customer_id: str) -> Answer | None:
        """The customer's answer in the newest run; null: the run has none."""
        found = self.answer_json(journey, customer_id)
        return None if found is None else Answer.model_validate_json(found)

    def answers_of(self, run: Run, customer_ids: Sequence[str]) -> dict[str, bytes]:
        """Some customers' answers in a run, as JSON; those it has none of are missing."""
        wanted = _ANSWERS.where(stored_answers.c.run_id == run.id, stored_answers.c.customer_id.in_(customer_ids))
        with self.transaction() as connection:
            return {row.customer_id: zlib.decompress(row.answer) for row in connection.execute(wanted)}

    def at_risk(self, journey: str, wanted: Wanted = _WHOLE_LIST, *, limit: int = 50, after: str | None = None) -> Page:
        """A page of the customers that churn asks about, the largest expected loss or profit first.

        Customers for whom that is unknown come last, by churn probability; so does everyone where
        the journey has no CLTV. Ties go by `customer_id`. Those who must not be contacted or are
        snoozed are left out, unless the filters include them. A list begun on one run is read to its
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
            Where `after` is not a cursor of this list.
        """
        begun = cursors.decode(after, now()) if after is not None else None
        with self.transaction() as connection:
            return page(connection, run_of(connection, journey, begun), wanted, limit, begun, now())

    def answers(self, journey: str, run: Run | None = None, *, at_once: int = CHUNK) -> Iterator[tuple[str, bytes]]:
        """Every customer's id and answer as JSON, in the order of the ids by code point.

        A part at a time, each in a transaction of its own: memory does not grow with the run, and a
        slow reader keeps nobody from writing.

        Parameters
        ----------
        run
            Null: the newest.
        at_once
            How many are read in one transaction.

        Raises
        ------
        NoScoresError
            At once, where the journey has no run.
        RunGoneError
            On the way, where the run is deleted meanwhile.
        """
        with self.transaction() as connection:
            chosen = run or run_of(connection, journey, None)
        return self._answers_of(chosen, at_once)

    def _answers_of(self, run: Run, at_once: int) -> Iterator[tuple[str, bytes]]:
        of_run = _ANSWERS.where(stored_answers.c.run_id == run.id).limit(at_once)
        wanted = of_run
        while True:
            with self.transaction() as connection:
                found = connection.execute(wanted).all()
                if connection.execute(select(runs.c.id).where(runs.c.id == run.id, WHOLE)).one_or_none() is None:
                    raise RunGoneError(f"run {run.id}", "is no longer stored", "a stored run", "begin with the newest")
            for row in found:
                yield row.customer_id, zlib.decompress(row.answer)
            if len(found) < at_once:
                return
            wanted = of_run.where(stored_answers.c.customer_id > found[-1].customer_id)

    @contextmanager
    def transaction(self, *, writes: bool = False, long: bool = False) -> Iterator[Connection]:
        """A transaction on the store's tables; one that only reads sees one state throughout.

        A `long` one may take minutes though requests wait for the store: none of them waits for it.
        """
        self._prepare()
        try:
            with begin(self._engine, writes=writes, long=long or not self._hurried) as connection:
                self._outage.end()
                yield connection
        except StoreError as error:
            self._fail(error)
            raise

    def sweep(self) -> bool:
        """Leave nothing of what was deleted in the database's files, as far as that can be done now; whether it was."""
        return sweep(self._engine)

    def _prepare(self) -> None:
        self._outage.check()
        if self._prepared:
            return
        with self._lock:
            self._outage.check()  # whoever had the lock may have learned it
            self._prepared = self._prepared or self._made()

    def _made(self) -> bool:
        try:
            prepare(self._engine)
        except StoreError as error:
            self._fail(error)
            raise
        return True

    def _fail(self, error: StoreError) -> None:
        self._prepared = False  # the database that comes back may be another one
        if self._hurried and isinstance(error, AwayError):
            self._outage.begin(error)


def _forget_histories(connection: Connection, journey: str, run_id: int) -> None:
    here = (stored_answers.c.run_id == run_id, stored_answers.c.customer_id == histories.c.customer_id)
    connection.execute(delete(histories).where(histories.c.journey == journey, ~exists().where(*here)))


def latest(connection: Connection, journey: str) -> Run | None:
    """The newest run of a journey; null: none yet."""
    row = connection.execute(LATEST, {"journey": journey}).one_or_none()
    return Run(**row._mapping) if row else None


def run_of(connection: Connection, journey: str, begun: Cursor | None = None) -> Run:
    """The newest run of a journey, or the one that a list was begun on.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    RunGoneError
        Where the list's run was deleted.
    """
    if begun is None:
        run = latest(connection, journey)
        if run is None:
            raise NoScoresError(journey, "no scores are stored", "", f"run journeycast score {journey}")
        return run
    found = select(runs).where(runs.c.id == begun.run_id, runs.c.journey == journey, WHOLE)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise RunGoneError(
            "cursor",
            f"the run {begun.run_id} it belongs to is no longer stored",
            "a cursor of one of the newest runs",
            "leave the cursor out to begin with the first page of the newest run",
        )
    return Run(**row._mapping)
