"""The at-risk list."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from features.errors import InputError
from features.schema import to_text
from serving.answers import AtRiskCustomer
from serving.asked import AskedCosts, AskedFilters
from serving.exports import MEDIA_TYPES, NAMES, preferred, render
from serving.filters import Sort, Wanted
from serving.listing import Page
from serving.problems import documented
from serving.state import Shared, State

router = APIRouter(tags=["at-risk"])


class AtRiskList(BaseModel):
    """A page of the list. `next_cursor` begins the next one; null: this is the last.

    `run` is the scoring run the list was read from, `customers` how many were scored in it.
    """

    journey: str
    run: int
    cutoff: str
    scored_at: str
    customers: int
    sort: Sort
    items: list[AtRiskCustomer]
    next_cursor: str | None


class AtRiskQuery(AskedFilters, AskedCosts):
    """Filters and order of the list and the page wanted; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sort: Sort = Field("expected_loss", description="`profit`: of contacting the customer, at the costs given.")
    include: list[Literal["suppressed", "snoozed"]] = Field(
        [], description="List those too who must not be contacted, or are to be left until later."
    )
    limit: int = Field(50, description="Customers per page.", ge=1, le=1000)
    cursor: str | None = Field(None, description="The next_cursor of the page before.", max_length=8000)
    format: str | None = Field(
        None,
        description=f"json, {', '.join(NAMES)}; default: as Accept says, else JSON.",
        pattern=f"^({'|'.join(('json', *NAMES))})$",
    )


FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}}
}


@router.get("/v1/at-risk", response_model=AtRiskList, responses=FILES | documented(410, 422, 503))
def at_risk(
    state: Shared,
    request: Request,
    query: Annotated[AtRiskQuery, Query()],
) -> Response:
    """Customers that churn asks about, the largest expected loss, profit of a contact or churn probability first.

    Whoever opted out, was contacted within `rest_days`, is held out by a campaign or is snoozed is left
    out, unless `include` says otherwise. A list begun is read to its end on the run it began with,
    whatever is scored meanwhile; sort, costs and filters stay the same from page to page. The next
    page's address is in the `Link` header too.
    """
    known_stage(state, query.stage)
    wanted = Wanted(query.filters(frozenset(query.include)), query.sort, query.over(state.campaign))
    page = state.store.at_risk(state.journey, wanted, limit=query.limit, after=query.cursor)
    headers = {"Vary": "Accept"}
    if page.next_cursor:
        following = request.url.include_query_params(cursor=page.next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    form = query.format or preferred(request.headers.get("accept", ""))
    if form in (None, "json"):
        return Response(_json(page, query.sort), headers=headers, media_type="application/json")
    return Response(render(page.items, form, page.run), headers=headers, media_type=MEDIA_TYPES[form])


def _json(page: Page, sort: Sort) -> bytes:
    run = page.run
    told = {"journey": run.journey, "run": run.id, "cutoff": to_text(run.cutoff), "scored_at": to_text(run.scored_at)}
    told |= {"customers": run.customers, "sort": sort}
    items = [item.__dict__ for item in page.items]
    return orjson.dumps({**told, "items": items, "next_cursor": page.next_cursor})


def known_stage(state: State, stage: str | None) -> None:
    """Refuse a misspelt stage, instead of an empty list; which there are is known once the models are loaded."""
    if stage is None or state.loaded is None or stage in state.loaded.journey.stage_names:
        return
    raise InputError("stage", stage, ", ".join(state.loaded.journey.stage_names), "name one of the journey's stages")
