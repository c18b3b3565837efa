"""Events that the store itself holds, in canonical form: contacts made through the lists, and what comes in over HTTP.

`features.log.read` merges them with the files as its `extra`; the same `event_id` is the same event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import Connection, Select, func, select
from sqlalchemy.dialects import postgresql, sqlite

from features.schema import CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE
from serving.store import Store
from serving.tables import events

_KEYS = ("journey", EVENT_ID)
_COLUMNS = {
    CUSTOMER: pl.String(),
    TIME: pl.Int64(),
    EVENT: pl.String(),
    VALUE: pl.Float64(),
    CHANNEL: pl.String(),
    KNOWN_AT: pl.Int64(),
    EVENT_ID: pl.String(),
}
_AT_ONCE = 100_000  # rows read from the database at a time


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Write events whose `event_id` is new; the ids that were.

    Parameters
    ----------
    rows
        All columns of the table but `id`.
    """
    if not rows:
        return set()
    statement = insert_new(connection).returning(events.c.event_id)
    return set(connection.execute(statement, list(rows)).scalars())


def add_contacts(connection: Connection, of: Select[*tuple[Any, ...]]) -> None:
    """Write what a query finds: in this order, the columns named here."""
    names = ["journey", EVENT_ID, CUSTOMER, TIME, EVENT, CHANNEL, KNOWN_AT, "received_at"]
    connection.execute(insert_new(connection).from_select(names, of))


def contact(journey: str, customer_id: str, time: int, channel: str | None, received_at: int) -> dict[str, Any]:
    """A contact as a row; two contacts of one customer at one instant are the same."""
    return {
        "journey": journey,
        EVENT_ID: f"contacted {customer_id} at {time}",
        CUSTOMER: customer_id,
        TIME: time,
        EVENT: CONTACTED,
        VALUE: None,
        CHANNEL: channel,
        KNOWN_AT: time,
        "properties": None,
        "received_at": received_at,
    }


def stored(store: Store, journey: str) -> pl.DataFrame:
    """Every event of a journey in the order of arrival, as `features.log.read` takes them.

    Returns
    -------
    polars.DataFrame
        The canonical columns, times as int64 microseconds, and a column for every property.
    """
    columns = [events.c[name] for name in _COLUMNS]
    wanted = select(*columns, events.c.properties).where(events.c.journey == journey).order_by(events.c.id)
    parts = []
    with store.transaction() as connection:
        for rows in connection.execute(wanted.execution_options(yield_per=_AT_ONCE)).partitions():
            parts.append(_frame([row._mapping for row in rows]))
    return pl.concat(parts, how="diagonal_relaxed") if parts else _frame([])


def of_customer(connection: Connection, journey: str, customer_id: str) -> pl.DataFrame:
    """One customer's events, as `stored` gives those of all."""
    columns = [events.c[name] for name in _COLUMNS]
    of = (events.c.journey == journey, events.c.customer_id == customer_id)
    rows = connection.execute(select(*columns, events.c.properties).where(*of).order_by(events.c.id))
    return _frame([row._mapping for row in rows])


def newest(store: Store, journey: str) -> int:
    """The number of the newest event of a journey; 0: there is none."""
    with store.transaction() as connection:
        found = connection.execute(select(func.max(events.c.id)).where(events.c.journey == journey))
        return int(found.scalar() or 0)


def _frame(rows: Sequence[Mapping[Any, Any]]) -> pl.DataFrame:
    given = {name: [row[name] for row in rows] for name in _COLUMNS}
    found = {name for row in rows for name in row["properties"] or ()}
    properties = {name: [(row["properties"] or {}).get(name) for row in rows] for name in sorted(found)}
    return pl.DataFrame(given | properties, schema_overrides=_COLUMNS, strict=False)


def insert_new(connection: Connection) -> postgresql.Insert | sqlite.Insert:
    """An insert of events that passes over ids it knows."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(events).on_conflict_do_nothing(index_elements=_KEYS)
    return sqlite.insert(events).on_conflict_do_nothing(index_elements=_KEYS)
