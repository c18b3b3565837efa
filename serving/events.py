"""Events that the store itself holds, in canonical form: contacts made through the lists, and what comes in over HTTP.

`features.log.read` merges them with the files as its `extra`; the same `event_id` is the same event.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Connection, Select, func, select, text

from features.schema import CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE
from serving.database import DURABLE, upsert
from serving.kept_out import WRITERS
from serving.store import Store
from serving.tables import events

_KEYS = ("journey", EVENT_ID)
COLUMNS = {
    CUSTOMER: pl.String(),
    TIME: pl.Int64(),
    EVENT: pl.String(),
    VALUE: pl.Float64(),
    CHANNEL: pl.String(),
    KNOWN_AT: pl.Int64(),
    EVENT_ID: pl.String(),
}
_AT_ONCE = 100_000  # rows read from the database at a time
_LOCK = 0x6A6F7575  # PostgreSQL: held, with the journey's number, by whoever writes events
_IN_ORDER = text(
    f"SELECT pg_advisory_xact_lock_shared(:writers), pg_advisory_xact_lock(:arrivals, :journey), {DURABLE}"
)
# One statement for any number of events, which go as one text: the driver writes arrays value by value.
_FROM_JSON = text(
    "INSERT INTO events"
    " (journey, customer_id, time, event, value, channel, known_at, event_id, received_at, properties)"
    " SELECT journey, customer_id, time, event, value, channel, known_at, event_id, received_at,"
    " CAST(properties AS json) FROM json_to_recordset(CAST(:rows AS json)) AS told (journey text, customer_id text,"
    " time bigint, event text, value float8, channel text, known_at bigint, event_id text, received_at bigint,"
    " properties text)"
    " ON CONFLICT (journey, event_id) DO NOTHING RETURNING event_id"
)


def in_order(connection: Connection, journey: str) -> None:
    """Let nobody else write events of the journey before the end of this transaction, which then is durable.

    Events become visible in the order of their numbers that way: who has seen one has seen all before it.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time, and is told to be durable at once
        locks = {"writers": WRITERS, "arrivals": _LOCK, "journey": zlib.crc32(journey.encode()) - 2**31}
        connection.execute(_IN_ORDER, locks)


class Added(NamedTuple):
    """The ids of the events that were `new`, and of those that the store `refused` to take."""

    new: Set[str]
    refused: Set[str] = frozenset()


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> Added:
    """Write events whose `event_id` is new.

    Parameters
    ----------
    rows
        All columns of the table but `id`, of one journey.
    """
    if not rows:
        return Added(set())
    in_order(connection, rows[0]["journey"])
    if connection.dialect.name == "postgresql":
        told = json.dumps([_told(row) for row in rows], ensure_ascii=False)
        return Added(set(connection.execute(_FROM_JSON, {"rows": told}).scalars()))
    statement = insert_new(connection).returning(events.c.event_id)
    return Added(set(connection.execute(statement, list(rows)).scalars()))


def _told(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row as JSON may tell it: properties as a text, which their column takes as it is."""
    return row if row["properties"] is None else {**row, "properties": json.dumps(row["properties"])}


def owners(connection: Connection, journey: str, event_ids: Collection[str]) -> dict[str, str]:
    """The customer of each of these events that the store holds."""
    if not event_ids:
        return {}
    wanted = select(events.c.event_id, events.c.customer_id)
    found = connection.execute(wanted.where(events.c.journey == journey, events.c.event_id.in_(event_ids)))
    return {row.event_id: row.customer_id for row in found}


def add_contacts(connection: Connection, journey: str, of: Select[*tuple[Any, ...]]) -> None:
    """Write what a query finds: in this order, the columns named here."""
    in_order(connection, journey)
    names = ["journey", EVENT_ID, CUSTOMER, TIME, EVENT, CHANNEL, KNOWN_AT, "received_at"]
    connection.execute(insert_new(connection).from_select(names, of))


def contact(
    journey: str, customer_id: str, time: int, channel: str | None, received_at: int, known_at: int | None = None
) -> dict[str, Any]:
    """A contact as a row, known at its time unless told; two contacts of one customer at one instant are the same."""
    return {
        "journey": journey,
        EVENT_ID: f"contacted {customer_id} at {time}",
        CUSTOMER: customer_id,
        TIME: time,
        EVENT: CONTACTED,
        VALUE: None,
        CHANNEL: channel,
        KNOWN_AT: time if known_at is None else known_at,
        "properties": None,
        "received_at": received_at,
    }


def stored(store: Store, journey: str, upto: int | None = None) -> pl.DataFrame:
    """Every event of a journey in the order of arrival, as `features.log.read` takes them.

    Parameters
    ----------
    upto
        The number of the newest that is read; null: all.

    Returns
    -------
    polars.DataFrame
        The canonical columns, times as int64 microseconds, and a column for every property.
    """
    columns = [events.c[name] for name in COLUMNS]
    wanted = select(*columns, events.c.properties).where(events.c.journey == journey).order_by(events.c.id)
    wanted = wanted if upto is None else wanted.where(events.c.id <= upto)
    parts = []
    with store.transaction() as connection:
        for rows in connection.execute(wanted.execution_options(yield_per=_AT_ONCE)).partitions():
            parts.append(_frame([row._mapping for row in rows]))
    return pl.concat(parts, how="diagonal_relaxed") if parts else _frame([])


def of_customer(connection: Connection, journey: str, customer_id: str) -> pl.DataFrame:
    """One customer's events, as `stored` gives those of all."""
    columns = [events.c[name] for name in COLUMNS]
    of = (events.c.journey == journey, events.c.customer_id == customer_id)
    rows = connection.execute(select(*columns, events.c.properties).where(*of).order_by(events.c.id))
    return _frame([row._mapping for row in rows])


def newest(connection: Connection, journey: str) -> int:
    """The number of the newest event of a journey; 0: there is none."""
    found = connection.execute(select(func.max(events.c.id)).where(events.c.journey == journey))
    return int(found.scalar() or 0)


def _frame(rows: Sequence[Mapping[Any, Any]]) -> pl.DataFrame:
    given = {name: [row[name] for row in rows] for name in COLUMNS}
    found = {name for row in rows for name in row["properties"] or ()}
    properties = {name: [_whole((row["properties"] or {}).get(name)) for row in rows] for name in sorted(found)}
    return pl.DataFrame(given | properties, schema_overrides=COLUMNS, strict=False)


def _whole(value: Any) -> Any:
    """A property; half a character that JSON smuggled into a store becomes a question mark and breaks no log."""
    return value.encode(errors="replace").decode() if isinstance(value, str) and not value.isascii() else value


def insert_new(connection: Connection) -> Any:
    """An insert of events that passes over ids it knows."""
    return upsert(connection, events).on_conflict_do_nothing(index_elements=_KEYS)
