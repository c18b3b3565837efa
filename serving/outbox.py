"""From changes and runs to deliveries that wait: each message once per webhook, under an id that stays.

Changes are the log; deliveries are made from it a part at a time, so that a webhook that is away for a
week holds a thousand rows and not a million.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update

from features.schema import HOUR, to_text
from serving import changes, messages, webhooks
from serving.changes import Change
from serving.clock import now
from serving.cursors import Mark
from serving.database import upsert
from serving.tables import Run, deliveries, runs
from serving.tables import webhooks as stored_webhooks
from serving.webhooks import Delivery, State, Webhook

AT_ONCE = 500  # changes made into deliveries in one transaction
WAITING = 1_000  # deliveries of a webhook that wait before more are made
GIVEN_UP = 36 * HOUR  # how long a message may wait for a webhook that fails
LONGEST_WAIT, LONGEST_PAUSE = 15 * HOUR, HOUR // 10  # between attempts at a message, and at a webhook (microseconds)
_log = logging.getLogger(__name__)


def behind(connection: Connection, known: Sequence[Webhook]) -> bool:
    """Whether something happened that one of a journey's webhooks has no deliveries of."""
    if not known:
        return False
    newest = select(func.max(runs.c.scored_at)).where(runs.c.journey == known[0].journey, runs.c.customers > 0)
    scored_at, change_id = connection.execute(newest).scalar() or 0, changes.last_id(connection, known[0].journey)
    return any(one.change_id < change_id or one.scored_at < scored_at for one in known)


def fill(connection: Connection, journey: str) -> int:
    """Make deliveries of what happened since the last time; how many.

    A webhook that somebody else makes deliveries for just now, or changes, is left out.
    """
    return sum(_fill(connection, webhook) for webhook in webhooks.locked(connection, journey))


def due(connection: Connection, webhook: Webhook, limit: int) -> list[Delivery]:
    """The oldest messages that may be sent now; none to a webhook that just failed.

    Where the clock was set back, an instant further ahead than any wait is has come.
    """
    at = now()
    if webhook.paused_until is not None and at < webhook.paused_until <= at + LONGEST_PAUSE:
        return []
    next_at = deliveries.c.next_at
    ready = (deliveries.c.state == "waiting", or_(next_at.is_(None), next_at <= at, next_at > at + LONGEST_WAIT))
    found = select(deliveries).where(deliveries.c.webhook_id == webhook.id, *ready)
    return [Delivery(**row._mapping) for row in connection.execute(found.order_by(deliveries.c.id).limit(limit))]


def waits(connection: Connection, delivery: Delivery) -> bool:
    """Whether a delivery is still there and waits; those of a webhook that is deleted go with it."""
    found = select(deliveries.c.id).where(deliveries.c.id == delivery.id, deliveries.c.state == "waiting")
    return connection.execute(found).scalar() is not None


def give_up(connection: Connection, webhook: Webhook) -> int:
    """Let the messages to a webhook that have waited for too long be dead, tried or not; how many there were.

    Behind many others that fail, a message's own attempts would take weeks.
    """
    old = (deliveries.c.state == "waiting", deliveries.c.created_at < now() - GIVEN_UP)
    over = {
        "state": "dead",
        "next_at": None,
        "tried_at": func.coalesce(deliveries.c.tried_at, now()),  # from which on it is told of
        "error": func.coalesce(deliveries.c.error, "not tried: the messages before it failed for a day and a half"),
    }
    return connection.execute(
        update(deliveries).where(deliveries.c.webhook_id == webhook.id, *old).values(over)
    ).rowcount


def add(
    connection: Connection, webhook: Webhook, type: str, at: int, data: dict[str, Any], *, state: State = "waiting"
) -> int:
    """Make one delivery; its id."""
    row = _row(webhook, type, at, data) | {"state": state, "next_at": now() if state == "waiting" else None}
    return int(connection.execute(insert(deliveries).values(row).returning(deliveries.c.id)).scalar_one())


def _fill(connection: Connection, webhook: Webhook) -> int:
    waiting = (deliveries.c.webhook_id == webhook.id, deliveries.c.state == "waiting")
    held = connection.execute(select(func.count()).select_from(deliveries).where(*waiting)).scalar_one()
    if held >= WAITING:
        return 0
    moved_changes, change_id = _of_changes(connection, webhook)
    moved_runs, scored_at = _of_runs(connection, webhook)
    rows = moved_changes + moved_runs
    if (change_id, scored_at) != (webhook.change_id, webhook.scored_at):
        if rows:
            _insert(connection, rows)
        known = update(stored_webhooks).where(stored_webhooks.c.id == webhook.id)
        connection.execute(known.values(change_id=change_id, scored_at=scored_at))
    return len(rows)


def _of_changes(connection: Connection, webhook: Webhook) -> tuple[list[dict[str, Any]], int]:
    """Rows of the next changes, and up to which change they lead."""
    newest = changes.last_id(connection, webhook.journey)
    if newest <= webhook.change_id:
        return [], webhook.change_id
    if messages.RISK_CHANGED not in webhook.types:
        return [], newest
    begun = max(webhook.change_id, changes.pruned(connection, webhook.journey))
    if begun > webhook.change_id:
        _log.warning(
            "webhook %s missed changes up to %s, which were forgotten before they were sent", webhook.id, begun
        )
    after = Mark(webhook.journey, begun)
    page = changes.page(connection, webhook.journey, limit=AT_ONCE, after=after, risks=webhook.risks, up_to=newest)
    rows = [
        _row(webhook, messages.RISK_CHANGED, change.changed_at, _data(change, webhook.journey))
        | {"change_id": change.id}
        for change in page.items
    ]
    return rows, page.items[-1].id if page.more else newest


def _of_runs(connection: Connection, webhook: Webhook) -> tuple[list[dict[str, Any]], int]:
    """Rows of the runs that were finished since, and up to which run they lead."""
    later = (runs.c.journey == webhook.journey, runs.c.customers > 0, runs.c.scored_at > webhook.scored_at)
    found = [Run(**row._mapping) for row in connection.execute(select(runs).where(*later).order_by(runs.c.scored_at))]
    if not found:
        return [], webhook.scored_at
    told = found if messages.RUN_COMPLETED in webhook.types else []
    rows = [
        _row(webhook, messages.RUN_COMPLETED, run.finished_at or run.scored_at, _run(run)) | {"run_id": run.id}
        for run in told
    ]
    return rows, found[-1].scored_at


def _row(webhook: Webhook, type: str, at: int, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "journey": webhook.journey,
        "webhook_id": webhook.id,
        "message_id": messages.new_id(),
        "type": type,
        "customer_id": data.get("customer_id"),
        "body": messages.body(type, at, data),
        "state": "waiting",
        "attempts": 0,
        "created_at": now(),
        "next_at": now(),
        "change_id": None,
        "run_id": None,
    }


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Write deliveries; what a webhook was told already stands."""
    connection.execute(upsert(connection, deliveries).on_conflict_do_nothing(), rows)


def _data(change: Change, journey: str) -> dict[str, Any]:
    return {"journey": journey, **changes.fields(change)}


def _run(run: Run) -> dict[str, Any]:
    told = {"run": run.id, "journey": run.journey, "customers": run.customers, "versions": run.versions}
    return told | {"cutoff": to_text(run.cutoff), "scored_at": to_text(run.scored_at)}
