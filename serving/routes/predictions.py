"""Answers for customers from the raw events in the request; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import polars as pl
from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.responses import Response

from features.errors import InputError
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, POSITION, TIME, to_text
from features.timestamps import parse_one
from serving.answers import Answer, to_json
from serving.arrivals import EventRecord
from serving.asked import Text, Time
from serving.bodies import StrictRoute
from serving.problems import documented
from serving.scorer import Scorer
from serving.state import Shared

router = APIRouter(tags=["predictions"], route_class=StrictRoute)


# `?dry_run` alone means yes.
Flag = Annotated[bool, BeforeValidator(lambda value: True if value == "" else value)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class CustomerRecord(_Strict):
    """A customer with their history; `cutoff` defaults to the moment after their newest event."""

    customer_id: Text
    events: list[EventRecord] = Field(min_length=1, max_length=1000)
    cutoff: Time | None = None


class PredictionRequest(_Strict):
    """1 to 1,000 customers."""

    customers: list[CustomerRecord] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _once(self) -> PredictionRequest:
        ids = [customer.customer_id for customer in self.customers]
        if len(set(ids)) < len(ids):
            twice = next(name for name in ids if ids.count(name) > 1)
            raise ValueError(f"the customer {twice!r} stands twice; send each customer once")
        return self


class PredictionQuery(BaseModel):
    """What is wanted of a prediction; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Flag = Field(False, description="Say how each event was understood; predict nothing.")
    reasons: Flag = Field(True, description="Whether to explain; faster without.")


class Understood(BaseModel):
    """How the request was read (`dry_run`): each customer's cutoff and canonical events, in order."""

    customer_id: str
    cutoff: str
    events: list[dict[str, Any]]


class Predictions(BaseModel):
    """One answer per customer, in the order of the request; with `dry_run`, `understood` instead."""

    answers: list[Answer] = []
    understood: list[Understood] = []
    warnings: list[str] = []


@router.post("/v1/predictions", response_model=Predictions, responses=documented(400, 413, 415, 422, 503))
def predictions(
    state: Shared,
    request: PredictionRequest,
    wanted: Annotated[PredictionQuery, Query()],
) -> Response:
    """Answers through the very feature definitions the models learned from."""
    scorer, vectors = state.scorer(), None if wanted.dry_run else state.vector_log()
    with state.turn:
        events, warnings = from_records(list(_records(request.customers)), scorer.journey)
        cutoffs = _cutoffs(request.customers, events, scorer)
        if wanted.dry_run:
            content = orjson.dumps({"understood": _understood(events, cutoffs), "warnings": warnings})
        else:
            found = scorer.predict(events, cutoffs, reasons=wanted.reasons, served=vectors.add if vectors else None)
            told = {answer.customer_id: to_json(answer) for answer in found}
            answers = [orjson.Fragment(told[customer.customer_id]) for customer in request.customers]
            content = orjson.dumps({"answers": answers, "warnings": warnings})
    state.keep(vectors)
    return Response(content, media_type="application/json")


def _records(customers: list[CustomerRecord]) -> Iterable[dict[str, Any]]:
    for customer in customers:
        for event in customer.events:
            given = {name: value for name, value in event.__dict__.items() if value is not None}
            yield {**given, **event.__pydantic_extra__, CUSTOMER: customer.customer_id}


def _cutoffs(customers: list[CustomerRecord], events: pl.DataFrame, scorer: Scorer) -> pl.DataFrame:
    """Each customer's cutoff: the one given, else a microsecond after all of their events are known."""
    after: dict[str, int] = {}
    for customer_id, time, known_at in zip(
        *(events[name].to_list() for name in (CUSTOMER, TIME, KNOWN_AT)), strict=True
    ):
        after[customer_id] = max(after.get(customer_id, time + 1), time + 1, known_at + 1)
    zone = ZoneInfo(scorer.journey.timezone)
    found = []
    for number, customer in enumerate(customers):
        given = parse_one(customer.cutoff, zone) if customer.cutoff is not None else after.get(customer.customer_id)
        found.append(_told(given, f"customers[{number}]"))
    ids = [customer.customer_id for customer in customers]
    return pl.DataFrame({CUSTOMER: ids, CUTOFF: found}, schema={CUSTOMER: pl.String, CUTOFF: pl.Int64})


def _told(cutoff: int | None, place: str) -> int:
    if cutoff is None:
        raise InputError(
            place, "none of its events can be used", "one event with a readable time", "send events, or a cutoff"
        )
    try:
        to_text(cutoff)
    except OverflowError:
        raise InputError(
            f"{place}.cutoff", "beyond the years 1 to 9999", "an instant within them", "correct the times"
        ) from None
    return cutoff


def _understood(events: pl.DataFrame, cutoffs: pl.DataFrame) -> list[dict[str, Any]]:
    read: dict[str, list[dict[str, Any]]] = {customer: [] for customer in cutoffs[CUSTOMER]}
    for event in events.sort(CUSTOMER, POSITION).iter_rows(named=True):
        shown = {name: value for name, value in event.items() if name not in (CUSTOMER, POSITION)}
        read[event[CUSTOMER]].append(shown | {TIME: to_text(event[TIME]), KNOWN_AT: to_text(event[KNOWN_AT])})
    return [
        {CUSTOMER: customer, CUTOFF: to_text(cutoff), "events": read[customer]}
        for customer, cutoff in cutoffs.iter_rows()
    ]
