"""Who looks at the pages: a browser's session, what it may do, and the token that its forms carry.

A session stands in its cookie, signed with the store's secret, so that every worker of every server knows
it. It names a key, never the key's secret, and is worth nothing once the key is revoked or somebody signed
out of it. Where the server has no keys it listens on loopback only, and whoever reaches it may do everything;
the token guards it from other sites in the same browser all the same.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Annotated, Any

import orjson
from fastapi import Depends, HTTPException, Request
from sqlalchemy import delete, insert, or_, select
from starlette.responses import Response

from features.schema import HOUR
from serving.access_tables import signed_out
from serving.audit import LOOPBACK
from serving.clock import now
from serving.kept_out import secret as secret_of_store
from serving.keys import Key, Keys
from serving.rates import Rates
from serving.store import Store

COOKIE, SAID = "journeycast_session", "journeycast_said"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a form's field
_LASTS = 12 * HOUR
_EVERYTHING = ("read", "ingest", "admin")
_TOLD_AT_MOST = 600  # signs: what is said stands in a cookie


@dataclass(slots=True)
class Session:
    """One browser's session: its cookie, whose it is, what it may do, and what is to be told on the next page."""

    cookie: str
    token: str
    who: str
    name: str | None
    scopes: tuple[str, ...]
    fresh: bool = False
    said: list[tuple[str, str]] = field(default_factory=list)

    def may(self, scope: str) -> bool:
        """Whether this may be done; an admin may do everything."""
        return scope in self.scopes or "admin" in self.scopes

    def say(self, text: str, kind: str = "done") -> None:
        """Tell something on the next page: `done` or `failed`."""
        self.said.append((kind, text[:_TOLD_AT_MOST]))


class SignInNeeded(Exception):  # noqa: N818 - no error of the server's
    """The page is for those with a key."""


class Sessions:
    """The sessions of a store's servers; safe to share between threads.

    Parameters
    ----------
    loopback
        Whether only this machine can reach the server, which then needs no key as long as there is none.
    """

    def __init__(self, store: Store, keys: Keys, *, loopback: bool) -> None:
        self._store, self._keys, self._loopback = store, keys, loopback
        self._secret: bytes | None = None

    @property
    def keyed(self) -> bool:
        """Whether a key is needed."""
        return not self._loopback or self._keys.required

    def of(self, request: Request) -> Session | None:
        """The browser's session; null: it has none, it is over, or its key is gone."""
        cookie = request.cookies.get(COOKIE, "")
        told = self._read(cookie)
        if told is None or told["until"] < now() or self._over(cookie):
            return None
        if not self.keyed:
            return self._session(cookie, None)
        key = self._keys.of_id(told["key"]) if told["key"] else None
        return self._session(cookie, key) if key else None

    def open(self, secret: str | None = None) -> Session | None:
        """A new session; null: no key has this secret."""
        key = None
        if self.keyed and (not secret or (key := self._keys.check(secret)) is None):
            return None
        told = {"key": key.id if key else None, "until": now() + _LASTS, "salt": token_urlsafe(12)}
        packed = urlsafe_b64encode(orjson.dumps(told)).decode().rstrip("=")
        session = self._session(f"{packed}.{self._signed('session', packed)}", key)
        session.fresh = True
        return session

    def close(self, session: Session) -> None:
        """End a session for good, wherever its cookie was copied to; those long over are forgotten."""
        told = self._read(session.cookie)
        if told is None:
            return
        digest = _digest(session.cookie)
        with self._store.transaction(writes=True) as connection:
            connection.execute(delete(signed_out).where(or_(signed_out.c.until < now(), signed_out.c.digest == digest)))
            connection.execute(insert(signed_out).values(digest=digest, until=told["until"]))

    def _over(self, cookie: str) -> bool:
        with self._store.transaction() as connection:
            found = select(signed_out.c.digest).where(signed_out.c.digest == _digest(cookie))
            return connection.execute(found).first() is not None

    def _session(self, cookie: str, key: Key | None) -> Session:
        token = self._signed("form", cookie)
        if key is None:
            return Session(cookie, token, LOOPBACK, None, _EVERYTHING)
        return Session(cookie, token, key.id, key.name, key.scopes)

    def _read(self, cookie: str) -> dict[str, Any] | None:
        packed, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signed("session", packed).encode()):
            return None
        found: dict[str, Any] = orjson.loads(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        return found

    def _signed(self, purpose: str, text: str) -> str:
        if self._secret is None:
            with self._store.transaction(writes=True) as connection:
                self._secret = secret_of_store(connection)
        digest = hmac.digest(self._secret, f"pages {purpose} {text}".encode(), "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()


def remember(response: Response, request: Request, session: Session) -> None:
    """Give the browser what its session needs; no script reads it, and no other site's request carries it."""
    secure = request.url.scheme == "https"
    if session.fresh:
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="strict", secure=secure, path="/")
    if session.said:
        told = urlsafe_b64encode(orjson.dumps(session.said)).decode()
        response.set_cookie(SAID, told, max_age=60, httponly=True, samesite="strict", secure=secure, path="/")
    elif SAID in request.cookies:
        response.delete_cookie(SAID, path="/")


def heard(request: Request) -> list[tuple[str, str]]:
    """What an earlier request said is to be told now: kind and text."""
    try:
        found = orjson.loads(urlsafe_b64decode(request.cookies.get(SAID, "")))
        return [(str(kind), str(text)) for kind, text in found]
    except (ValueError, TypeError):  # there is none, or none that we wrote
        return []


def visitor(request: Request) -> Session:
    """The session of whoever asks; where the server has no keys it is opened now.

    Raises
    ------
    SignInNeeded
        Where there is none and a key is needed, or it may not read.
    HTTPException
        429, where its key sends more than it may.
    """
    known: Session | None = getattr(request.state, "session", None)
    if known is not None:
        return known
    sessions: Sessions = request.app.state.sessions
    found = sessions.of(request) or sessions.open()
    if found is None or not found.may("read"):
        raise SignInNeeded
    request.state.session = found
    if found.name is not None:
        _spend(request.app.state.journeycast.rates, found.who)
    return found


def _spend(rates: Rates, key_id: str) -> None:
    """Count a page as one of its key's requests."""
    allowance = rates.take(key_id)
    if not allowance.allowed:
        raise HTTPException(429, f"more than {rates.rate:g} requests a second", allowance.headers(rates.rate))


def refuse_foreign(session: Session, token: str | None) -> None:
    """Refuse a form that this server did not make for this session.

    Raises
    ------
    HTTPException
        403.
    """
    if token is None or not hmac.compare_digest(token.encode(), session.token.encode()):
        raise HTTPException(403, "This form is too old or comes from elsewhere: load the page again and repeat it.")


def needs(session: Session, scope: str) -> None:
    """Refuse what the key's scopes do not allow.

    Raises
    ------
    HTTPException
        403.
    """
    if not session.may(scope):
        raise HTTPException(403, f"Your key may {' and '.join(session.scopes)}; this needs a key that may {scope}.")


Visitor = Annotated[Session, Depends(visitor)]
