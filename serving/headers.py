"""Headers by which a browser does no more with an answer than it must."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "Content-Security-Policy"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    POLICY: "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


_OF_ALL = [(name.lower().encode(), value.encode()) for name, value in _ALWAYS.items()]
_OF_ANSWERS = [*_OF_ALL, (b"cache-control", b"no-store")]


class SecurityHeaders:
    """ASGI middleware around everything, errors too; an answer that says a header itself keeps it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete the headers of its answer."""

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                said = {name for name, _ in headers}
                wanted = _OF_ANSWERS if scope["path"].startswith("/v1/") else _OF_ALL
                message["headers"] = headers + [one for one in wanted if one[0] not in said]
            await send(message)

        await self.app(scope, receive, completed if scope["type"] == "http" else send)


def policy_of(page: str) -> str:
    """A policy for a page of our own: its scripts and styles, the scripts within it, and no others."""
    scripts = [part.partition("</script>")[0] for part in page.split("<script>")[1:]]
    hashes = " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
