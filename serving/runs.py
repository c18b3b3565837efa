"""Scoring runs from being asked for to being whole: nobody sees the scores of one that is not."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from features.errors import InputError
from serving import leases
from serving.clock import now
from serving.database import one_at_a_time
from serving.kept_out import beside_others
from serving.tables import Run, runs, scores, stored_answers

Status: TypeAlias = Literal["waiting", "running", "complete", "failed"]
WHOLE = runs.c.customers > 0  # a run that is still being written, or never was to its end, has none
STOPPED = "it was stopped before its end; the server's log may say why"
RESTARTS = 2  # how often a run is begun anew after whoever wrote it was gone
OPEN = (~WHOLE, runs.c.failed.is_(None))
WAITING = (runs.c.asked_at.is_not(None), *OPEN, runs.c.fence.is_(None))  # asked for, and not begun
# As `Run.complete_until`.
COMPLETE_UNTIL = func.coalesce(runs.c.observed_until, runs.c.cutoff)
FORGOTTEN = "it is old, and is being deleted"
STORED = runs.c.failed.is_distinct_from(FORGOTTEN)  # one that is not is gone for everyone, and goes in parts
_NOT_BEGUN: dict[str, Any] = {
    "versions": {},
    "cutoff": 0,
    "event_id": None,
    "segments": None,
    "observed_until": None,
    "fence": None,
}


class Asked(NamedTuple):
    """A run that was asked for, and the number of the lease it is written under; 0: none."""

    run_id: int
    fence: int = 0


class Begun(NamedTuple):
    """A run that was begun and is to be written; nobody sees it, and what comes in is known from its cutoff on.

    `event_id` is the number of the newest event of the store that it sees (null: not known), `before` the run
    it is held against (null: none), `fence` the number of the lease it is written under (null: nobody asked for it).
    """

    run_id: int
    cutoff: int
    event_id: int | None
    before: Run | None
    fence: int | None = None


class UnknownRunError(InputError):
    """The store holds no such run of this journey."""


class GivenUpError(InputError):
    """The run is not ours to write any more."""


def status(run: Run) -> Status:
    """How far a run is."""
    if run.customers:
        return "complete"
    if run.failed is not None:
        return "failed"
    return "running" if run.versions or run.cutoff else "waiting"


def ask(connection: Connection, journey: str) -> tuple[int, bool]:
    """Ask for a run; its id, and whether it is a new one.

    A run that was asked for and has not begun yet is this one too: it will see what is known by then.
    """
    one_at_a_time(connection, f"asking for runs of {journey}")
    waiting = [run for run in asked_for(connection, journey) if status(run) == "waiting"]
    if waiting:
        return waiting[0].id, False
    at = now()
    new = {"journey": journey, "cutoff": 0, "scored_at": at, "versions": {}, "customers": 0, "asked_at": at}
    return int(connection.execute(insert(runs).values(new).returning(runs.c.id)).scalar_one()), True


def asked_for(connection: Connection, journey: str) -> list[Run]:
    """The runs that were asked for and are neither whole nor failed, the oldest first."""
    found = select(runs).where(runs.c.journey == journey, runs.c.asked_at.is_not(None), *OPEN).order_by(runs.c.id)
    return [Run(**row._mapping) for row in connection.execute(found)]


def read(connection: Connection, journey: str, run_id: int) -> Run:
    """A run of a journey, whole or not.

    Raises
    ------
    UnknownRunError
        Where there is none of this id.
    """
    row = connection.execute(select(runs).where(runs.c.id == run_id, runs.c.journey == journey, STORED)).one_or_none()
    if row is None:
        raise UnknownRunError("run", str(run_id), f"the id of a stored run of {journey}", "see GET /v1/runs")
    return Run(**row._mapping)


def newest(connection: Connection, journey: str, limit: int) -> list[Run]:
    """A journey's runs, the newest first."""
    found = select(runs).where(runs.c.journey == journey, STORED).order_by(runs.c.id.desc()).limit(limit)
    return [Run(**row._mapping) for row in connection.execute(found)]


def when(run: Run) -> int:
    """When a run was scored: by the clock, which the stamp may be ahead of (`serving.store.Store.write_run`)."""
    return run.scored_at if run.finished_at is None else min(run.scored_at, run.finished_at)


