"""Raw events sent over HTTP -> the canonical log, exactly as a file of the same events gives it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from features.canonical import REASONS, one_number, one_text
from features.journey import Journey
from features.schema import CANONICAL, CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, POSITION, TIME, VALUE
from features.timestamps import parse_one


def from_records(records: Sequence[Mapping[str, object]], journey: Journey) -> tuple[pl.DataFrame, list[str]]:
    """The canonical log of some events, and warnings.

    Parameters
    ----------
    records : sequence of mappings
        `customer_id`, `time` (ISO 8601 text, a datetime, or seconds since 1970; without a zone on
        the journey's clock) and `event`; `value`, `channel`, `known_at`, `event_id` and declared
        properties where there are any.
    journey : Journey
        Resolved with its log: event types it does not know get a warning.

    Returns
    -------
    tuple of polars.DataFrame and list of str
        The events as `features.log.read` gives them, and what was left out or not understood.
    """
    columns, warnings = read_columns(records, journey)
    kept: Sequence[int] = range(len(records))
    for name in (CUSTOMER, TIME, EVENT, KNOWN_AT):
        kept = _counted(kept, [n for n in kept if columns[name][n] is not None], REASONS[name], warnings)
    if EVENT_ID in columns:
        kept = _counted(kept, _first_of_each(columns, kept), REASONS[EVENT_ID], warnings)
    warnings += unseen((str(columns[EVENT][n]) for n in kept), journey.types)
    return _ordered(columns, kept, journey), warnings


def unseen(events: Iterable[str], types: Collection[str]) -> list[str]:
    """A warning for every event type that a journey does not know."""
    return [f"event type {name!r} was not seen in training" for name in sorted({*events} - {*types, CONTACTED})]


def _counted(before: Sequence[int], after: list[int], reason: str, warnings: list[str]) -> list[int]:
    if len(after) < len(before):
        warnings.append(f"{len(before) - len(after)} events left out: {reason}")
    return after


def _first_of_each(columns: Mapping[str, Sequence[Any]], kept: Sequence[int]) -> list[int]:
    """The first of a customer's events that share an id; events without one stay."""
    seen: set[object] = set()
    keys = [(columns[CUSTOMER][n], columns[EVENT_ID][n]) for n in kept]
    return [n for n, key in zip(kept, keys, strict=True) if key[1] is None or not (key in seen or seen.add(key))]  # type: ignore[func-returns-value]


def _ordered(columns: Mapping[str, Sequence[Any]], kept: Sequence[int], journey: Journey) -> pl.DataFrame:
    """What `features.canonical.ordered` makes of a file, without a query: requests have few events."""
    customers, times = columns[CUSTOMER], columns[TIME]
    order = sorted(kept, key=lambda n: (customers[n], times[n]))
    counts: dict[str, int] = {}
    positions = []
    for n in order:
        positions.append(counts.get(customers[n], 0))
        counts[customers[n]] = positions[-1] + 1
    names = [CUSTOMER, TIME, EVENT, VALUE, CHANNEL, KNOWN_AT, POSITION, EVENT_ID, *journey.properties]
    kinds = {name: _kind(name, journey) for name in names if name == POSITION or name in columns}
    rows = {name: positions if name == POSITION else [columns[name][n] for n in order] for name in kinds}
    return pl.DataFrame(rows, schema=kinds)


def read_columns(
    records: Sequence[Mapping[str, object]], journey: Journey
) -> tuple[dict[str, Sequence[Any]], list[str]]:
    """Canonical columns and declared properties of some events, a value for each; null: not there, or unreadable.

    `known_at` is `time` where the event does not say it; `event_id` is there only where an event has one.
    The second part tells what was not understood.
    """
    zone = ZoneInfo(journey.timezone)
    warnings: list[str] = []
    columns: dict[str, Sequence[Any]] = {
        name: [one_text(record.get(name)) for record in records] for name in (CUSTOMER, EVENT, CHANNEL)
    }
    columns[TIME] = [parse_one(record.get(TIME), zone) for record in records]
    columns[KNOWN_AT] = [
        time if record.get(KNOWN_AT) in (None, "") else parse_one(record[KNOWN_AT], zone)
        for record, time in zip(records, columns[TIME], strict=True)
    ]
    given = {name for record in records for name in record}
    if EVENT_ID in given:
        columns[EVENT_ID] = [one_text(record.get(EVENT_ID)) for record in records]
    for name, kind in {VALUE: "number", **journey.properties}.items():
        values = [record.get(name) for record in records] if name in given else [None] * len(records)
        columns[name] = list(map(one_text if kind == "category" else one_number, values))
        refused = kind != "category" and [
            v for v, n in zip(values, columns[name], strict=True) if n is None and _said(v)
        ]
        if refused:
            warnings.append(f"{name}: {refused[0]!r} is not a finite number and is read as unknown")
    unused = sorted(given - set(CANONICAL) - set(journey.properties))
    warnings += [f"{name!r} is neither a canonical column nor a declared property, and is not used" for name in unused]
    return columns, warnings


def _said(value: object) -> bool:
    """Whether a value was given at all: NaN and an empty text stand for none."""
    return value not in (None, "") and value == value  # noqa: PLR0124 - NaN differs from itself


def _kind(name: str, journey: Journey) -> pl.DataType:
    if name in (TIME, KNOWN_AT, POSITION):
        return pl.Int64()
    return pl.Float64() if name == VALUE or journey.properties.get(name, "category") != "category" else pl.String()
