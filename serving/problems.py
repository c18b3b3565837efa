"""Errors over HTTP: problem documents (RFC 9457) with a stable code and the way out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from features.errors import (
    ErasedError,
    InputError,
    KeyReusedError,
    NoModelError,
    SuppressedError,
    TakenError,
    UnknownCustomerError,
)
from serving.campaigns import UnknownCampaignError
from serving.changes import ChangesGoneError
from serving.database import StoreError
from serving.journeys import NoJourneyError
from serving.outbound import RefusedAddressError
from serving.runs import UnknownRunError
from serving.store import NoScoresError, RunGoneError
from serving.webhooks import UnknownWebhookError

MEDIA_TYPE = "application/problem+json"
_SHOWN = 200  # characters of what was given that are told back
_PASSING = ("store_unavailable", "models_unavailable")  # what mends itself
_SOON = "5"  # seconds
_FAULTS = 50  # places told back of a body with many


class NotReadyError(InputError):
    """The models cannot be loaded now."""


class UnknownModelError(InputError):
    """There is no such version of a model, or nothing of that name was logged with it."""


class NotScoringError(InputError):
    """A server that was started without the means to score."""


class RunNotCompleteError(InputError):
    """The run has no scores yet, or never will have."""


class Fault(BaseModel):
    """One place of a request that cannot be used."""

    place: str
    given: str | None = None
    accepted: str


class Problem(BaseModel):
    """A problem document. `code` is stable: programs decide by it, people read the rest."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    given: str | None = None
    accepted: str | None = None
    do: str | None = None
    faults: list[Fault] = []


