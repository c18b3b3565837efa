"""Each request gets an id, a line in the log and a place in the metrics."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.logs import accepted_id, request_id
from serving.metrics import Metrics
from serving.problems import of_status, respond

_log = logging.getLogger("serving.requests")
_QUIET = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds: told in the log only where they fail


class Observed:
    """ASGI middleware around everything else.

    The log tells the template of a path, not the path: ids of customers do not belong there.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and tell what it came to."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id")
        known = accepted_id(given.decode("latin-1") if given is not None else None)
        token = request_id.set(known)
        begun, status, answering = time.perf_counter(), 500, False

        async def told(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", known.encode())]
            await send(message)

        try:
            await self.app(scope, receive, told)
        except asyncio.CancelledError:  # the server ends, and waited for this request as long as it may
            if not answering:
                await respond(of_status(503, "the server ends, and the answer was not ready"))(scope, receive, told)
        except Exception as error:
            if answering:
                raise
            # Answered here, not by the framework around this: with the request's id, in the log's line too.
            _log.exception("a request failed")
            answer = scope["app"].exception_handlers[Exception]
            await (await answer(Request(scope, receive), error))(scope, receive, told)
        finally:
            self._tell(scope, status, time.perf_counter() - begun)
            request_id.reset(token)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None)
        self.metrics.request(scope["method"], route, status, seconds)
        if route in _QUIET and status < 500:
            return
        client = scope.get("client")
        fields = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "client": client[0] if client else None,
        }
        level = logging.ERROR if status == 500 else logging.INFO
        text = "%s %s %s in %s ms"
        _log.log(level, text, scope["method"], route or "unknown", status, fields["milliseconds"], extra=fields)
