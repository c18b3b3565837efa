"""Routes that answer with pages: what goes wrong is told in words on a page too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse

from features.errors import InputError
from serving.audit import Entry
from serving.clock import now
from serving.pages.sessions import FORM_TOKEN, Session, SignInNeeded, needs, refuse_foreign, remember, visitor
from serving.pages.templating import page
from serving.problems import Problem, of_input, of_status, of_validation
from serving.state import State

_SIGN_IN, _SIGN_OUT = "/sign-in", "/sign-out"
_ADMIN = "/models/"  # forms below it steer the models; all others work on customers
_OWN = ("same-origin", "none")  # what a browser says of a form of ours, or of an address typed in
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class PageRoute(APIRoute):
    """A route of the pages: opens the session, checks the token of forms, tells errors in words."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, and what is told where it fails."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            response = await answered(request)
            _note(request, response.status_code)
            return response

        async def answered(request: Request) -> Response:
            try:
                if request.method == "POST":
                    await _check_form(request)
                return _with_session(await handle(request), request)
            except SignInNeeded:
                return _to_sign_in(request)
            except InputError as error:
                return problem_page(request, of_input(error))
            except RequestValidationError as error:
                return problem_page(request, of_validation(error))
            except HTTPException as error:
                response = problem_page(request, of_status(error.status_code, str(error.detail)))
                response.headers.update(error.headers or {})
                return response

        return told


async def _check_form(request: Request) -> None:
    """Who sends a form, and whether they may, before its body is read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        raise HTTPException(415, "a page takes forms only")
    _refuse_other_sites(request)
    if request.url.path == _SIGN_IN:
        return  # there is no session yet, and no token
    session = await run_in_threadpool(visitor, request)
    if request.url.path != _SIGN_OUT:
        needs(session, "admin" if request.url.path.startswith(_ADMIN) else "ingest")
    token = (await _form(request)).get(FORM_TOKEN)
    refuse_foreign(session, None if isinstance(token, UploadFile) else token)


async def _form(request: Request) -> FormData:
    """The form, all of which is text that can be written."""
    try:
        form = await request.form()
        for name, value in form.multi_items():
            f"{name}{'' if isinstance(value, UploadFile) else value}".encode()
    except UnicodeError:
        raise HTTPException(400, "This form is not text in an encoding that can be read.") from None
    return form


def _note(request: Request, status: int) -> None:
    """Tell the audit log who asked for what; whoever has no session has seen nothing."""
    session: Session | None = getattr(request.state, "session", None)
    if session is None:
        return
    state: State = request.app.state.journeycast
    path = getattr(request.scope.get("route"), "path", "unknown").replace(":path}", "}")
    customer = request.path_params.get("customer_id") if status != 404 else None
    state.audit.add(Entry(now(), session.who, request.method, path, state.journey, customer, status))


def _refuse_other_sites(request: Request) -> None:
    """Refuse what a browser says another site sent."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    # Pages that hide where they come from say null; of ours none does.
    if site not in _OWN or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise HTTPException(403, "This form comes from another site.")


def _with_session(response: Response, request: Request) -> Response:
    session: Session | None = getattr(request.state, "session", None)
    if session is not None and "set-cookie" not in response.headers:
        remember(response, request, session)
    return response


def _to_sign_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = wanted if request.method == "GET" else "/"
    return RedirectResponse(f"/sign-in?back={quote(back, safe='')}", 303)


def problem_page(request: Request, problem: Problem) -> Response:
    """What went wrong and what to do, as a page."""
    return page(request, "problem.html", {"problem": problem}, status=problem.status)


def seeks_page(request: Request) -> bool:
    """Whether whoever asks is a browser that shows pages."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
