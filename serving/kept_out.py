"""Who is kept out of the store: the hashes of those who were erased, and the order of those who write meanwhile."""

from __future__ import annotations

import secrets as random
from collections.abc import Iterable
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, func, select, text

from features.erased import Erased, hash_of
from features.errors import ErasedError
from serving.access_tables import erasures, secrets
from serving.database import upsert

Mark: TypeAlias = tuple[int, int]  # how many are kept out, and when the newest of them was erased
WRITERS = 0x6A6F7574  # PostgreSQL: shared by those who write of customers, alone by whoever erases one
NO_NAME = "(erased)"  # what stands where an id stood that was told in words
_HASHES = "hashes"
_AT_ONCE = 5_000  # hashes that a query asks for


def kept_out(connection: Connection, journey: str) -> Erased | None:
    """Whoever of a journey is kept out; null: nobody.

    In a transaction that writes, nobody is erased between this look and its end.
    """
    if connection.get_execution_options().get("writes"):
        beside_others(connection)
    kept = select(erasures.c.hash).where(*_kept(journey))
    hashes = frozenset(bytes(one) for one in connection.execute(kept).scalars())
    return Erased(secret(connection), hashes) if hashes else None


def barred(connection: Connection, journey: str, customers: Iterable[str]) -> set[str]:
    """Those of some customers who are kept out, as `kept_out` finds them; the others' hashes are not read."""
    if connection.get_execution_options().get("writes"):
        beside_others(connection)
    if connection.execute(select(erasures.c.id).where(*_kept(journey)).limit(1)).scalar() is None:
        return set()
    own, found = secret(connection), set[str]()
    asked = {hash_of(own, customer): customer for customer in customers}
    hashes = list(asked)
    for start in range(0, len(hashes), _AT_ONCE):
        these = erasures.c.hash.in_(hashes[start : start + _AT_ONCE])
        among = select(erasures.c.hash).where(*_kept(journey), these)
        found |= {asked[bytes(one)] for one in connection.execute(among).scalars()}
    return found


def mark(connection: Connection, journey: str) -> Mark:
    """What changes whenever somebody is erased."""
    count, newest = connection.execute(select(func.count(), func.max(erasures.c.at)).where(*_kept(journey))).one()
    return count, newest or 0


def _kept(journey: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return erasures.c.journey == journey, erasures.c.allowed_at.is_(None)


def erased_error(place: str) -> ErasedError:
    """The error of whoever tells something new of a customer who was erased; it does not repeat the id."""
    do = "where the customer agrees: journeycast erase JOURNEY CUSTOMER --allow"
    return ErasedError(place, "the customer was erased", "others, or a customer who was allowed again", do)


def beside_others(connection: Connection) -> None:
    """Let nobody be erased before the end of this transaction; ask first of all, or two may wait for each other."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": WRITERS})


def alone(connection: Connection) -> None:
    """Wait until nobody else writes of customers, and let nobody begin before the end of this transaction."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS})


def secret(connection: Connection) -> bytes:
    """The store's own secret, by which ids are hashed; made when it is first asked for by one who writes."""
    wanted = select(secrets.c.value).where(secrets.c.name == _HASHES)
    found = connection.execute(wanted).scalar()
    if found is None:
        new = {"name": _HASHES, "value": random.token_bytes(32)}
        connection.execute(upsert(connection, secrets).values(new).on_conflict_do_nothing())
        found = connection.execute(wanted).scalar_one()
    return bytes(found)
