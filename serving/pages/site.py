"""All pages as part of an application."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving import uploads
from serving.pages import assets, at_risk, campaigns, customer, data, download, journey, models, sign_in, work
from serving.pages.route import problem_page, seeks_page
from serving.pages.sessions import Sessions
from serving.problems import of_status
from serving.state import State
from serving.steering import Helm, Steering

LARGER = {"/data/preview": uploads.MOST_BYTES + 100_000}  # a file, and what a form puts around it
_PAGES = (at_risk, download, work, customer, campaigns, journey, models, data, sign_in)


def install(app: FastAPI, state: State, helm: Helm | None, *, loopback: bool) -> None:
    """Add the pages to `app`, after its other routes.

    Parameters
    ----------
    helm
        What steers the models; null: the command line alone.
    loopback
        Whether only this machine can reach the server.
    """
    app.state.sessions = Sessions(state.store, state.keys, loopback=loopback)
    app.state.steering = Steering(helm, state.champions.renew)
    app.state.cards = {}
    app.include_router(assets.router)
    for module in _PAGES:
        app.include_router(module.router)
    _tell_people(app)


def _tell_people(app: FastAPI) -> None:
    """A browser that looks for what is not there gets a page; programs get the problem document."""
    told = cast(Callable[[Request, Exception], object], app.exception_handlers[HTTPException])

    async def on_http(request: Request, error: Exception) -> Response:
        found = cast(HTTPException, error)
        if seeks_page(request) and not request.url.path.startswith("/v1/"):
            return problem_page(request, of_status(found.status_code, str(found.detail)))
        return await told(request, error)  # type: ignore[misc,no-any-return]

    app.add_exception_handler(HTTPException, on_http)
