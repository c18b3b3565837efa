"""Each customer's events as a scoring run read them, so that one customer can be answered without reading the log.

A history is stored in place, not per run, and only where it changed. Together with the events that came
in since, it is what the log would give.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple

import orjson
import polars as pl
from sqlalchemy import Connection, select

from features.canonical import ordered, without_repeated_ids
from features.schema import CHANNEL, CUSTOMER, EVENT_ID, KNOWN_AT, POSITION, TIME, VALUE
from serving.database import upsert
from serving.events import COLUMNS, of_customer
from serving.kept_out import barred
from serving.store import Store
from serving.tables import histories

AT_ONCE = 2_000  # customers of one transaction
_KEYS = ("journey", CUSTOMER)


class _History(NamedTuple):
    """One customer's rows of the log: from where to where, and what they come to."""

    customer_id: str
    start: int
    events: int
    digest: int


def write(store: Store, journey: str, until: int, events: pl.DataFrame) -> None:
    """Store the histories of these customers, those that are stored so already excepted.

    Parameters
    ----------
    until
        The end of the log, microseconds.
    events
        The internal log of `features.schema`, all events of some customers, in order.
    """
    found = _histories(events)
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        with store.transaction() as connection:
            known = _digests(connection, journey, some)
        changed = [one for one in some if known.get(one.customer_id) != one.digest]
        if not changed:
            continue
        rows = [{"journey": journey, "until": until, **row} for row in _rows(events, changed)]
        with store.transaction(writes=True) as connection:
            gone = barred(connection, journey, (one.customer_id for one in changed))
            rows = [row for row in rows if row[CUSTOMER] not in gone]
            put = upsert(connection, histories)
            new = {name: put.excluded[name] for name in ("history", "events", "digest", "until")}
            if rows:
                connection.execute(put.on_conflict_do_update(index_elements=_KEYS, set_=new), rows)


def history(source: Store | Connection, journey: str, customer_id: str) -> pl.DataFrame:
    """Everything that is known of one customer: the stored history and the events that came in over HTTP.

    It does not matter which of the two is newer: the same `event_id` is the same event.

    Parameters
    ----------
    source
        The store, or a transaction on it.

    Returns
    -------
    polars.DataFrame
        The internal log of `features.schema`, `event_id` included, and a column for every property that
        an event has: numbers as float64, else text. Without rows where nothing is known.
    """
    if "\x00" in customer_id:  # PostgreSQL stores no NUL, and refuses to be asked for one
        return ordered(pl.DataFrame(schema=COLUMNS))
    with nullcontext(source) if isinstance(source, Connection) else source.transaction() as connection:
        of = (histories.c.journey == journey, histories.c.customer_id == customer_id)
        packed = connection.execute(select(histories.c.history).where(*of)).scalar()
        since = of_customer(connection, journey, customer_id)
    parts = [part for part in (_unpacked(packed, customer_id), since) if part.height]
    rows = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame(schema=COLUMNS)
    return ordered(without_repeated_ids(rows))


def has_history(connection: Connection, journey: str, customer_id: str) -> bool:
    """Whether a run stored this customer's history."""
    of = (histories.c.journey == journey, histories.c.customer_id == customer_id)
    return connection.execute(select(histories.c.until).where(*of)).scalar() is not None


def _histories(events: pl.DataFrame) -> list[_History]:
    if events.is_empty():
        return []
    rows = pl.DataFrame({CUSTOMER: events[CUSTOMER], "hash": events.hash_rows(seed=0).reinterpret(signed=True)})
    told = rows.group_by(CUSTOMER, maintain_order=True).agg(pl.len().alias("events"), pl.col("hash").bitwise_xor())
    starts = (told["events"].cum_sum() - told["events"]).to_list()
    return [
        _History(customer, start, number, digest)
        for start, (customer, number, digest) in zip(starts, told.iter_rows(), strict=True)
    ]


def _digests(connection: Connection, journey: str, some: list[_History]) -> dict[str, int]:
    asked = histories.c.customer_id.in_([one.customer_id for one in some])
    rows = connection.execute(
        select(histories.c.customer_id, histories.c.digest).where(histories.c.journey == journey, asked)
    )
    return {customer_id: digest for customer_id, digest in rows}  # noqa: C416


def _rows(events: pl.DataFrame, changed: list[_History]) -> Iterator[dict[str, Any]]:
    """The rows of the table."""
    first, last = changed[0], changed[-1]
    own = events.slice(first.start, last.start + last.events - first.start)
    late = (own[KNOWN_AT] - own[TIME]).alias(KNOWN_AT)
    columns = own.drop(CUSTOMER, POSITION).with_columns(late if (late != 0).any() else pl.lit(None).alias(KNOWN_AT))
    held = {name: columns[name].to_list() for name in columns.columns if columns[name].null_count() < columns.height}
    for one in changed:
        start = one.start - first.start
        yield {
            CUSTOMER: one.customer_id,
            "history": _packed({name: values[start : start + one.events] for name, values in held.items()}),
            "events": one.events,
            "digest": one.digest,
        }


def _packed(columns: dict[str, list[Any]]) -> bytes:
    """Columns as JSON, deflated: times as steps from one to the next, empty columns left out."""
    times = columns[TIME]
    steps = [times[0], *(after - before for before, after in pairwise(times))]
    told = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return zlib.compress(orjson.dumps({**told, TIME: steps}), 1)


def _unpacked(packed: bytes | None, customer_id: str) -> pl.DataFrame:
    if packed is None:
        return pl.DataFrame(schema=COLUMNS)
    columns: Mapping[str, Any] = orjson.loads(zlib.decompress(packed))
    kinds = {name: kind for name, kind in COLUMNS.items() if name in columns}
    rows = pl.DataFrame(columns, schema_overrides=kinds, strict=False).with_columns(pl.col(TIME).cum_sum())
    late = pl.col(KNOWN_AT) if KNOWN_AT in columns else pl.lit(0, dtype=pl.Int64)
    missing = [
        pl.lit(None, dtype=COLUMNS[name]).alias(name) for name in (VALUE, CHANNEL, EVENT_ID) if name not in kinds
    ]
    own = pl.lit(customer_id).alias(CUSTOMER)
    return _told(rows.with_columns(own, (pl.col(TIME) + late).alias(KNOWN_AT), *missing))


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns in order; a property's numbers are float64."""
    properties = [name for name in rows.columns if name not in COLUMNS]
    return rows.select(*COLUMNS, *(pl.col(n).cast(pl.Float64) if rows[n].dtype.is_integer() else n for n in properties))
