"""Events in: one or up to a thousand, each with its own result; what is acknowledged is durable."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from features.errors import InputError, TakenError
from features.schema import CUSTOMER, EVENT_ID, KNOWN_AT, TIME
from serving import intake
from serving.arrivals import Arrivals, Event, read
from serving.bodies import StrictRoute, read_json
from serving.clock import now
from serving.intake import Reply
from serving.kept_out import erased_error
from serving.present import AHEAD
from serving.problems import Problem, documented, of_input, respond
from serving.replies import Keyed
from serving.state import Shared, State

router = APIRouter(tags=["events"], route_class=StrictRoute)
MOST = 1_000
_LARGE = 16_384  # bytes of a body that is read beside the loop, so that others are answered meanwhile


class EventList(BaseModel):
    """1 to 1,000 events; one that cannot be used is rejected alone."""

    events: list[Event | Any] = Field(min_length=1, max_length=MOST)


class EventResult(BaseModel):
    """What became of one event; `event_id` is null where the event could not be read."""

    event_id: str | None
    status: Literal["accepted", "duplicate", "rejected"]
    problem: Problem | None = None


class Acknowledged(BaseModel):
    """What became of every event, in the order of the request. Accepted and duplicate ones are durable."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[EventResult]
    warnings: list[str] = []


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"$ref": f"#/components/schemas/{one}"} for one in ("Event", "EventList")]}
            }
        },
    }
}
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of your own, such as a UUID: the same request sent again within a day is answered"
        " as it was, and does nothing.",
    ),
]


@router.post(
    "/v1/events",
    response_model=Acknowledged,
    openapi_extra=_BODY,
    responses=documented(400, 409, 413, 415, 422, 503),
)
async def events(state: Shared, request: Request, idempotency_key: Key = None) -> Response:
    """Take events in; the customer's next answer reflects them.

    The body is an event, or `{"events": [...]}` with up to 1,000. Each is judged alone: `accepted`, `duplicate` (the
    same `event_id` of the customer was acknowledged before), or `rejected` with a problem document. A single event that
    is rejected is answered with its problem.
    """
    body = await request.body()
    taken = await run_in_threadpool(_read, state, body) if len(body) > _LARGE else _read(state, body)
    if taken.alone and (fault := taken.read.faults[0]):
        return respond(fault)
    rows = [row for row in taken.read.rows if row is not None]
    keyed = None if idempotency_key is None else Keyed(_owner(request), idempotency_key, body)
    reply = await asyncio.wrap_future(state.intake.submit(rows, keyed, len(body)))
    return _told(taken, reply)


class _Taken(NamedTuple):
    read: Arrivals
    alone: bool


def _read(state: State, body: bytes) -> _Taken:
    content = read_json(body)
    alone = not (isinstance(content, dict) and isinstance(content.get("events"), list))
    items = [content] if alone else content["events"]
    if not alone and (further := content.keys() - {"events"}):
        raise InputError("body", f"{', '.join(sorted(further))} beside events", "events alone")
    if not 1 <= len(items) <= MOST:
        raise InputError("events", f"{len(items):,} events", f"1 to {MOST:,}", "send several requests")
    known = state.loaded.journey if state.loaded else state.definition
    found = read(items, state.definition, now(), types=known.types, alone=alone)
    found.warnings.extend(_ahead(found, max(now(), known.said_until or 0) + AHEAD))
    return _Taken(found, alone)


def _ahead(found: Arrivals, limit: int) -> list[str]:
    """What to tell of events that no answer sees yet, mostly for want of the right zone."""
    late = sum(row is not None and max(row[TIME], row[KNOWN_AT] or 0) > limit for row in found.rows)
    if not late:
        return []
    told = "1 event lies" if late == 1 else f"{late:,} events lie"
    return [f"{told} ahead of the server's clock, and counts once that has come: is the zone right?"]


def _owner(request: Request) -> str:
    return str(request.scope.get("state", {}).get("who", ""))


def _told(taken: _Taken, reply: Reply) -> Response:
    letters = iter(reply.outcomes)
    results: list[dict[str, Any]] = []
    for number, (row, fault) in enumerate(zip(taken.read.rows, taken.read.faults, strict=True)):
        letter = next(letters) if row is not None else None
        if row is not None and letter in _WORDS:
            results.append({"event_id": row[EVENT_ID], "status": _WORDS[letter]})
            continue
        problem = fault or of_input(_refused(row or {}, letter, "" if taken.alone else f"events[{number}]."))
        if taken.alone:
            return respond(problem)
        told = problem.model_dump(exclude_none=True, exclude_defaults=True)
        results.append({"event_id": row and row[EVENT_ID], "status": "rejected", "problem": told})
    counts = {"accepted": intake.ACCEPTED, "duplicates": intake.DUPLICATE}
    content = {name: reply.outcomes.count(letter) for name, letter in counts.items()}
    content["rejected"] = len(results) - sum(content.values())
    headers = {"Idempotent-Replayed": "true"} if reply.replayed else None
    told = {**content, "results": results, "warnings": taken.read.warnings}
    return Response(orjson.dumps(told), headers=headers, media_type="application/json")


_WORDS = {intake.ACCEPTED: "accepted", intake.DUPLICATE: "duplicate"}


def _refused(row: dict[str, Any], letter: str | None, place: str) -> InputError:
    if letter == intake.ERASED:
        return erased_error(f"{place}{CUSTOMER}")
    if letter == intake.REFUSED:
        return InputError(f"{place.removesuffix('.') or 'event'}", "the store cannot hold it", "shorter, plain texts")
    if letter == intake.OTHERS:
        do = "give every event an id of its own"
        return TakenError(f"{place}{EVENT_ID}", row[EVENT_ID], "an id of no other customer's event", do)
    found = "more than a day after now, and after the end of the newest run's log"
    return InputError(f"{place}time", found, "an instant that has come", "correct the clock that told it")
