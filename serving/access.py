"""Who may ask for what: keys and scopes, rates, and the audit log, before a body is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.asked import storable
from serving.audit import LOOPBACK, Audit, Entry
from serving.clock import now
from serving.database import StoreError
from serving.keys import Kept, Key, Keys, key_of
from serving.problems import of_input, of_status, respond
from serving.rates import Rates

_READS = ("GET", "HEAD", "OPTIONS")
_GUARDED = ("/v1/",)
_NAMED = re.compile(r"/v1/[a-z-]+(?=/|$)")
NO_ROUTE = "(no route)"  # the path itself may hold anything, an id among it
_ADMIN = ("/v1/webhooks",)
_ADMIN_CHANGES = ("/v1/runs",)  # whoever reads may read those too


class Door(NamedTuple):
    """What access goes by. Without keys, only a server that listens on loopback lets requests in."""

    keys: Keys
    rates: Rates
    audit: Audit
    journey: str
    loopback: bool


def is_open(path: str) -> bool:
    """Whether a request needs no key here: pages ask for a session themselves, the rest tells nothing of anyone."""
    return not path.startswith(_GUARDED)


def needed(method: str, path: str) -> str:
    """The scope that a request needs.

    `read`: everything that changes nothing, predictions from a request's own events among it. `ingest`: events,
    contacts, the worklist and campaigns. `admin`: erasing, scoring runs, and whatever decides who is told what.
    """
    changes = method not in _READS
    if method == "DELETE" or path.startswith(_ADMIN) or (changes and path.startswith(_ADMIN_CHANGES)):
        return "admin"
    return "ingest" if changes and path != "/v1/predictions" else "read"


class Access:
    """ASGI middleware: requests without the right key get no further than here."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with a problem."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            kept = self._door.keys.at_hand()
            who = _admitted(scope, await run_in_threadpool(self._door.keys.kept) if kept is None else kept, self._door)
        except StoreError as error:
            await respond(of_input(error))(scope, receive, send)
            return
        if isinstance(who, _Refusal):
            await who.respond(scope, receive, send)
            return
        told: dict[str, str] = {}
        if isinstance(who, Key):  # what is refused for want of a scope counts too
            allowance = self._door.rates.take(who.id)
            told = allowance.headers(self._door.rates.rate)
            refused = _beyond(self._door.rates.rate) if not allowance.allowed else _out_of_scope(scope, who)
            if refused is not None:
                await refused.respond(scope, receive, send, told)
                if allowance.allowed:
                    self._enter(scope, who.id, refused.status)
                return
        await self._passed(who.id if isinstance(who, Key) else who, told, scope, receive, send)

    async def _passed(self, name: str, told: dict[str, str], scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["who"] = name
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(told)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            self._enter(scope, name, status)

    def _enter(self, scope: Scope, who: str, status: int) -> None:
        """Note a request of someone known; one that nobody sent is not worth a row in the store."""
        route, asked = scope.get("route"), scope.get("path_params", {})
        customer = asked.get("customer_id") if status != 404 else None  # nobody's, or one's who was erased
        if customer is not None and not storable(customer):
            customer = None
        path = getattr(route, "path", None) or _begin(scope)
        method, journey = scope["method"], self._door.journey
        self._door.audit.add(Entry(now(), who, method, path.replace(":path}", "}"), journey, customer, status))


def _admitted(scope: Scope, kept: Kept, door: Door) -> Key | str | _Refusal:
    """The key a request comes with, or who comes without one; or why it gets no further."""
    if door.loopback and not kept:
        return LOOPBACK
    secret = secret_of(Headers(scope=scope))
    key = key_of(secret, kept) if secret is not None else None
    if key is None:
        told = "no key is given" if secret is None else "the key is unknown, expired or revoked"
        error = "" if secret is None else ', error="invalid_token"'
        return _Refusal(401, told, {"WWW-Authenticate": f'Bearer realm="journeycast"{error}'})
    return key


def _out_of_scope(scope: Scope, key: Key) -> _Refusal | None:
    """Why a key may not ask for this; null: it may."""
    scope_needed = needed(scope["method"], scope["path"])
    if key.may(scope_needed):
        return None
    asked = f'Bearer realm="journeycast", error="insufficient_scope", scope="{scope_needed}"'
    told = f"the key {key.name!r} may {', '.join(key.scopes)}, and this needs {scope_needed}"
    return _Refusal(403, told, {"WWW-Authenticate": asked})


def _beyond(rate: float) -> _Refusal:
    return _Refusal(429, f"more than {rate:g} requests a second", {})


def _begin(scope: Scope) -> str:
    """How the path begins of a request that reached no route, not so far as to an id, where routes begin so too."""
    begin = _NAMED.match(scope["path"])
    served = scope["app"].openapi()["paths"]  # made once
    known = begin and any(path == begin[0] or path.startswith(f"{begin[0]}/") for path in served)
    return begin[0] if begin and known else NO_ROUTE


class _Refusal(NamedTuple):
    status: int
    detail: str
    headers: dict[str, str]

    async def respond(
        self, scope: Scope, receive: Receive, send: Send, beside: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        await respond(of_status(self.status, self.detail), {**self.headers, **beside})(scope, receive, send)


def secret_of(headers: Headers) -> str | None:
    """The secret of `Authorization: Bearer`; null: there is none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" and secret.strip() else None
