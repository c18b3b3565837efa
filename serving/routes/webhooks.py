"""Webhooks: registering them, trying them, and what became of each message."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from features.schema import to_text
from serving import messages, outbound, outbox, webhooks
from serving.asked import Name
from serving.bodies import StrictRoute
from serving.clock import now
from serving.deliverer import send
from serving.messages import RISK_CHANGED, Type
from serving.problems import documented
from serving.routes.changes import Risk
from serving.state import Shared
from serving.webhooks import Delivery, State, Wanted, Webhook

router = APIRouter(tags=["webhooks"])
registering = APIRouter(tags=["webhooks"], route_class=StrictRoute)

WebhookId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The webhook's id.")]
DeliveryId = Annotated[int, Path(ge=1, le=2**63 - 1, description="The delivery's id.")]


class WebhookRequest(BaseModel):
    """Where messages are to go and which; `risks` (empty: all) narrows changes to those into these bands."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"example": {"url": "https://crm.example.com/journeycast"}}
    )

    url: str = Field(max_length=2000, description="https://HOST/PATH; must be at a public address.")
    description: Name = ""
    types: list[Type] = Field([RISK_CHANGED], min_length=1, max_length=2)
    risks: list[Risk] = Field([], max_length=3)


class WebhookState(BaseModel):
    """A webhook. `failures`: attempts in a row that failed; until `paused_until` it is left alone."""

    id: int
    url: str
    description: str
    types: list[Type]
    risks: list[Risk]
    created_at: str
    failures: int
    paused_until: str | None


class NewWebhook(WebhookState):
    """The webhook and, this once, the secret its messages are signed with."""

    secret: str = Field(description="For a Standard Webhooks library of the receiver; it is never shown again.")


class Webhooks(BaseModel):
    """The journey's webhooks, and how many messages wait, were delivered lately, or are dead."""

    webhooks: list[WebhookState]
    waiting: int
    delivered: int
    dead: int


class DeliveryState(BaseModel):
    """A message and its newest attempt; `next_at` is when it is tried next (null: not again)."""

    id: int
    message_id: str = Field(description="The header webhook-id; the same at every attempt.")
    type: str
    customer_id: str | None
    state: State
    attempts: int
    created_at: str
    next_at: str | None
    tried_at: str | None
    http_status: int | None
    error: str | None
    milliseconds: int | None
    body: str


class Deliveries(BaseModel):
    """Deliveries, the newest first; `before` of the next page is `next_before` (null: this is the last)."""

    items: list[DeliveryState]
    next_before: int | None


class Resent(BaseModel):
    """How many messages wait again."""

    messages: int


class LogQuery(BaseModel):
    """Which deliveries; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["waiting", "delivered", "dead"] | None = Field(None, description="dead: tried for the last time.")
    limit: int = Field(50, description="Deliveries per page.", ge=1, le=500)
    before: int | None = Field(None, description="The next_before of the page before.", ge=1, le=2**63 - 1)


@registering.post("/v1/webhooks", status_code=201, responses=documented(400, 413, 415, 422, 503))
def register(state: Shared, wanted: WebhookRequest, response: Response) -> NewWebhook:
    """Register a URL for messages of what happens from now on, signed by Standard Webhooks.

    `customer.risk_changed` carries one change of GET /v1/changes, `run.completed` one run. A message is sent
    until a 2xx comes back, ten times within a day and a half; it may come twice, under the same `webhook-id`.
    """
    outbound.checked(wanted.url, state.outbound)
    types, risks = list(dict.fromkeys(wanted.types)), list(dict.fromkeys(wanted.risks))
    with state.store.transaction(writes=True) as connection:
        made = webhooks.register(
            connection, state.journey, Wanted(wanted.url, wanted.description, types, risks or None)
        )
    response.headers["Location"] = f"/v1/webhooks/{made.id}"
    return NewWebhook(**_fields(made), secret=made.secret)


@router.get("/v1/webhooks", responses=documented(503))
def listed(state: Shared) -> Webhooks:
    """The journey's webhooks."""
    with state.store.transaction() as connection:
        found = webhooks.of_journey(connection, state.journey)
        counts = webhooks.queue(connection, state.journey)
    states = {name: counts.get(name, 0) for name in ("waiting", "delivered", "dead")}
    return Webhooks(webhooks=[WebhookState(**_fields(one)) for one in found], **states)


