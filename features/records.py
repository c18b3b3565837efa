"""Raw events sent over HTTP -> the canonical log, exactly as a file of the same events gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import polars as pl

from features.canonical import REASONS, one_number, one_text, ordered, shaped, without_repeated_ids
from features.journey import Journey
from features.schema import CANONICAL, CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE
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
    columns, warnings = _columns(records, journey)
    rows = shaped(pl.DataFrame(columns, schema_overrides=_kinds(columns, journey), strict=False), journey)
    for name in (CUSTOMER, TIME, EVENT, KNOWN_AT):
        if rows[name].null_count():
            warnings.append(f"{rows[name].null_count()} events left out: {REASONS[name]}")
            rows = rows.filter(pl.col(name).is_not_null())
    first = without_repeated_ids(rows)
    if first.height < rows.height:
        warnings.append(f"{rows.height - first.height} events left out: {REASONS[EVENT_ID]}")
    unseen = sorted(set(first[EVENT]) - {*journey.types, CONTACTED})
    warnings += [f"event type {name!r} was not seen in training" for name in unseen]
    return ordered(first), warnings


def _columns(
    records: Sequence[Mapping[str, object]], journey: Journey
) -> tuple[dict[str, Sequence[object]], list[str]]:
    zone = ZoneInfo(journey.timezone)
    warnings: list[str] = []
    columns: dict[str, Sequence[object]] = {
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
        columns[name] = [one_text(value) if kind == "category" else one_number(value) for value in values]
        refused = [raw for raw, read in zip(values, columns[name], strict=True) if read is None and _said(raw)]
        if kind != "category" and refused:
            warnings.append(f"{name}: {refused[0]!r} is not a finite number and is read as unknown")
    unused = sorted(given - set(CANONICAL) - set(journey.properties))
    warnings += [f"{name!r} is neither a canonical column nor a declared property, and is not used" for name in unused]
    return columns, warnings


def _said(value: object) -> bool:
    """Whether a value was given at all: NaN and an empty text stand for none."""
    return value not in (None, "") and value == value  # noqa: PLR0124 - NaN differs from itself


def _kinds(columns: Mapping[str, object], journey: Journey) -> dict[str, pl.DataType]:
    numbers = {VALUE, *(name for name, kind in journey.properties.items() if kind != "category")}
    return {
        name: pl.Int64() if name in (TIME, KNOWN_AT) else pl.Float64() if name in numbers else pl.String()
        for name in columns
    }
