"""Changes of risk band, in the order in which runs became visible: what other systems follow.

A change is written in the last transaction of its run, so both are visible or neither is. It outlives
its run. Cursors are ids: each change is read exactly once, whatever is scored or forgotten meanwhile.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from features.errors import InputError
from features.journey import Risk
from features.schema import to_text
from serving.cursors import Mark
from serving.tables import changes, pruned_changes, runs, scores


class ChangesGoneError(InputError):
    """Changes that the reader has not seen are no longer stored."""


@dataclass(frozen=True, slots=True)
class Change:
    """A customer's band is another one than in the run before.

    `risk` is null where churn does not ask about the customer any more, `risk_before` where the run
    before had no band of them. `changed_at` is microseconds; the rest is as in the run's list.
    """

    id: int
    run_id: int
    customer_id: str
    changed_at: int
    risk: Risk | None
    risk_before: Risk | None
    churn_probability: float | None
    stage: str | None
    expected_loss: float | None
    currency: str | None
    reason_code: str | None
    reason: str | None


_COLUMNS = [changes.c[name] for name in Change.__dataclass_fields__]
_OF_SCORES = (
    "customer_id",
    "risk",
    "risk_before",
    "churn_probability",
    "stage",
    "expected_loss",
    "reason_code",
    "reason",
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order; `cursor` continues behind them, `more` says whether anything is there already."""

    items: list[Change]
    cursor: str
    more: bool


def fields(change: Change) -> dict[str, Any]:
    """A change as it is told, over HTTP and in messages."""
    found = asdict(change)
    run_id, changed_at = found.pop("run_id"), found.pop("changed_at")
    return {"id": found.pop("id"), "run": run_id, "changed_at": to_text(changed_at), **found}


def record(connection: Connection, run_id: int) -> None:
    """Write the changes of a run against the one before it."""
    columns = {name: scores.c[name] for name in _OF_SCORES}
    columns |= {"journey": runs.c.journey, "run_id": runs.c.id, "changed_at": runs.c.scored_at}
    columns |= {"currency": runs.c.currency}
    found = (
        select(*columns.values())
        .join_from(runs, scores, scores.c.run_id == runs.c.id)
        .where(runs.c.id == run_id, scores.c.risk_since == runs.c.scored_at)
        .where(scores.c.risk.is_distinct_from(scores.c.risk_before))
        .order_by(scores.c.customer_id)
    )
    connection.execute(insert(changes).from_select(list(columns), found))


def prune(connection: Connection, journey: str, before: int) -> None:
    """Forget the changes of runs scored before an instant, and remember that there were some."""
    old = (changes.c.journey == journey, changes.c.changed_at < before)
    up_to = connection.execute(select(func.max(changes.c.id)).where(*old)).scalar()
    if up_to is None:
        return
    connection.execute(delete(changes).where(*old, changes.c.id <= up_to))
    known = pruned_changes.c.journey == journey
    if not connection.execute(update(pruned_changes).where(known).values(up_to=up_to)).rowcount:
        connection.execute(insert(pruned_changes).values(journey=journey, up_to=up_to))


def page(
    connection: Connection, journey: str, *, limit: int, after: Mark | None = None, risks: list[Risk] | None = None,
    since: int | None = None, up_to: int | None = None,
) -> Changes:  # fmt: skip
    """The next `limit` changes behind `after` (null: the oldest stored ones).

    Parameters
    ----------
    risks
        Only changes into these bands; null: all.
    since
        Only changes of runs scored at or after this instant.
    up_to
        The id of the last change to look at; null: the newest. In a transaction that writes, others appear
        from one statement to the next.

    Raises
    ------
    ChangesGoneError
        Where changes behind `after` were forgotten.
    """
    begun = _begun(connection, journey, after)
    wanted: list[Any] = [changes.c.journey == journey, changes.c.id > begun]
    if risks is not None:
        wanted.append(changes.c.risk.in_(risks))
    if since is not None:
        wanted.append(changes.c.changed_at >= since)
    newest = last_id(connection, journey) if up_to is None else up_to
    wanted.append(changes.c.id <= newest)
    rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(changes.c.id).limit(limit + 1)).all()
    items = [Change(*row) for row in rows[:limit]]
    more = len(rows) > limit
    # Behind the last page stands the newest change of all, whether or not the filters let it through.
    end = items[-1].id if more else max(begun, newest)
    return Changes(items, Mark(journey, end).text(), more)


def last_id(connection: Connection, journey: str) -> int:
    """The id of the newest change; 0: there never was one."""
    newest = connection.execute(select(func.max(changes.c.id)).where(changes.c.journey == journey)).scalar()
    return newest or pruned(connection, journey)


def _begun(connection: Connection, journey: str, after: Mark | None) -> int:
    if after is None:
        return 0
    if after.journey != journey:
        raise InputError("cursor", "it belongs to another journey", f"a cursor of the changes of {journey}")
    if after.id < pruned(connection, journey):
        raise ChangesGoneError(
            "cursor",
            "changes that follow it are no longer stored",
            "a cursor read within the time that changes are kept",
            "leave the cursor out to begin with the oldest stored change, and read the whole run beside it",
        )
    return after.id


def pruned(connection: Connection, journey: str) -> int:
    """The id of the newest change that was forgotten; 0: none was."""
    found = connection.execute(select(pruned_changes.c.up_to).where(pruned_changes.c.journey == journey)).scalar()
    return int(found or 0)
