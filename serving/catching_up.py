"""Runs stored before it was kept what they expect: followed up from their answers, as long as these are there.

By the rules of all runs: the same customers are drawn, and of runs close to one another a version of a task is followed
once, in the earliest. A transaction for each run: whoever is killed on the way, or does it twice, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from features.journey import Journey
from features.schema import CUSTOMER
from serving import expectations
from serving.answers import Answer
from serving.database import one_at_a_time
from serving.kept_out import beside_others
from serving.runs import STORED, WHOLE
from serving.store import Store
from serving.tables import Run, outcomes, runs, scores, stored_answers

# Up to when the model of a task's version knew the log, in microseconds.
# Null: nobody knows any more; LookupError: it is not known now.
KnowsUntil: TypeAlias = Callable[[str, int], int | None]
_IDS_AT_ONCE, _ANSWERS_AT_ONCE = 20_000, 1_000
_log = logging.getLogger(__name__)


def follow_stored(store: Store, journey: Journey, knows_until: KnowsUntil) -> list[int]:
    """Follow up the runs that are stored and are not yet; the ids of those that are now.

    A task whose version nobody knows any more is left out: it may have learned from what came. A run of which something
    is not known now waits for the next time.
    """
    with store.transaction() as connection:
        waiting = _waiting(connection, journey.journey)
        followed = expectations.of_journey(connection, journey.journey) if waiting else []
    known: dict[tuple[str, int], int | None] = {
        (task, version): run.knows_until[task] for run in followed for task, version in run.versions.items()
    }
    found = []
    for run in waiting:
        try:
            for one in run.versions.items():
                known[one] = known[one] if one in known else knows_until(*one)
        except LookupError as problem:
            _log.info("run %s is followed up later: %s", run.id, problem)
            continue
        told = {task: until for task, version in run.versions.items() if (until := known[task, version]) is not None}
        if _follow(store, journey, run, told):
            found.append(run.id)
    return found


def _waiting(connection: Connection, journey: str) -> list[Run]:
    """The whole runs that are not followed up, the oldest first."""
    followed = select(outcomes.c.run_id).where(outcomes.c.journey == journey)
    of = (runs.c.journey == journey, WHOLE, STORED, runs.c.id.not_in(followed))
    return [
        Run(**row._mapping) for row in connection.execute(select(runs).where(*of).order_by(runs.c.cutoff, runs.c.id))
    ]


def _follow(store: Store, journey: Journey, run: Run, told: dict[str, int]) -> bool:
    with store.transaction() as connection:
        if expectations.is_followed(connection, run.id, journey, told):
            return False
    rows = list(_rows(store, run))
    if not rows:
        return False
    with store.transaction(writes=True) as connection:
        beside_others(connection)
        one_at_a_time(connection, f"following up runs of {journey.journey}")
        # Meanwhile somebody else may have done it, or the run was forgotten.
        if run.id not in {one.id for one in _waiting(connection, journey.journey)}:
            return False
        return expectations.write(connection, run.id, rows, journey, told)


def _rows(store: Store, run: Run) -> Iterator[dict[str, Any]]:
    """What the run expects of those who are followed, by their answers."""
    names = [name for name in _customers(store, run) if expectations.drawn(name, run.customers)]
    columns = select(scores.c.customer_id, scores.c.segments).where(scores.c.run_id == run.id)
    for start in range(0, len(names), _ANSWERS_AT_ONCE):
        some = names[start : start + _ANSWERS_AT_ONCE]
        with store.transaction() as connection:
            rows = connection.execute(columns.where(scores.c.customer_id.in_(some))).all()
        segments: dict[str, Any] = {row.customer_id: row.segments for row in rows}
        for name, answer in store.answers_of(run, some).items():
            yield expectations.row_of(Answer.model_validate_json(answer), segments.get(name))


def _customers(store: Store, run: Run) -> Iterator[str]:
    """The ids of everyone with an answer, in parts: no transaction is held for long."""
    customer = stored_answers.c[CUSTOMER]
    wanted = select(customer).where(stored_answers.c.run_id == run.id).order_by(customer).limit(_IDS_AT_ONCE)
    some: list[str] = []
    while True:
        with store.transaction() as connection:
            later = wanted.where(customer > some[-1]) if some else wanted
            some = list(connection.execute(later).scalars())
        yield from some
        if len(some) < _IDS_AT_ONCE:
            return
