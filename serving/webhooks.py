"""Webhooks: who wants messages, and what became of each message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from sqlalchemy import Connection, delete, func, insert, select, update

from features.errors import InputError
from features.journey import Risk
from features.schema import DAY
from serving import changes
from serving.clock import now
from serving.messages import Type, new_secret
from serving.outbound import Sent
from serving.tables import deliveries, runs, webhooks

State: TypeAlias = Literal["waiting", "delivered", "dead"]
KEPT = 30 * DAY  # how long deliveries that are over are told of, from their last attempt on
PRUNED = 5_000  # deliveries forgotten in one transaction: others write in between
MOST = 50  # webhooks of a journey


class UnknownWebhookError(InputError):
    """The store holds no such webhook of this journey, or no such delivery of it."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where messages go, which ones, and how the last ones went.

    `risks`: changes into these bands alone; null: all. `change_id` and `scored_at` say up to which change
    and which run messages were made. `failures` counts attempts that failed since one was answered.
    """

    id: int
    journey: str
    url: str
    description: str
    types: list[Type]
    risks: list[Risk] | None
    secret: str
    created_at: int
    change_id: int
    scored_at: int
    failures: int
    paused_until: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one webhook and its newest attempt; instants are microseconds."""

    id: int
    journey: str
    webhook_id: int
    message_id: str
    type: str
    customer_id: str | None
    body: str
    state: State
    attempts: int
    created_at: int
    next_at: int | None
    tried_at: int | None
    http_status: int | None
    error: str | None
    milliseconds: int | None
    change_id: int | None = None
    run_id: int | None = None


class Wanted(NamedTuple):
    """What a webhook is registered with."""

    url: str
    description: str
    types: list[Type]
    risks: list[Risk] | None


def register(connection: Connection, journey: str, wanted: Wanted) -> Webhook:
    """Register a webhook for what happens from now on.

    Raises
    ------
    InputError
        Where the journey has as many as it may have.
    """
    held = connection.execute(select(func.count()).select_from(webhooks).where(webhooks.c.journey == journey))
    if held.scalar_one() >= MOST:
        raise InputError("webhooks", f"{MOST} are registered", "fewer", "delete one that is no longer needed")
    newest = select(func.max(runs.c.scored_at)).where(runs.c.journey == journey, runs.c.customers > 0)
    new = wanted._asdict() | {
        "journey": journey,
        "secret": new_secret(),
        "created_at": now(),
        "change_id": changes.last_id(connection, journey),
        "scored_at": connection.execute(newest).scalar() or 0,
        "failures": 0,
    }
    webhook_id = connection.execute(insert(webhooks).values(new).returning(webhooks.c.id)).scalar_one()
    return of_id(connection, journey, int(webhook_id))


def of_id(connection: Connection, journey: str, webhook_id: int) -> Webhook:
    """A webhook of a journey.

    Raises
    ------
    UnknownWebhookError
        Where there is none of this id.
    """
    found = select(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.journey == journey)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise UnknownWebhookError(
            "webhook", str(webhook_id), f"the id of a webhook of {journey}", "see GET /v1/webhooks"
        )
    return Webhook(**row._mapping)


def of_journey(connection: Connection, journey: str) -> list[Webhook]:
    """A journey's webhooks, the oldest first."""
    found = select(webhooks).where(webhooks.c.journey == journey).order_by(webhooks.c.id)
    return [Webhook(**row._mapping) for row in connection.execute(found)]


def locked(connection: Connection, journey: str) -> list[Webhook]:
    """The same, for this transaction alone until its end; those that others hold are left out."""
    found = select(webhooks).where(webhooks.c.journey == journey).order_by(webhooks.c.id)
    return [
        Webhook(**row._mapping) for row in connection.execute(found.with_for_update(skip_locked=True, key_share=True))
    ]


def remove(connection: Connection, journey: str, webhook_id: int) -> None:
    """Forget a webhook and its deliveries.

    Raises
    ------
    UnknownWebhookError
        Where there is none of this id.
    """
    of_id(connection, journey, webhook_id)
    connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))


def log(
    connection: Connection, webhook_id: int, *, state: State | None = None, limit: int = 50, before: int | None = None
) -> list[Delivery]:
    """A webhook's deliveries, the newest first; `before` is the id of the last one of the page before."""
    found = select(deliveries).where(deliveries.c.webhook_id == webhook_id)
    if state is not None:
        found = found.where(deliveries.c.state == state)
    if before is not None:
        found = found.where(deliveries.c.id < before)
    rows = connection.execute(found.order_by(deliveries.c.id.desc()).limit(limit))
    return [Delivery(**row._mapping) for row in rows]


def delivery_of_id(connection: Connection, webhook_id: int, delivery_id: int) -> Delivery:
    """A delivery of a webhook.

    Raises
    ------
    UnknownWebhookError
        Where there is none of this id.
    """
    found = select(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise UnknownWebhookError(
            "delivery",
            str(delivery_id),
            "the id of one of its deliveries",
            f"see GET /v1/webhooks/{webhook_id}/deliveries",
        )
    return Delivery(**row._mapping)


def resend(connection: Connection, webhook_id: int, delivery_id: int | None = None) -> int:
    """Try dead messages again from the beginning, or one message whatever became of it; how many there are."""
    wanted = deliveries.c.state == "dead" if delivery_id is None else deliveries.c.id == delivery_id
    again = {"state": "waiting", "attempts": 0, "next_at": now()}
    chosen = update(deliveries).where(deliveries.c.webhook_id == webhook_id, wanted)
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(failures=0, paused_until=None))
    return int(connection.execute(chosen.values(again)).rowcount)


def told(connection: Connection, delivery: Delivery, sent: Sent, values: dict[str, Any]) -> None:
    """Keep how an attempt went; a failure, only where nobody has tried, received or resent it meanwhile."""
    attempt = {"tried_at": now(), "http_status": sent.status, "error": sent.error, "milliseconds": sent.milliseconds}
    known = update(deliveries).where(deliveries.c.id == delivery.id)
    if not sent.received:
        known = known.where(deliveries.c.state == delivery.state, deliveries.c.attempts == delivery.attempts)
    connection.execute(known.values(attempt | values))


def prune(connection: Connection, journey: str) -> int:
    """Forget some of the deliveries that have been over for long, however long they waited before; how many."""
    over = (deliveries.c.journey == journey, deliveries.c.tried_at < now() - KEPT, deliveries.c.state != "waiting")
    some = select(deliveries.c.id).where(*over).limit(PRUNED)
    return int(connection.execute(delete(deliveries).where(deliveries.c.id.in_(some))).rowcount)


def queue(connection: Connection, journey: str) -> dict[State, int]:
    """How many deliveries of a journey are in which state."""
    of_journey = select(webhooks.c.id).where(
        webhooks.c.journey == journey
    )  # by which an index counts, and no row is read
    counted = select(deliveries.c.state, func.count()).where(deliveries.c.webhook_id.in_(of_journey))
    counted = counted.where(deliveries.c.state.in_(get_args(State))).group_by(deliveries.c.state)
    return {cast(State, state): count for state, count in connection.execute(counted)}
