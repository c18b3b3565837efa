"""Keys of the API: who may read, send and change. A secret is shown once and stored as its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeAlias

from sqlalchemy import insert, select, update

from features.errors import InputError
from serving.access_tables import keys
from serving.clock import now
from serving.database import StoreError
from serving.store import Store

SCOPES = ("read", "ingest", "admin")
_PREFIX = "jc"
_FRESH_SECONDS = 2.0  # so long a revoked key may still be taken
_STALE_SECONDS = 60.0  # so long the keys last read hold where the store is away


@dataclass(frozen=True, slots=True)
class Key:
    """A key; instants are microseconds. `expires_at` null: never, `revoked_at` null: not revoked."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def may(self, scope: str) -> bool:
        """Whether the key may do what needs this scope; `admin` may do everything."""
        return scope in self.scopes or "admin" in self.scopes

    def valid(self, instant: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or instant < self.expires_at)


Kept: TypeAlias = dict[str, tuple[Key, bytes]]


def create(store: Store, name: str, scopes: Sequence[str], expires_at: int | None = None) -> tuple[Key, str]:
    """A new key and its secret, which nobody can tell again.

    Raises
    ------
    InputError
        Where a scope is none, or the end has passed.
    """
    if not scopes or (wrong := set(scopes) - set(SCOPES)):
        raise InputError("scope", ", ".join(sorted(wrong)) if scopes else "none", f"one or more of {', '.join(SCOPES)}")
    moment = now()
    if expires_at is not None and expires_at <= moment:
        raise InputError("expires", "has passed already", "an instant to come")
    key = Key(secrets.token_hex(4), name, tuple(s for s in SCOPES if s in scopes), moment, expires_at, None)
    secret = f"{_PREFIX}_{key.id}_{secrets.token_urlsafe(32)}"
    row = {"id": key.id, "name": name, "scopes": list(key.scopes), "created_at": moment, "expires_at": expires_at}
    with store.transaction(writes=True) as connection:
        connection.execute(insert(keys).values(row | {"digest": _digest(secret)}))
    return key, secret


def listed(store: Store) -> list[Key]:
    """Every key there ever was, the oldest first."""
    return [key for key, _ in _read(store)]


def revoke(store: Store, key_id: str) -> Key:
    """End a key; one that was revoked stays so. Requests need a key even after the last.

    Raises
    ------
    InputError
        Where there is no such key.
    """
    with store.transaction(writes=True) as connection:
        of = keys.c.id == key_id
        connection.execute(update(keys).where(of, keys.c.revoked_at.is_(None)).values(revoked_at=now()))
    found = [key for key in listed(store) if key.id == key_id]
    if not found:
        raise InputError("key", f"no key {key_id!r}", "an id of `journeycast keys list`")
    return found[0]


class Keys:
    """The keys as a server needs them: kept in memory for seconds. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, Lock()
        self._kept: Kept = {}
        self._read_at = self._tried_at = -float("inf")

    def fresh(self) -> bool:
        """Whether `check` and `required` answer from memory."""
        return time.monotonic() - self._tried_at < _FRESH_SECONDS

    @property
    def required(self) -> bool:
        """Whether requests need a key: one was ever made. Expired and revoked ones still shut the door."""
        return bool(self.kept())

    def check(self, secret: str) -> Key | None:
        """The key of a secret; null: it is none, or one that is revoked or expired.

        Raises
        ------
        StoreError
            Where the keys cannot be read.
        """
        return key_of(secret, self.kept())

    def of_id(self, key_id: str) -> Key | None:
        """The key of an id; null: there is none, or it is revoked or expired.

        Raises
        ------
        StoreError
            Where the keys cannot be read.
        """
        found = self.kept().get(key_id)
        return found[0] if found is not None and found[0].valid(now()) else None

    def at_hand(self) -> Kept | None:
        """The keys as they are in memory; null: `kept` has to look, and may wait for the store."""
        return self._kept if self.fresh() else None

    def kept(self) -> Kept:
        """Every key there ever was and the digest of its secret, by id.

        Raises
        ------
        StoreError
            Where the keys cannot be read.
        """
        stale = time.monotonic() - self._read_at > _STALE_SECONDS
        if self.fresh() or not self._lock.acquire(blocking=stale):  # another looks: those last read hold meanwhile
            return self._kept
        try:
            if not self.fresh():
                self._look()
            return self._kept
        finally:
            self._lock.release()

    def _look(self) -> None:
        try:
            self._kept = {key.id: (key, digest) for key, digest in _read(self._store)}
        except StoreError:
            if time.monotonic() - self._read_at > _STALE_SECONDS:
                raise
        else:
            self._read_at = time.monotonic()
        self._tried_at = time.monotonic()


def key_of(secret: str, kept: Kept) -> Key | None:
    """The key of a secret among these; null: it is none, or one that is revoked or expired."""
    parts = secret.split("_", 2)
    found = kept.get(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
    if found is None:
        return None
    key, digest = found
    return key if hmac.compare_digest(digest, _digest(secret)) and key.valid(now()) else None


def _read(store: Store) -> list[tuple[Key, bytes]]:
    with store.transaction() as connection:
        rows = connection.execute(select(keys).order_by(keys.c.created_at, keys.c.id)).all()
    return [(_key(row), bytes(row.digest)) for row in rows]


def _key(row: Any) -> Key:
    return Key(row.id, row.name, tuple(row.scopes), row.created_at, row.expires_at, row.revoked_at)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