_KINDS: dict[type[InputError], tuple[int, str, str]] = {
    UnknownCustomerError: (404, "unknown_customer", "No score of this customer"),
    UnknownCampaignError: (404, "unknown_campaign", "No campaign of this id"),
    UnknownRunError: (404, "unknown_run", "No run of this id"),
    UnknownWebhookError: (404, "unknown_webhook", "No webhook or delivery of this id"),
    UnknownModelError: (404, "unknown_model", "No such file of a model"),
    SuppressedError: (409, "suppressed", "The customer must not be contacted"),
    RunNotCompleteError: (409, "run_not_complete", "The run is not complete"),
    ChangesGoneError: (410, "changes_gone", "Changes are no longer stored"),
    ErasedError: (409, "erased", "The customer was erased"),
    RunGoneError: (410, "run_gone", "The list is no longer stored"),
    NoModelError: (503, "no_model", "No model serves this journey yet"),
    NoJourneyError: (404, "no_journey", "The newest run kept no journey"),
    NoScoresError: (503, "no_scores", "No scores are stored yet"),
    NotScoringError: (503, "not_scoring", "This server does not score"),
    RefusedAddressError: (422, "refused_address", "Messages must not go there"),
    NotReadyError: (503, "models_unavailable", "The models cannot be loaded"),
    StoreError: (503, "store_unavailable", "The score store cannot be used"),
    TakenError: (409, "event_id_taken", "The id belongs to another customer's event"),
    KeyReusedError: (422, "key_reused", "The idempotency key belongs to another request"),
    InputError: (422, "invalid_input", "The request cannot be used"),
}
_STATUSES: dict[int, tuple[str, str, str]] = {
    400: ("malformed_body", "The body is not JSON", "send one JSON object (RFC 8259) as UTF-8"),
    401: ("no_key", "A key is needed", "send Authorization: Bearer with a key of `journeycast keys create`"),
    403: ("not_allowed", "The key may not do this", "use a key with this scope"),
    404: ("unknown_route", "There is nothing here", "see /docs for the routes"),
    405: ("wrong_method", "The route does not take this method", "see /docs for the routes, or the Allow header"),
    413: ("body_too_large", "The body is too large", "send fewer customers or events per request"),
    421: ("foreign_host", "The request is not of this machine", "ask as localhost, or make keys"),
    429: ("too_many_requests", "The key sends too many requests", "wait as long as Retry-After says"),
    415: ("wrong_media_type", "The body is not declared as JSON", "send the header Content-Type: application/json"),
    503: ("server_ends", "The server ends", "send it again, to the server that follows"),
}


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response; fields that say nothing are left out."""
    content = problem.model_dump_json(exclude_none=True, exclude_defaults=True)
    told = {"Retry-After": _SOON, **(headers or {})} if problem.code in _PASSING else headers
    return Response(content, problem.status, told, MEDIA_TYPE)


def of_status(status: int, detail: str) -> Problem:
    """The problem an HTTP status stands for."""
    unnamed = ("http_error", "The request cannot be answered", "see /docs for the routes")
    code, title, do = _STATUSES.get(status, unnamed)
    return Problem(type=_type(code), title=title, status=status, code=code, detail=detail, do=do)


def of_input(error: InputError) -> Problem:
    """The problem that an error a user can mend stands for."""
    kind = next(kind for kind in type(error).__mro__ if kind in _KINDS)
    status, code, title = _KINDS[kind]
    return Problem(
        type=_type(code),
        title=title,
        status=status,
        code=code,
        detail=f"{error.place}: {error.found}",
        given=error.found[:_SHOWN],
        accepted=error.accepted or None,
        do=error.do or None,
    )


def of_validation(error: RequestValidationError) -> Problem:
    """The problem of a request whose parts are not what the route takes: every place is told."""
    found = error.errors()
    faults = [
        Fault(place=_place(fault["loc"]), given=_given(fault), accepted=fault["msg"].removeprefix("Value error, "))
        for fault in found[:_FAULTS]
    ]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return Problem(
        type=_type("invalid_request"),
        title="The request cannot be used",
        status=422,
        code="invalid_request",
        detail=f"{faults[0].place}: {faults[0].accepted}{more}",
        do="correct the places named in faults; /docs shows what the route takes",
        faults=faults,
    )


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""

    async def on_input(_: Request, error: Exception) -> Response:
        return respond(of_input(cast(InputError, error)))

    async def on_http(_: Request, error: Exception) -> Response:
        told = cast(HTTPException, error)
        return respond(of_status(told.status_code, str(told.detail)), told.headers)

    async def on_validation(_: Request, error: Exception) -> Response:
        return respond(of_validation(cast(RequestValidationError, error)))

    async def on_bug(_: Request, __: Exception) -> Response:
        # What went wrong inside is logged by the server and is nobody else's business.
        told = Problem(
            type=_type("internal_error"),
            title="Something went wrong in the server",
            status=500,
            code="internal_error",
            detail="the server's log says what",
            do="try again; if it stays, tell whoever runs this server",
        )
        return respond(told)

    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        InputError: on_input,
        HTTPException: on_http,
        RequestValidationError: on_validation,
        Exception: on_bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route for OpenAPI: problem documents under these statuses."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    titles = {status: title for status, _, title in _KINDS.values()} | {s: t for s, (_, t, _) in _STATUSES.items()}
    titles |= {404: "Nothing of this id", 409: "Not now", 410: "No longer stored", 422: "The request cannot be used"}
    titles |= {503: "No model, no scores or no store yet"}
    return {status: {"description": titles[status], "content": {MEDIA_TYPE: schema}} for status in statuses}


def _type(code: str) -> str:
    return f"urn:journeycast:problem:{code}"


def _place(parts: tuple[int | str, ...]) -> str:
    """`customers[0].events[3].time` or `limit`: the way to a part of the request."""
    place = ""
    for part in parts[1:] if len(parts) > 1 else parts:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place


def _given(fault: Mapping[str, Any]) -> str | None:
    value = fault.get("input")
    if value is None or isinstance(value, dict | list):
        return None
    text = value if isinstance(value, str) else repr(value)
    return text[:_SHOWN].encode("utf-8", "replace").decode()
