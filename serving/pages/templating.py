"""Templates: every value is text until a template says otherwise, and none of ours does."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from serving.pages import words
from serving.pages.assets import address
from serving.pages.sessions import Session, heard, remember

PLACES = (
    ("at_risk", "/", "At risk"),
    ("campaigns", "/campaigns", "Campaigns"),
    ("journey", "/journey", "Journey"),
    ("models", "/models", "Models"),
    ("data", "/data", "Data"),
)
_CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Plotly writes styles of its own; no script is ever allowed to stand in a page.
_CSP_FIGURES = _CSP | {"style-src": "'self' 'unsafe-inline'", "img-src": "'self' data: blob:"}


def page(
    request: Request, template: str, context: dict[str, Any] | None = None, *, status: int = 200, here: str = ""
) -> HTMLResponse:
    """A page as a response, with its security headers.

    Parameters
    ----------
    context
        What the template shows; `figures` names figures by the id of their element.
    here
        Which of `PLACES` it belongs to.
    """
    given = context or {}
    session: Session | None = getattr(request.state, "session", None)
    shared = {
        "journey_name": request.app.state.journeycast.journey,
        "keyed": request.app.state.sessions.keyed,
        "session": session,
        "heard": heard(request),
        "here": here,
        "figures": None,
    }
    html = _environment().get_template(template).render(shared | given)
    response = HTMLResponse(html, status, headers(figures=bool(given.get("figures"))))
    if session is not None:
        remember(response, request, session)
    return response


def headers(*, figures: bool = False) -> dict[str, str]:
    """What keeps a page to itself: where scripts may come from, and that nobody frames or stores it."""
    policy = "; ".join(f"{name} {value}" for name, value in (_CSP_FIGURES if figures else _CSP).items())
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }


def embedded(value: Any) -> Markup:
    """JSON that may stand inside a script element whatever its texts say."""
    text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - no sign that HTML reads is left


def customer_address(customer_id: str) -> str:
    """Where a customer's page is."""
    return f"/customers/{quote(customer_id, safe='')}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("serving.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= words.FILTERS | {"embedded": embedded, "customer_address": customer_address, "iso": words.iso}
    made.globals |= {"asset": address, "places": PLACES, "dash": words.DASH}
    return made
