"""What became of the events of requests with an idempotency key, kept for a day.

Neither ids nor customers are stored: the request that is sent again brings them, and what is kept says
only what became of each of its events.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, tuple_

from features.errors import KeyReusedError
from features.schema import DAY
from serving.access_tables import replies
from serving.kept_out import secret

KEPT = DAY


class Keyed(NamedTuple):
    """An idempotency key: whose, the key itself, and the body it stands for."""

    owner: str
    key: str
    body: bytes


def known(connection: Connection, journey: str, asked: Sequence[Keyed], now: int) -> dict[Keyed, str | None]:
    """What became of the requests with these keys; null: the key belongs to another body."""
    if not asked:
        return {}
    pairs = [(one.owner, one.key) for one in asked]
    stored = select(replies).where(replies.c.journey == journey, tuple_(replies.c.owner, replies.c.key).in_(pairs))
    rows = connection.execute(stored.where(replies.c.at > now - KEPT)).all()
    found = {(row.owner, row.key): (bytes(row.digest), str(row.outcomes)) for row in rows}
    told = {one: found[one.owner, one.key] for one in asked if (one.owner, one.key) in found}
    if not told:
        return {}
    salt = secret(connection)
    same = {one: hmac.compare_digest(digest, _digest(salt, one)) for one, (digest, _) in told.items()}
    return {one: outcomes if same[one] else None for one, (_, outcomes) in told.items()}


def keep(connection: Connection, journey: str, new: Iterable[tuple[Keyed, str]], now: int) -> None:
    """Keep what became of requests; what was kept for long enough goes."""
    rows = list(new)
    if not rows:
        return
    salt = secret(connection)
    connection.execute(delete(replies).where(replies.c.at <= now - KEPT))
    connection.execute(
        insert(replies),
        [
            {"journey": journey, "owner": one.owner, "key": one.key, "at": now, "outcomes": outcomes}
            | {"digest": _digest(salt, one)}
            for one, outcomes in rows
        ],
    )


def reused(key: str) -> KeyReusedError:
    """The error of a key that stands for another body."""
    return KeyReusedError(
        "Idempotency-Key", key, "the body that was sent with this key first", "give every request a key of its own"
    )


def _digest(salt: bytes, one: Keyed) -> bytes:
    return hmac.digest(salt, one.body, "sha256")