@router.get("/v1/webhooks/{webhook_id}", responses=documented(404, 422, 503))
def one(state: Shared, webhook_id: WebhookId) -> WebhookState:
    """One webhook."""
    with state.store.transaction() as connection:
        return WebhookState(**_fields(webhooks.of_id(connection, state.journey, webhook_id)))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, responses=documented(404, 422, 503))
def remove(state: Shared, webhook_id: WebhookId) -> None:
    """Delete a webhook with the log of its deliveries; nothing is sent to it any more."""
    with state.store.transaction(writes=True) as connection:
        webhooks.remove(connection, state.journey, webhook_id)


@router.post("/v1/webhooks/{webhook_id}/test", responses=documented(404, 422, 503))
def test(state: Shared, webhook_id: WebhookId) -> DeliveryState:
    """Send a message of the type `test` now, once, and say how it went."""
    with state.store.transaction(writes=True) as connection:
        webhook = webhooks.of_id(connection, state.journey, webhook_id)
        made = outbox.add(connection, webhook, messages.TEST, now(), {"journey": state.journey}, state="dead")
        delivery = webhooks.delivery_of_id(connection, webhook_id, made)
    sent = send(webhook, delivery, state.outbound)
    with state.store.transaction(writes=True) as connection:
        ended = {"attempts": 1, "state": "delivered" if sent.received else "dead"}
        webhooks.told(connection, delivery, sent, ended)
        return _delivery(webhooks.delivery_of_id(connection, webhook_id, delivery.id))


@router.get("/v1/webhooks/{webhook_id}/deliveries", responses=documented(404, 422, 503))
def deliveries(state: Shared, webhook_id: WebhookId, query: Annotated[LogQuery, Query()]) -> Deliveries:
    """What became of the messages: those that wait, and for 30 days those that were delivered or are dead."""
    with state.store.transaction() as connection:
        webhooks.of_id(connection, state.journey, webhook_id)
        found = webhooks.log(connection, webhook_id, state=query.state, limit=query.limit + 1, before=query.before)
    items = [_delivery(one) for one in found[: query.limit]]
    return Deliveries(items=items, next_before=items[-1].id if len(found) > query.limit else None)


@router.post("/v1/webhooks/{webhook_id}/resend", responses=documented(404, 422, 503))
def resend_dead(state: Shared, webhook_id: WebhookId) -> Resent:
    """Try all dead messages of a webhook again, from the first attempt on."""
    with state.store.transaction(writes=True) as connection:
        webhooks.of_id(connection, state.journey, webhook_id)
        return Resent(messages=webhooks.resend(connection, webhook_id))


@router.post("/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend", responses=documented(404, 422, 503))
def resend(state: Shared, webhook_id: WebhookId, delivery_id: DeliveryId) -> DeliveryState:
    """Send one message again, whatever became of it."""
    with state.store.transaction(writes=True) as connection:
        webhooks.of_id(connection, state.journey, webhook_id)
        webhooks.delivery_of_id(connection, webhook_id, delivery_id)
        webhooks.resend(connection, webhook_id, delivery_id)
        return _delivery(webhooks.delivery_of_id(connection, webhook_id, delivery_id))


def _fields(webhook: Webhook) -> dict[str, Any]:
    plain = {name: getattr(webhook, name) for name in ("id", "url", "description", "types", "failures")}
    times = {name: _text(getattr(webhook, name)) for name in ("created_at", "paused_until")}
    return plain | times | {"risks": webhook.risks or []}


def _delivery(delivery: Delivery) -> DeliveryState:
    found = {name: getattr(delivery, name) for name in DeliveryState.model_fields}
    times = {name: _text(found[name]) for name in ("created_at", "next_at", "tried_at")}
    return DeliveryState(**(found | times))


def _text(instant: int | None) -> str | None:
    return None if instant is None else to_text(instant)
