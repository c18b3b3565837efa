"""One customer: where they stand, what is predicted and why, and how it came to be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from features.schema import to_microseconds
from serving import worklist
from serving.answers import Answer, TaskAnswer
from serving.clock import now
from serving.pages import figures
from serving.pages.events import Event, events_of
from serving.pages.falls import Fall, fall
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor
from serving.pages.templating import customer_address, page
from serving.pages.words import number, percent
from serving.recent import Earlier, recent
from serving.routes.customers import answer_of
from serving.state import Shared
from serving.suppression import Moment

_SHOWN = 100  # events told in words: the newest

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/customers/{customer_id:path}")
def customer(request: Request, session: Visitor, state: Shared, customer_id: str) -> Response:
    """Everything known of one customer."""
    answer = Answer.model_validate_json(answer_of(state, customer_id))
    loaded = state.loaded.journey if state.loaded else None
    cutoff = to_microseconds(datetime.fromisoformat(answer.cutoff))
    events = events_of(state.store, state.journey, loaded, customer_id, cutoff)
    earlier = recent(state.store, state.journey, customer_id)
    context = {
        "answer": answer,
        "tasks": _tasks(answer),
        "work": worklist.entry(state.store, state.journey, customer_id, Moment(now(), state.campaign.rest_days)),
        "earlier": earlier,
        "events": events[::-1][:_SHOWN],
        "known": len(events),
        "figures": _figures(earlier, events),
        "back": customer_address(customer_id),
    }
    return page(request, "customer.html", context, here="at_risk")


def _tasks(answer: Answer) -> list[dict[str, Any]]:
    """The tasks that the answer has, each with how its reasons add up (null: not asked, or not explained)."""
    found = []
    for name, task in (("churn", answer.churn), ("cltv", answer.cltv), ("next_stage", answer.next_stage)):
        if task is not None:
            found.append({"name": name, "task": task, "fall": _fall(name, task)})
    return found


def _fall(name: str, task: TaskAnswer) -> Fall | None:
    if not task.eligible or task.base is None:
        return None
    digits = 2 if name == "cltv" else 3
    return fall(task.base, task.reasons, task.other_effects or 0.0, _told(name), digits)


def _told(name: str) -> Callable[[float], str]:
    """How amounts of a task are written."""
    if name == "cltv":
        return number
    return partial(percent, digits=1)


def _figures(earlier: list[Earlier], events: list[Event]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if len(earlier) > 1:
        found["moves"] = figures.moves(earlier)
    if events:
        found["timeline"] = figures.timeline(events)
    return found
