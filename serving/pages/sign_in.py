"""Signing in with a key, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from serving.pages.route import PageRoute
from serving.pages.sessions import COOKIE, Sessions, Visitor, remember
from serving.pages.templating import page
from serving.pages.work import here

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Back = Annotated[str, Form(max_length=8000)]


@router.get("/sign-in")
def ask(request: Request, back: str = "/") -> Response:
    """Ask for a key; where the server has none, there is nothing to ask."""
    sessions: Sessions = request.app.state.sessions
    if not sessions.keyed or sessions.of(request):
        return RedirectResponse(here(back), 303)
    return page(request, "sign_in.html", {"back": here(back), "failed": False})


@router.post("/sign-in")
def sign_in(request: Request, key: Annotated[str, Form(max_length=1000)] = "", back: Back = "/") -> Response:
    """Open a session with a key that may read."""
    sessions: Sessions = request.app.state.sessions
    opened = sessions.open(key.strip())
    if opened is None or not opened.may("read"):
        return page(request, "sign_in.html", {"back": here(back), "failed": True}, status=403)
    response = RedirectResponse(here(back), 303)
    remember(response, request, opened)
    return response


@router.post("/sign-out")
def sign_out(request: Request, session: Visitor) -> Response:
    """End the session, and forget it in this browser."""
    sessions: Sessions = request.app.state.sessions
    sessions.close(session)
    response = RedirectResponse("/sign-in" if sessions.keyed else "/", 303)
    response.delete_cookie(COOKIE, path="/")
    return response
