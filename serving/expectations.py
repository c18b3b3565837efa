"""What a run expected of its customers, kept until its horizons are over: runs themselves are forgotten sooner.

Runs follow one another more quickly than horizons end. So of each run a part of the customers is kept,
drawn by a hash of their ids and so the same ones from run to run, and of runs close to one another the
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import polars as pl
from sqlalchemy import Connection, delete, insert, select

from features.instants import microseconds
from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER
from features.some_customers import is_drawn
from serving.answers import Answer
from serving.kept_out import barred
from serving.runs import COMPLETE_UNTIL
from serving.tables import expectations, outcomes, runs

SAMPLE = 20_000  # customers of a run that are followed up: a rate of theirs is known to within 0.7 points
CLOSE = 4  # within this part of the shortest horizon a task's version is followed up once
KEPT = 2  # longest horizons after which nobody's expectation is kept any more; the reports are
_AT_ONCE = 2_000
_SCHEMA: dict[str, pl.DataType] = {
    CUSTOMER: pl.String(),
    "stage": pl.String(),
    "risk": pl.String(),
    "churn_probability": pl.Float64(),
    "next_stage": pl.String(),
    "cltv_expected": pl.Float64(),
    "cltv_low": pl.Float64(),
    "cltv_high": pl.Float64(),
    "segments": pl.String(),
}


class Followed(NamedTuple):
    """A run that is followed up; `judged_until` and `digest` are null until a report is made.

    `versions` are those of the tasks that are followed up: of the others a run close to it is.

    Its log was complete until `complete_until`; the cutoff may lie ahead of that, of what came in since. The model of
    each task knew the log up to `knows_until`.
    """

    run_id: int
    cutoff: int
    complete_until: int
    scored_at: int
    versions: dict[str, int]
    customers: int
    knows_until: dict[str, int]
    judged_until: int | None = None
    digest: str | None = None

    def in_sample(self, task: str) -> bool:
        """Whether the model of a task knew something of what came after the cutoff: what came of it proves nothing."""
        return self.knows_until[task] > self.cutoff

    @property
    def there_since(self) -> int:
        """The instant from which on the run can have been there: as far as it, or one of its models, knew the log."""
        return max(self.cutoff, self.complete_until, *self.knows_until.values())


def drawn(customer_id: str, customers: int) -> bool:
    """Whether a customer is followed up, of a run with so many."""
    return is_drawn(customer_id, customers, SAMPLE)


def row_of(answer: Answer, segments: dict[str, str] | None) -> dict[str, Any]:
    """What an answer expects."""
    churn, following, cltv = answer.churn, answer.next_stage, answer.cltv
    return {
        CUSTOMER: answer.customer_id,
        "stage": answer.stage.name if answer.stage else None,
        "risk": churn.risk if churn else None,
        "churn_probability": churn.probability if churn else None,
        "next_stage": following.probabilities if following else None,
        "cltv_expected": cltv.expected if cltv else None,
        "cltv_low": cltv.low if cltv else None,
        "cltv_high": cltv.high if cltv else None,
        "segments": segments,
    }


def write(
    connection: Connection,
    run_id: int,
    rows: Sequence[dict[str, Any]],
    journey: Journey,
    knows_until: Mapping[str, int],
) -> bool:
    """Follow a stored run up, but for tasks of which one of the same version close to it is; whether any is left.

    `knows_until` says of each task how far its model knew the log, in microseconds.
    """
    run = followed(connection, run_id, knows_until)
    longest = max(microseconds(task.within) for task in tasks(journey).values())
    # By what the log is complete up to: events that come in carry cutoffs ahead of it, whose horizons are not over.
    _forget(connection, journey.journey, run.complete_until - (1 + KEPT) * longest)
    versions = _not_yet(connection, run, journey)
    if not versions:
        return False
    connection.execute(insert(outcomes).values(run._asdict() | {"journey": journey.journey, "versions": versions}))
    gone = barred(connection, journey.journey, (row[CUSTOMER] for row in rows))
    told = [{**row, "run_id": run_id, "journey": journey.journey} for row in rows if row[CUSTOMER] not in gone]
    for start in range(0, len(told), _AT_ONCE):
        part = told[start : start + _AT_ONCE]
        connection.execute(insert(expectations), part)
    return True


def is_followed(connection: Connection, run_id: int, journey: Journey, knows_until: Mapping[str, int]) -> bool:
    """Whether every task of a stored run that `knows_until` tells of is followed up in it or in one close to it."""
    return not _not_yet(connection, followed(connection, run_id, knows_until), journey)


def of_journey(connection: Connection, journey: str) -> list[Followed]:
    """The runs of a journey that are or were followed up, oldest first."""
    columns = [outcomes.c[name] for name in Followed._fields]
    wanted = select(*columns).where(outcomes.c.journey == journey).order_by(outcomes.c.cutoff, outcomes.c.run_id)
    return [Followed(*row) for row in connection.execute(wanted)]


def read(connection: Connection, run_id: int) -> pl.DataFrame:
    """What a run expected: a row per customer followed up, in the order of their ids; null: not asked."""
    columns = [expectations.c[name] for name in _SCHEMA]
    wanted = select(*columns).where(expectations.c.run_id == run_id).order_by(expectations.c.customer_id)
    return frame(row._asdict() for row in connection.execute(wanted))


def frame(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Rows as `row_of` makes them, in the order of the customers' ids; chances and segments as JSON."""
    found = sorted(rows, key=lambda row: row[CUSTOMER])
    return pl.DataFrame({name: [_flat(row[name]) for row in found] for name in _SCHEMA}, schema=_SCHEMA)


def _flat(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value


def _not_yet(connection: Connection, run: Followed, journey: Journey) -> dict[str, int]:
    """The versions of the tasks of a run that are followed up in no run close to it."""
    shortest = min(microseconds(task.within) for task in tasks(journey).values())
    others = of_journey(connection, journey.journey)
    close = [one for one in others if abs(run.cutoff - one.cutoff) * CLOSE < shortest]
    return {task: of for task, of in run.versions.items() if not any(_alike(one, run, task) for one in close)}


def _alike(one: Followed, other: Followed, task: str) -> bool:
    """Whether two runs are of the same version of a task, neither of them in sample where the other is not."""
    same = one.versions.get(task) == other.versions[task]
    return same and one.in_sample(task) == other.in_sample(task)


def followed(connection: Connection, run_id: int, knows_until: Mapping[str, int]) -> Followed:
    """A stored run as it would be followed up, with all of its tasks that `knows_until` tells of."""
    columns = (runs.c.id, runs.c.cutoff, COMPLETE_UNTIL, runs.c.scored_at, runs.c.versions, runs.c.customers)
    row = connection.execute(select(*columns).where(runs.c.id == run_id)).one()
    run = Followed(*(*row, {name: until for name, until in knows_until.items() if name in row.versions}))
    return run._replace(versions={name: of for name, of in run.versions.items() if name in run.knows_until})


def _forget(connection: Connection, journey: str, before: int) -> None:
    old = select(outcomes.c.run_id).where(outcomes.c.journey == journey, outcomes.c.cutoff < before)
    connection.execute(delete(expectations).where(expectations.c.run_id.in_(old)))
