"""A customer erased: every row that tells of them, now; and their files and events, from now on.

Runs that are being written meanwhile look at who is kept out in each of their transactions
(`serving.kept_out`), so that none brings an erased customer back.
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from features.erased import hash_of
from features.errors import InputError
from features.schema import to_text
from serving import access_tables, documented
from serving.asked import storable
from serving.clock import now
from serving.kept_out import NO_NAME, alone, secret
from serving.store import Store
from serving.tables import campaigns, members, metadata, runs

erasures = access_tables.erasures
_CUSTOMER = "customer_id"
_log = logging.getLogger(__name__)


class Receipt(NamedTuple):
    """What an erasure did: `customer` is the hash of the id, `rows` how many went of which table."""

    id: str
    journey: str
    customer: str
    erased_at: str
    rows: dict[str, int]


def erase(store: Store, journey: str, customer_id: str) -> Receipt:
    """Delete all that is known of a customer, and keep them out from now on; someone unknown is kept out too.

    Members of campaigns go as others do: the campaign says how many, and what was measured stays. The
    audit log keeps what was done, and forgets with whom.

    Raises
    ------
    InputError
        Where the id cannot be one.
    """
    _refuse(customer_id)
    with store.transaction(writes=True) as connection:
        alone(connection)
        deleted = {table.name: _deleted(connection, table, journey, customer_id) for table in holders()}
        documented.forget(connection, journey, [customer_id])
        _forget_lists(connection, journey, customer_id)
        counts = {name: count for name, count in deleted.items() if count}
        hashed, moment, receipt_id = hash_of(secret(connection), customer_id), now(), token_hex(8)
        row = {"id": receipt_id, "journey": journey, "hash": hashed, "at": moment, "counts": counts}
        connection.execute(insert(erasures).values(row))
    if not store.sweep():
        _log.warning("the store's log of writes could not be emptied: somebody reads; it is when the store is closed")
    return Receipt(receipt_id, journey, hashed.hex(), to_text(moment), counts)


def allow(store: Store, journey: str, customer_id: str) -> bool:
    """Let an erased customer in again; whether they were kept out. What was deleted does not come back.

    Raises
    ------
    InputError
        Where the id cannot be one.
    """
    _refuse(customer_id)
    with store.transaction(writes=True) as connection:
        alone(connection)
        theirs = (erasures.c.journey == journey, erasures.c.hash == hash_of(secret(connection), customer_id))
        kept_out = update(erasures).where(*theirs, erasures.c.allowed_at.is_(None))
        return connection.execute(kept_out.values(allowed_at=now())).rowcount > 0


def holders() -> list[Table]:
    """Every table that tells of customers; one that is added is among them by its column `customer_id`."""
    return [table for table in metadata.sorted_tables if _CUSTOMER in table.c]


def _deleted(connection: Connection, table: Table, journey: str, customer_id: str) -> int:
    theirs = table.c[_CUSTOMER] == customer_id
    if table is access_tables.audit:
        forgotten = update(table).where(table.c.journey == journey, theirs).values({_CUSTOMER: None})
        return int(connection.execute(forgotten).rowcount)
    if table is members:
        _count_members(connection, journey, customer_id)
    return int(connection.execute(delete(table).where(_of_journey(table, journey), theirs)).rowcount)


def _of_journey(table: Table, journey: str) -> Any:
    """A table knows its journey, or its run or campaign does."""
    if "journey" in table.c:
        return table.c.journey == journey
    column, parent = ("run_id", runs) if "run_id" in table.c else ("campaign_id", campaigns)
    return table.c[column].in_(select(parent.c.id).where(parent.c.journey == journey))


def _count_members(connection: Connection, journey: str, customer_id: str) -> None:
    """Let every campaign of the customer say that one more of its members is gone."""
    theirs = select(members.c.campaign_id).where(members.c[_CUSTOMER] == customer_id)
    one_more = update(campaigns).where(campaigns.c.journey == journey, campaigns.c.id.in_(theirs))
    connection.execute(one_more.values(erased=func.coalesce(campaigns.c.erased, 0) + 1))


def _forget_lists(connection: Connection, journey: str, customer_id: str) -> None:
    """Take the id out of campaigns whose list was asked for by it."""
    cut = connection.execute(select(campaigns.c.id, campaigns.c.filters).where(campaigns.c.journey == journey))
    for campaign_id, filters in cut.all():
        if filters.get("customer") == customer_id:
            own = update(campaigns).where(campaigns.c.id == campaign_id)
            connection.execute(own.values(filters=filters | {"customer": NO_NAME}))


def _refuse(customer_id: str) -> None:
    if not customer_id or not storable(customer_id):
        raise InputError("customer_id", repr(customer_id), "an id without NUL and lone surrogates", "check the id")
