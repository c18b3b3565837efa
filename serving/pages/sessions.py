"""Who looks at the pages: sessions of browsers, what each may do, and the token that its forms carry.

Sessions live in the server's memory. Where the server has no keys it listens on loopback only, and
whoever reaches it may do everything; the token guards it from other sites in the same browser all the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from secrets import token_urlsafe
from threading import Lock
from typing import Annotated, Protocol

from fastapi import Depends, HTTPException, Request
from starlette.responses import Response

COOKIE = "journeycast_session"
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a form's field
_AT_MOST = 10_000  # browsers remembered; those unseen for longest are forgotten first
_SECONDS = 12 * 3600.0
EVERYTHING = frozenset({"read", "ingest", "admin"})


class Key(Protocol):
    """What a key tells of whoever holds it."""

    @property
    def name(self) -> str:
        """What the key is called."""

    @property
    def scopes(self) -> frozenset[str]:
        """Of `read`, `ingest`, `admin`."""


Check = Callable[[str], Key | None]


@dataclass(slots=True)
class Session:
    """One browser's session; `check` says whether its key still stands (null: the server has no keys)."""

    name: str | None
    scopes: frozenset[str]
    until: float
    secret: str | None = None
    token: str = field(default_factory=lambda: token_urlsafe(24))
    said: list[tuple[str, str]] = field(default_factory=list)

    def may(self, scope: str) -> bool:
        """Whether this may be done; an admin may do everything."""
        return scope in self.scopes or "admin" in self.scopes

    def say(self, text: str, kind: str = "done") -> None:
        """Tell something on the next page: `done` or `failed`."""
        self.said.append((kind, text))

    def heard(self) -> list[tuple[str, str]]:
        """What is to be told now; it is told once."""
        told, self.said = self.said, []
        return told


class SignInNeeded(Exception):  # noqa: N818 - no error of the server's
    """The page is for those with a key."""


class Sessions:
    """The sessions of one server; safe to share between threads.

    Parameters
    ----------
    check
        What a key's secret stands for (null: none); no check at all: the server has no keys.
    """

    def __init__(self, check: Check | None = None) -> None:
        self._check, self._lock = check, Lock()
        self._known: OrderedDict[str, Session] = OrderedDict()

    @property
    def keyed(self) -> bool:
        """Whether a key is needed."""
        return self._check is not None

    def of(self, request: Request) -> Session | None:
        """The browser's session; null: it has none, it is over, or its key is gone."""
        name = request.cookies.get(COOKIE, "")
        with self._lock:
            found = self._known.get(name)
            if found is None or found.until < time.monotonic():
                self._known.pop(name, None)
                return None
            self._known.move_to_end(name)
        return found if self._stands(found) else None

    def open(self, secret: str | None = None) -> tuple[str, Session] | None:
        """A new session and the text that its cookie holds; null: no key has this secret."""
        key = None
        if self._check is not None and (secret is None or (key := self._check(secret)) is None):
            return None
        scopes = EVERYTHING if key is None else frozenset(key.scopes)
        session = Session(key.name if key else None, scopes, time.monotonic() + _SECONDS, secret if key else None)
        name = token_urlsafe(32)
        with self._lock:
            self._known[name] = session
            while len(self._known) > _AT_MOST:
                self._known.popitem(last=False)
        return name, session

    def close(self, request: Request) -> None:
        """Forget the browser."""
        with self._lock:
            self._known.pop(request.cookies.get(COOKIE, ""), None)

    def _stands(self, session: Session) -> bool:
        if self._check is None or session.secret is None:
            return self._check is None
        return self._check(session.secret) is not None


def remember(response: Response, request: Request, name: str) -> None:
    """Give the browser its session; no script reads the cookie, and no other site's request carries it."""
    response.set_cookie(COOKIE, name, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/")


def visitor(request: Request) -> Session:
    """The session of whoever asks; where the server has no keys it is opened now.

    Raises
    ------
    SignInNeeded
        Where there is none and a key is needed, or it may not read.
    """
    sessions: Sessions = request.app.state.sessions
    found = sessions.of(request)
    if found is None:
        opened = sessions.open()
        if opened is None:
            raise SignInNeeded
        request.state.new_session, found = opened
    request.state.session = found
    return found


def refuse_foreign(session: Session, token: str | None) -> None:
    """Refuse a form that this server did not make for this session.

    Raises
    ------
    HTTPException
        403.
    """
    if token is None or not compare_digest(token.encode(), session.token.encode()):
        raise HTTPException(403, "This form is too old or comes from elsewhere: load the page again and repeat it.")


def needs(session: Session, scope: str) -> None:
    """Refuse what the key's scopes do not allow.

    Raises
    ------
    HTTPException
        403.
    """
    if not session.may(scope):
        raise HTTPException(
            403, f"Your key may {' and '.join(sorted(session.scopes))}; this needs a key that may {scope}."
        )


Visitor = Annotated[Session, Depends(visitor)]
