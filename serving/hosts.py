"""Whom a server without keys answers: this machine, asked by its own name.

A web page can have a browser ask loopback under a name of its own (DNS rebinding) or send it something from where the
page is (`Origin`), and a proxy brings requests from anywhere; all are told from this machine's own requests by the
Host, the Origin and the headers that proxies add.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.database import StoreError
from serving.keys import Keys
from serving.problems import of_status, respond

_OPEN = ("/healthz", "/readyz", "/metrics")  # they tell of no customer
_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host")


class OwnHost:
    """ASGI middleware: as long as there never was a key, requests must be of this machine.

    Parameters
    ----------
    names
        What a Host may say, without a port.
    """

    def __init__(self, app: ASGIApp, keys: Keys, names: tuple[str, ...]) -> None:
        self.app, self._keys, self._names = app, keys, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 421."""
        if await self._refuses(scope):
            told = f"without keys this server answers its own machine alone, as {', '.join(sorted(set(self._names)))}"
            await respond(of_status(421, told))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _refuses(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] in _OPEN or not self._foreign(Headers(scope=scope)):
            return False
        return not await run_in_threadpool(self._has_keys)

    def _foreign(self, headers: Headers) -> bool:
        if name_of(headers.get("host", "")) not in self._names or any(name in headers for name in _PROXIED):
            return True
        origin = headers.get("origin")
        return origin is not None and name_of(origin.partition("://")[2]) not in self._names

    def _has_keys(self) -> bool:
        try:
            return self._keys.required
        except StoreError:
            return False  # nobody knows: then it is as if there were none


def name_of(host: str) -> str:
    """The name or address in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
