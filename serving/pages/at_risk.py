"""At risk: the money-ranked list, one page of it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from features.feature import REASONS
from serving import documented
from serving.clock import now
from serving.documented import JOURNEY
from serving.listing import Page, counted
from serving.pages import lists
from serving.pages.lines import lines_of
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor
from serving.pages.templating import customer_address, page
from serving.pages.words import named, plain
from serving.routes.at_risk import AtRiskQuery
from serving.state import Shared, State
from serving.store import NoScoresError
from serving.suppression import Moment
from serving.tables import Run

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_COUNTED = 10_000  # how far matches are counted: further, the number tells a team nothing
SORTS = {"expected_loss": "Expected loss", "profit": "Profit of a contact", "churn_probability": "Churn risk"}
SIZES = (25, 50, 100, 200)
_LABELS = {
    "risk": "Risk",
    "stage": "Stage",
    "minimum_cltv": "CLTV from",
    "reason": "Reason",
    "segment": "Segment",
    "status": "Status",
    "changed_since": "Risk changed since",
    "customer": "Id begins with",
    "include": "With",
}


@router.get("/")
def at_risk(request: Request, session: Visitor, state: Shared) -> Response:
    """The list, filtered and sorted as the address says."""
    said = lists.given(request.query_params)
    if len(request.query_params.multi_items()) != sum(map(len, said.values())):
        return RedirectResponse(lists.address("/", said), 303)  # a form sends its empty fields too
    query = lists.read(said)
    try:
        found, matching = _read(state, query)
    except NoScoresError as error:
        return page(request, "empty.html", {"problem": error}, here="at_risk")
    shared = lists.told(query)
    offered = choices(state, found.run)
    segment, more_segments = segments_shown(offered["segment"], query.segment)
    context = {
        "run": found.run,
        "segment": segment,
        "more_segments": more_segments,
        "lines": lines_of(state, found),
        "matching": matching,
        "counted": _COUNTED,
        "query": query,
        "shared": shared,
        "costs": found.costs,
        "chips": chips(shared),
        "choices": offered,
        "sorts": _sorts(query, shared, found.run),
        "sizes": SIZES,
        "exact": _exact(state, query.customer),
        "links": _links(query, shared, found),
    }
    return page(request, "at_risk.html", context, here="at_risk")


@router.get("/customers")
def find(request: Request, session: Visitor, state: Shared, id: str = "") -> Response:
    """The customer of this id, or the list of those whose ids begin so."""
    wanted = id.strip()
    if not wanted:
        return RedirectResponse("/", 303)
    known = state.store.answer_json(state.journey, wanted) is not None
    return RedirectResponse(customer_address(wanted) if known else lists.address("/", {"customer": [wanted]}), 303)


def _read(state: State, query: AtRiskQuery) -> tuple[Page, int]:
    wanted = lists.wanted(state, query)
    found = state.store.at_risk(state.journey, wanted, limit=query.limit, after=query.cursor)
    moment = Moment(now(), wanted.costs.rest_days)
    with state.store.transaction() as connection:
        return found, counted(connection, found.run, wanted, moment, _COUNTED + 1)


def choices(state: State, run: Run) -> dict[str, Any]:
    """What the filters may say: pairs of value and words; segments by their names."""
    stages = state.loaded.journey.stage_names if state.loaded else []
    return {
        "risk": [(name, named(name, "risk")) for name in ("high", "medium", "low")],
        "stage": [(name, plain(name)) for name in stages],
        "reason": [(code, words) for code, words in REASONS.items()],
        "status": [
            (name, named(name, "status")) for name in ("open", "assigned", "snoozed", "contacted", "won", "lost")
        ],
        "segment": _segments(state, run),
    }


def _segments(state: State, run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """The values of each segment, as far as the run's journeys name them."""
    with state.store.transaction() as connection:
        found = documented.groups(connection, run.id, JOURNEY)
    known: dict[str, list[tuple[str, str]]] = {}
    for grouping, value in found:
        if grouping in (run.segments or ()):
            known.setdefault(grouping, []).append((f"{grouping}:{value}", plain(value)))
    return list(known.items())


def segments_shown(choices: list[tuple[str, list[tuple[str, str]]]], chosen: list[str]) -> tuple[str, list[str]]:
    """The segment that the form's one field shows, and those that it takes along unseen."""
    offered = {value for _, values in choices for value, _ in values}
    first = next((value for value in chosen if value in offered or not choices), "")
    rest = list(chosen)
    if first:
        rest.remove(first)
    return first, rest


def chips(shared: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    """Each filter in words, with the address of the list without it."""
    found = []
    for name, values in shared.items():
        for value in values if name in _LABELS else ():
            rest = shared | {name: [other for other in values if other != value]}
            found.append((*said_of(name, value), lists.address("/", rest)))
    return found


def said_of(name: str, value: str) -> tuple[str, str]:
    """A filter in words: what it is called, and what it asks for."""
    return _LABELS.get(name, plain(name)), _said(name, value)


def _said(name: str, value: str) -> str:
    match name:
        case "risk" | "status":
            return named(value, name)
        case "reason":
            return REASONS[value]
        case "segment":
            return plain(value.replace(":", ": ", 1))
        case _:
            return plain(value)


def _sorts(query: AtRiskQuery, shared: dict[str, list[str]], run: Run) -> list[tuple[str, str, str, bool]]:
    """The orders there are: name, words, address, and whether it is the present one."""
    known = SORTS if run.currency is not None else {"expected_loss": SORTS["churn_probability"]}
    return [
        (name, words, lists.address("/", shared, sort=name if name != "expected_loss" else None), name == query.sort)
        for name, words in known.items()
    ]


def _exact(state: State, customer: str | None) -> str | None:
    """The id that was looked for, where somebody has it: they may not be on the list."""
    found = customer is not None and state.store.answer_json(state.journey, customer) is not None
    return customer if found else None


def _links(query: AtRiskQuery, shared: dict[str, list[str]], found: Page) -> dict[str, str | None]:
    sized = shared | ({"limit": [str(query.limit)]} if query.limit != AtRiskQuery.model_fields["limit"].default else {})
    return {
        "next": lists.address("/", sized, cursor=found.next_cursor) if found.next_cursor else None,
        "first": lists.address("/", sized) if query.cursor else None,
        "csv": lists.address("/at-risk.csv", shared),
        "xlsx": lists.address("/at-risk.xlsx", shared),
        "campaign": lists.address(
            "/campaigns/new", {name: values for name, values in shared.items() if name != "include"}
        ),
        "here": lists.address("/", sized, cursor=query.cursor),
        "everyone": "/",
    }
