"""Scoring runs from being asked for to being whole: nobody sees the scores of one that is not."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection, delete, insert, select, update

from features.errors import InputError
from serving.clock import now
from serving.kept_out import beside_others
from serving.tables import Run, runs, scores, stored_answers

Status: TypeAlias = Literal["waiting", "running", "complete", "failed"]
WHOLE = runs.c.customers > 0  # a run that is still being written, or never was to its end, has none
STOPPED = "it was stopped before its end; the server's log may say why"
_OPEN = (~WHOLE, runs.c.failed.is_(None))


class Begun(NamedTuple):
    """A run that was begun and is to be written; nobody sees it, and what comes in is known from its cutoff on.

    `event_id` is the number of the newest event of the store that it sees (null: not known), `before` the run
    it is held against (null: none).
    """

    run_id: int
    cutoff: int
    event_id: int | None
    before: Run | None


class UnknownRunError(InputError):
    """The store holds no such run of this journey."""


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
    waiting = [run for run in asked_for(connection, journey) if status(run) == "waiting"]
    if waiting:
        return waiting[0].id, False
    at = now()
    new = {"journey": journey, "cutoff": 0, "scored_at": at, "versions": {}, "customers": 0, "asked_at": at}
    return int(connection.execute(insert(runs).values(new).returning(runs.c.id)).scalar_one()), True


def asked_for(connection: Connection, journey: str) -> list[Run]:
    """The runs that were asked for and are neither whole nor failed, the oldest first."""
    found = select(runs).where(runs.c.journey == journey, runs.c.asked_at.is_not(None), *_OPEN).order_by(runs.c.id)
    return [Run(**row._mapping) for row in connection.execute(found)]


def read(connection: Connection, journey: str, run_id: int) -> Run:
    """A run of a journey, whole or not.

    Raises
    ------
    UnknownRunError
        Where there is none of this id.
    """
    row = connection.execute(select(runs).where(runs.c.id == run_id, runs.c.journey == journey)).one_or_none()
    if row is None:
        raise UnknownRunError("run", str(run_id), f"the id of a stored run of {journey}", "see GET /v1/runs")
    return Run(**row._mapping)


def newest(connection: Connection, journey: str, limit: int) -> list[Run]:
    """A journey's runs, the newest first."""
    found = select(runs).where(runs.c.journey == journey).order_by(runs.c.id.desc()).limit(limit)
    return [Run(**row._mapping) for row in connection.execute(found)]


def begin_run(connection: Connection, new: dict[str, Any], asked: int | None) -> int:
    """Begin a run, or the one that was asked for; its id.

    Raises
    ------
    UnknownRunError
        Where the run that was asked for is not waiting.
    """
    if asked is None:
        begun = insert(runs).values({**new, "customers": 0}).returning(runs.c.id)
        return int(connection.execute(begun).scalar_one())
    waiting = (runs.c.id == asked, runs.c.journey == new["journey"], runs.c.asked_at.is_not(None), *_OPEN)
    if connection.execute(update(runs).where(*waiting).values(new)).rowcount != 1:
        raise UnknownRunError("run", str(asked), "a run that was asked for and is not written yet")
    return asked


def go_on(connection: Connection, begun: Begun, new: dict[str, Any]) -> int:
    """Say more of a run that was begun; its id.

    Raises
    ------
    InputError
        Where it was given up meanwhile.
    """
    of = (runs.c.id == begun.run_id, *_OPEN)
    if connection.execute(update(runs).where(*of).values({**new, "cutoff": begun.cutoff})).rowcount != 1:
        raise InputError(f"score {new['journey']}", f"run {begun.run_id} was given up meanwhile", do="score again")
    return begun.run_id


def undo(connection: Connection, run_id: int, error: BaseException, *, asked: bool) -> None:
    """Take back what was written of a run; one that was asked for stays, with the reason."""
    beside_others(connection)
    if not asked:
        connection.execute(delete(runs).where(runs.c.id == run_id, *_OPEN))  # one that is seen already stays
        return
    fail(connection, run_id, f"{error.place}: {error.found}" if isinstance(error, InputError) else STOPPED)


def fail(connection: Connection, run_id: int, why: str) -> None:
    """Say why a run that is not whole comes to nothing, and forget what was written of it."""
    beside_others(connection)
    failed = update(runs).where(runs.c.id == run_id, *_OPEN).values(failed=why, finished_at=now())
    if connection.execute(failed).rowcount:
        for table in (scores, stored_answers):
            connection.execute(delete(table).where(table.c.run_id == run_id))
