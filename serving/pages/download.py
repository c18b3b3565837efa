"""The whole list as a file: everyone the filters let through, in the list's order."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from serving.answers import AtRiskCustomer
from serving.exports import MEDIA_TYPES, named
from serving.exports.table import of_the_at_risk_list
from serving.filters import Wanted
from serving.listing import Page
from serving.pages import lists
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor
from serving.state import Shared, State

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_AT_ONCE = 5_000
_SHEET_HOLDS = 1_000_000  # lines: a sheet ends at 1,048,576
_BLOCK = 1 << 16


@router.get("/at-risk.{form}")
def download(request: Request, session: Visitor, state: Shared, form: Literal["csv", "xlsx"]) -> Response:
    """The list as CSV or as a sheet; a list begun is read on one run, whatever is scored meanwhile."""
    query = lists.read(lists.given(request.query_params))
    wanted = lists.wanted(state, query)
    first = state.store.at_risk(state.journey, wanted, limit=_AT_ONCE)
    table = of_the_at_risk_list(_everyone(state, wanted, first), first.run)
    headers = {
        "Content-Disposition": f'attachment; filename="at-risk-{state.journey}-run-{first.run.id}.{form}"',
        "Cache-Control": "no-store",
    }
    how = named(form)
    if how.pieces is not None:
        return StreamingResponse(_lines(how.head(table), how.pieces(table)), 200, headers, MEDIA_TYPES[form])
    assert how.writes is not None  # noqa: S101 -- a form has pieces or writes itself
    file = TemporaryFile()  # noqa: SIM115 - closed when it is sent
    how.writes(table, file)
    return StreamingResponse(_blocks(file), 200, headers, MEDIA_TYPES[form])


def _everyone(state: State, wanted: Wanted, first: Page) -> Iterator[AtRiskCustomer]:
    found, written = first, 0
    while True:
        for item in found.items:
            if written == _SHEET_HOLDS:
                return
            written += 1
            yield item
        if found.next_cursor is None:
            return
        found = state.store.at_risk(state.journey, wanted, limit=_AT_ONCE, after=found.next_cursor)


def _lines(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines joined to blocks, which go out faster than lines."""
    block = bytearray(head)
    for piece in pieces:
        block += piece
        if len(block) > _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    with file:
        while block := file.read(_BLOCK):
            yield block
