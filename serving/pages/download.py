"""The whole list as a file: everyone the filters let through, in the list's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from serving.clock import now
from serving.download import blocks
from serving.exports import MEDIA_TYPES, named
from serving.exports.sheet import MOST_ROWS, too_long
from serving.exports.table import of_the_lines_shown
from serving.filters import Wanted
from serving.listing import Page, counted
from serving.pages import lists
from serving.pages.lines import Line, lines_of
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor
from serving.state import Shared, State
from serving.suppression import Moment

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_AT_ONCE = 2_000


@router.get("/at-risk.{form}")
def download(request: Request, session: Visitor, state: Shared, form: Literal["csv", "xlsx"]) -> Response:
    """The list as CSV or as a sheet; a list begun is read on one run, whatever is scored meanwhile."""
    query = lists.read(lists.given(request.query_params))
    wanted = lists.wanted(state, query)
    first = state.store.at_risk(state.journey, wanted, limit=_AT_ONCE)
    if form == "xlsx":
        _refuse_too_long(state, wanted, first)
    table = of_the_lines_shown((line.row() for line in _everyone(state, wanted, first)), first.run)
    headers = {
        "Content-Disposition": f'attachment; filename="at-risk-{state.journey}-run-{first.run.id}.{form}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(blocks(table, named(form)), 200, headers, MEDIA_TYPES[form])


def _refuse_too_long(state: State, wanted: Wanted, first: Page) -> None:
    """Refuse a list that a sheet has no rows for before any of it is read."""
    if first.next_cursor is None:
        return
    with state.store.transaction() as connection:
        moment = Moment(now(), wanted.costs.rest_days)
        found = counted(connection, first.run, wanted, moment, MOST_ROWS + 1)
    if found > MOST_ROWS:
        raise too_long("filter the list, or take it as CSV, which has no such end")


def _everyone(state: State, wanted: Wanted, first: Page) -> Iterator[Line]:
    found = first
    while True:
        yield from lines_of(state, found)
        if found.next_cursor is None:
            return
        found = state.store.at_risk(state.journey, wanted, limit=_AT_ONCE, after=found.next_cursor)