def begin_run(connection: Connection, new: dict[str, Any], asked: Asked | None) -> int:
    """Begin a run, or the one that was asked for, which nobody else can begin then; its id.

    Raises
    ------
    UnknownRunError
        Where the run that was asked for is not waiting.
    LeaseLostError
        Where whoever began it is not the one that scores any more.
    """
    if asked is None:
        begun = insert(runs).values({**new, "customers": 0}).returning(runs.c.id)
        return int(connection.execute(begun).scalar_one())
    if asked.fence:
        leases.check(connection, leases.scoring(new["journey"]), asked.fence)
    waiting = (runs.c.id == asked.run_id, runs.c.journey == new["journey"], *WAITING)
    claimed = update(runs).where(*waiting).values({**new, "fence": asked.fence})
    if connection.execute(claimed).rowcount != 1:
        raise UnknownRunError("run", str(asked.run_id), "a run that was asked for and is not written yet")
    return asked.run_id


def mine(run_id: int, fence: int | None) -> tuple[ColumnElement[bool], ...]:
    """That a run is not whole, did not fail and is written under this number (null: not begun, or not asked for)."""
    return (runs.c.id == run_id, runs.c.fence.is_not_distinct_from(fence), *OPEN)


def check(connection: Connection, journey: str, run_id: int, fence: int | None) -> None:
    """See that a run is still ours to write, and let nobody give it up before the end of this transaction.

    Raises
    ------
    GivenUpError
        Where it is not.
    """
    found = select(runs.c.id).where(*mine(run_id, fence)).with_for_update(read=True)
    if connection.execute(found).scalar() is None:
        raise given_up(journey, run_id)


def given_up(journey: str, run_id: int) -> GivenUpError:
    """The error of whoever writes a run that others gave up."""
    return GivenUpError(f"score {journey}", f"run {run_id} was given up meanwhile", do="score again")


def go_on(connection: Connection, begun: Begun, new: dict[str, Any]) -> int:
    """Say more of a run that was begun; its id.

    Raises
    ------
    GivenUpError
        Where it was given up meanwhile.
    """
    known = update(runs).where(*mine(begun.run_id, begun.fence)).values({**new, "cutoff": begun.cutoff})
    if connection.execute(known).rowcount != 1:
        raise given_up(new["journey"], begun.run_id)
    return begun.run_id


def undo(connection: Connection, run_id: int, error: BaseException, fence: int | None) -> None:
    """Take back what was written of a run under this number; one that was asked for stays, with the reason.

    One that a server began and that was only stopped is left to that server, or to the one that follows it.
    """
    if fence is None:
        beside_others(connection)
        connection.execute(delete(runs).where(*mine(run_id, None)))  # one that is seen already stays
    elif isinstance(error, Exception) or not fence:
        fail(connection, run_id, fence, f"{error.place}: {error.found}" if isinstance(error, InputError) else STOPPED)


def fail(connection: Connection, run_id: int, fence: int | None, why: str) -> None:
    """Say why a run comes to nothing, and forget what was written of it; one that others write stays."""
    beside_others(connection)
    failed = update(runs).where(*mine(run_id, fence)).values(failed=why, finished_at=now())
    if connection.execute(failed).rowcount:
        _forget(connection, run_id)


def give_back(connection: Connection, run: Run, *, gone: bool) -> bool:
    """Let a run that was begun wait again, forgetting what was written of it; whether it does.

    Parameters
    ----------
    gone
        Whether whoever wrote it is gone: a run that takes its server with it fails in the end.
    """
    beside_others(connection)
    restarts = (run.restarts or 0) + gone
    if restarts > RESTARTS:
        fail(connection, run.id, run.fence, STOPPED)
        return False
    again = _NOT_BEGUN | {"scored_at": run.asked_at, "restarts": restarts}
    given = bool(connection.execute(update(runs).where(*mine(run.id, run.fence)).values(again)).rowcount)
    if given:
        _forget(connection, run.id)
    return given


def _forget(connection: Connection, run_id: int) -> None:
    for table in (scores, stored_answers):
        connection.execute(delete(table).where(table.c.run_id == run_id))
