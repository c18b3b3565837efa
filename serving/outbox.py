"""From changes and runs to deliveries that wait: each message once per webhook, under an id that stays.

Changes are the log; deliveries are made from it a part at a time, so that a webhook that is away for a
week holds a thousand rows and not a million.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update

from features.schema import to_text
from serving import changes, messages, webhooks
from serving.changes import Change
from serving.clock import now
from serving.cursors import Mark
from serving.tables import Run, deliveries, runs
from serving.tables import webhooks as stored_webhooks
from serving.webhooks import Delivery, State, Webhook

AT_ONCE = 500  # changes made into deliveries in one transaction
WAITING = 1_000  # deliveries of a webhook that wait before more are made


def fill(connection: Connection, journey: str) -> int:
    """Make deliveries of what happened since the last time; how many."""
    return sum(_fill(connection, webhook) for webhook in webhooks.of_journey(connection, journey))


def due(connection: Connection, webhook: Webhook, limit: int) -> list[Delivery]:
    """The oldest messages that may be sent now; none to a webhook that just failed."""
    at = now()
    if webhook.paused_until is not None and webhook.paused_until > at:
        return []
    ready = (deliveries.c.state == "waiting", or_(deliveries.c.next_at.is_(None), deliveries.c.next_at <= at))
    found = select(deliveries).where(deliveries.c.webhook_id == webhook.id, *ready)
    return [Delivery(**row._mapping) for row in connection.execute(found.order_by(deliveries.c.id).limit(limit))]


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
            connection.execute(insert(deliveries), rows)
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
    page = changes.page(
        connection, webhook.journey, limit=AT_ONCE, after=Mark(webhook.journey, begun), risks=webhook.risks
    )
    rows = [
        _row(webhook, messages.RISK_CHANGED, change.changed_at, _data(change, webhook.journey)) for change in page.items
    ]
    return rows, page.items[-1].id if page.more else newest


def _of_runs(connection: Connection, webhook: Webhook) -> tuple[list[dict[str, Any]], int]:
    """Rows of the runs that were finished since, and up to which run they lead."""
    later = (runs.c.journey == webhook.journey, runs.c.customers > 0, runs.c.scored_at > webhook.scored_at)
    found = [Run(**row._mapping) for row in connection.execute(select(runs).where(*later).order_by(runs.c.scored_at))]
    if not found:
        return [], webhook.scored_at
    told = found if messages.RUN_COMPLETED in webhook.types else []
    rows = [_row(webhook, messages.RUN_COMPLETED, run.finished_at or run.scored_at, _run(run)) for run in told]
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
    }


def _data(change: Change, journey: str) -> dict[str, Any]:
    return {"journey": journey, **changes.fields(change)}


def _run(run: Run) -> dict[str, Any]:
    told = {"run": run.id, "journey": run.journey, "customers": run.customers, "versions": run.versions}
    return told | {"cutoff": to_text(run.cutoff), "scored_at": to_text(run.scored_at)}
