"""Customers as HubSpot, Salesforce and Klaviyo take them; `docs/crm.md` names the pages this was read from.

Ids and text are exactly as they are. Probabilities are rounded to six decimals and amounts to two;
JSON lines and Parquet have all digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from serving.exports.columns import OF_A_RUN, Column
from serving.exports.table import Row, Table, Value, with_run

ID = "customer_id"
_LEFT_OUT = {"churn_ineligible_reason"}
FIELDS = tuple(column for column in OF_A_RUN if column.name not in _LEFT_OUT)

HUBSPOT_AT_ONCE = 100  # contacts per request
HUBSPOT_ROWS = 1_000_000  # per file; HubSpot takes 1,048,576
HUBSPOT_BYTES = 500_000_000  # per file; HubSpot takes 512 MB
SALESFORCE_BYTES = 100_000_000  # per job, before Salesforce's own encoding
KLAVIYO_AT_ONCE = 10_000  # profiles per request
KLAVIYO_BYTES = 5_000_000  # per request

_CLEARS_IN_SALESFORCE = "#N/A"  # an empty cell leaves the old value where it is
_DECIMALS = {"probability": 6, "money": 2, "number": 6}
_HUBSPOT_TYPES = {"text": "string, text", "time": "datetime, date"}
_SALESFORCE_TYPES = {
    "text": "Text(255)",
    "time": "Date/Time",
    "whole": "Number(3, 0)",
    "probability": "Number(1, 6)",
    "money": "Number(14, 2)",
}
_KLAVIYO_TYPES = {"text": "text", "time": "date"}


def hubspot_name(field: str) -> str:
    """The internal name of HubSpot's property."""
    return f"journeycast_{field}"


def salesforce_name(field: str) -> str:
    """The API name of Salesforce's custom field."""
    return f"Journeycast_{field.title()}__c"


def klaviyo_name(field: str) -> str:
    """Klaviyo's attribute: the id has one of its own, the rest are custom properties."""
    return "external_id" if field == ID else f"journeycast_{field}"


def properties(system: str) -> list[tuple[str, str, str]]:
    """What to create in a system: our field, the name there, the type there."""
    name = {"hubspot": hubspot_name, "salesforce": salesforce_name, "klaviyo": klaviyo_name}[system]
    return [(column.name, name(column.name), _type(system, column)) for column in FIELDS]


def _type(system: str, column: Column) -> str:
    if system == "hubspot":
        named = {ID: "string, text, unique values", "risk": "enumeration, select: low, medium, high"}
        return named.get(column.name, _HUBSPOT_TYPES.get(column.kind, "number, number"))
    if system == "salesforce":
        named = {ID: "Text(255), External ID, unique, case-sensitive", "reason": "Text Area (Long)(1,000)"}
        return named.get(column.name, _SALESFORCE_TYPES.get(column.kind, "Number(12, 6)"))
    return "identifier" if column.name == ID else _KLAVIYO_TYPES.get(column.kind, "number")


def hubspot_head(table: Table) -> bytes:
    """The names of HubSpot's properties, as its import tool matches them."""
    return _line(hubspot_name(column.name) for column in _fields(with_run(table)))


def hubspot_lines(table: Table) -> Iterator[bytes]:
    """Lines for HubSpot's import tool; an unknown value is an empty cell."""
    return _lines(table, "", _milliseconds)


def salesforce_head(table: Table) -> bytes:
    """The API names of Salesforce's fields."""
    return _line(salesforce_name(column.name) for column in _fields(with_run(table)))


def salesforce_lines(table: Table) -> Iterator[bytes]:
    """Lines for a Bulk API 2.0 upsert, ended by LF; an unknown value clears the field."""
    return _lines(table, _CLEARS_IN_SALESFORCE, _iso)


def hubspot_requests(table: Table) -> Iterator[bytes]:
    """One body of a batch upsert of contacts a line; an unknown value clears the property."""
    inputs: list[dict[str, Any]] = []
    for row, fields in _rows(table):
        told = [column for column in fields if column.name != ID]
        values = {hubspot_name(column.name): _text(row[column.name], column, "", _milliseconds) for column in told}
        inputs.append({"idProperty": hubspot_name(ID), "id": row[ID], "properties": values})
        if len(inputs) == HUBSPOT_AT_ONCE:
            yield orjson.dumps({"inputs": inputs}) + b"\n"
            inputs = []
    if inputs:
        yield orjson.dumps({"inputs": inputs}) + b"\n"


def klaviyo_requests(table: Table) -> Iterator[bytes]:
    """One body of a bulk import of profiles a line; an unknown value is left out, for null clears nothing there."""
    start, end = b'{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":[', b"]}}}}\n"
    profiles: list[bytes] = []
    size = len(start) + len(end)
    for row, fields in _rows(table):
        profile = _profile(row, fields)
        if profiles and (len(profiles) == KLAVIYO_AT_ONCE or size + len(profile) + 1 > KLAVIYO_BYTES):
            yield start + b",".join(profiles) + end
            profiles, size = [], len(start) + len(end)
        profiles.append(profile)
        size += len(profile) + 1
    if profiles:
        yield start + b",".join(profiles) + end


def _profile(row: Row, fields: list[Column]) -> bytes:
    known = [column for column in fields if column.name != ID and row[column.name] is not None]
    values = {klaviyo_name(column.name): _value(row[column.name], column) for column in known}
    return orjson.dumps({"type": "profile", "attributes": {klaviyo_name(ID): row[ID], "properties": values}})


def _lines(table: Table, unknown: str, instant: Callable[[datetime], str]) -> Iterator[bytes]:
    for row, fields in _rows(table):
        yield _line(_text(row[column.name], column, unknown, instant) for column in fields)


def _rows(table: Table) -> Iterator[tuple[Row, list[Column]]]:
    told = with_run(table)
    fields = _fields(told)
    return ((row, fields) for row in told.rows())


def _fields(table: Table) -> list[Column]:
    """The fields that these customers have, in the order of `FIELDS`."""
    held = {column.name for column in table.columns}
    return [column for column in FIELDS if column.name in held]


def _line(cells: Iterable[str]) -> bytes:
    """All cells in quotes, whatever they hold: no reader can mistake or trim them."""
    return (",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n").encode()


def _text(value: Value, column: Column, unknown: str, instant: Callable[[datetime], str]) -> str:
    if value is None:
        return unknown
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, float):
        return f"{value:.{_DECIMALS.get(column.kind, 6)}f}"  # never 1e-07
    return value if isinstance(value, str) else str(value).lower()


def _value(value: Value, column: Column) -> str | float | int | bool | None:
    if isinstance(value, datetime):
        return _iso(value)
    return round(value, _DECIMALS.get(column.kind, 6)) if isinstance(value, float) else value


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds") + "Z"


def _milliseconds(when: datetime) -> str:
    """Since the epoch: what both HubSpot's import tool and its API take."""
    return str(round(when.replace(tzinfo=UTC).timestamp() * 1000))
