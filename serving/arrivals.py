"""Events as a request sends them, each read on its own: rows for the store, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from features.errors import InputError
from features.journey import Journey
from features.records import read_columns, unseen
from features.schema import CHANNEL, CUSTOMER, DAY, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE
from serving.asked import Id, Property, PropertyName, Text, Time
from serving.problems import Problem, of_input, of_validation

# 1900: an earlier date stands for unknown (0001-01-01 in many systems), and would make the log's span, and with it
# the number of cutoffs to train at, a thousandfold.
_FIRST = -25_567 * DAY
_EXAMPLE: dict[str, JsonValue] = {"time": "2017-11-28T18:05:00Z", "event": "purchase", "value": 32.5}


class EventRecord(BaseModel):
    """One event; other names are properties that the journey declares.

    `time` without a zone stands on the journey's clock. `known_at` is when the business learned of
    the event; null: at once.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow", json_schema_extra={"example": _EXAMPLE})
    __pydantic_extra__: dict[PropertyName, Property]

    time: Time
    event: Text
    value: float | None = None
    channel: Text | None = None
    known_at: Time | None = None
    event_id: Id | None = None

    def record(self) -> dict[str, Any]:
        """What is said of the event."""
        said = {name: value for name, value in self.__dict__.items() if value is not None}
        return {**said, **(self.__pydantic_extra__ or {})}


class Event(EventRecord):
    """An event of a customer; other names are properties that the journey declares.

    `time` without a zone stands on the journey's clock. `known_at` is when the business learned of the
    event; null: at its time, or now where that has passed already on the journey's clock. The same
    `event_id` of the same customer is the same event, in files too; null: made from what the event says.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"customer_id": "h1043", **_EXAMPLE}})

    customer_id: Id


class Arrivals(NamedTuple):
    """A row of the store for every event (null: it cannot be used), what is wrong with the others, and warnings.

    A row's `known_at` is null where the event does not say it.
    """

    rows: list[dict[str, Any] | None]
    faults: list[Problem | None]
    warnings: list[str]


def read(
    items: Sequence[Any], journey: Journey, received_at: int, *, types: Collection[str] = (), alone: bool = False
) -> Arrivals:
    """Read some events, each on its own.

    Parameters
    ----------
    items
        Parsed JSON values.
    received_at
        Microseconds, for the rows.
    types
        The event types that the models know; others get a warning. Empty: nobody can tell.
    alone
        Whether the event is the whole request: faults are told with their place in it.
    """
    places: list[tuple[int | str, ...]] = [("body",) if alone else ("body", f"events[{n}]") for n in range(len(items))]
    found = [_checked(item, place) for item, place in zip(items, places, strict=True)]
    events = [one for one in found if isinstance(one, Event)]
    records = [event.record() for event in events]
    columns, warnings = read_columns(records, journey) if records else ({}, [])
    warnings += unseen(columns[EVENT], types) if types and columns else []
    said = [event.known_at is not None for event in events]
    rows = iter(_rows(columns, journey, said, received_at))
    placed = [next(rows) if isinstance(one, Event) else None for one in found]
    faults = [one if isinstance(one, Problem) else None for one in found]
    for number, row in enumerate(placed):
        early = [name for name in (TIME, KNOWN_AT) if row is not None and row[name] is not None and row[name] < _FIRST]
        if early:
            place = early[0] if alone else f"events[{number}].{early[0]}"
            placed[number], faults[number] = None, of_input(_unknown(place))
    return Arrivals(placed, faults, warnings)


def _checked(item: Any, place: tuple[int | str, ...]) -> Event | Problem:
    try:
        return Event.model_validate(item)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        return of_validation(RequestValidationError([{**fault, "loc": (*place, *fault["loc"])} for fault in faults]))


def _unknown(place: str) -> InputError:
    do = "correct the time; leave out an event whose time is not known"
    return InputError(place, "before the year 1900, as dates are that stand for unknown", "1900 or later", do)


def _rows(
    columns: dict[str, Sequence[Any]], journey: Journey, said: list[bool], received_at: int
) -> Iterator[dict[str, Any]]:
    """The rows; `said` says which events tell when they were known."""
    names = (CUSTOMER, TIME, EVENT, VALUE, CHANNEL)
    ids = columns.get(EVENT_ID, [None] * len(said))
    for number, known in enumerate(said):
        properties = {name: columns[name][number] for name in journey.properties}
        row: dict[str, Any] = {name: columns[name][number] for name in names}
        row["properties"] = {name: value for name, value in properties.items() if value is not None} or None
        row[KNOWN_AT] = columns[KNOWN_AT][number] if known else None
        row[EVENT_ID] = ids[number] or id_of(row)
        yield row | {"journey": journey.journey, "received_at": received_at}


def id_of(row: dict[str, Any]) -> str:
    """An id made from what the event says: sent again, it is the same event."""
    return "auto-" + blake2b(orjson.dumps(row, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
