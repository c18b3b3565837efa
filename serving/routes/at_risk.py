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
from serving.exports import to_csv
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
    items: list[AtRiskCustomer]
    next_cursor: str | None


class AtRiskQuery(BaseModel):
    """Filters of the list and the page wanted; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    risk: Literal["low", "medium", "high"] | None = Field(None, description="The band of the risk.")
    stage: str | None = Field(None, description="The present stage.", max_length=200, pattern="^[^\\x00]*$")
    minimum_cltv: float | None = Field(None, description="Least expected value over the CLTV horizon.")
    limit: int = Field(50, description="Customers per page.", ge=1, le=1000)
    cursor: str | None = Field(None, description="The next_cursor of the page before.", max_length=8000)
    format: Literal["json", "csv"] | None = Field(None, description="Default: as Accept says, else JSON.")


_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("/v1/at-risk", response_model=AtRiskList, responses=_CSV | documented(410, 422, 503))
def at_risk(
    state: Shared,
    request: Request,
    query: Annotated[AtRiskQuery, Query()],
) -> Response:
    """Customers that churn asks about, by expected loss, the largest first.

    A list begun is read to its end on the run it began with, whatever is scored meanwhile. The next
    page's address is in the `Link` header too.
    """
    _known_stage(state, query.stage)
    filters = query.model_dump(include={"risk", "stage", "minimum_cltv"})
    page = state.store.at_risk(state.journey, **filters, limit=query.limit, after=query.cursor)
    headers = {"Vary": "Accept"}
    if page.next_cursor:
        following = request.url.include_query_params(cursor=page.next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    if query.format == "csv" or (query.format is None and _prefers_csv(request)):
        return Response(to_csv(page.items), headers=headers, media_type="text/csv")
    return Response(_json(page), headers=headers, media_type="application/json")


def _json(page: Page) -> bytes:
    run = page.run
    told = {"journey": run.journey, "run": run.id, "cutoff": to_text(run.cutoff), "scored_at": to_text(run.scored_at)}
    items = [item.__dict__ for item in page.items]
    return orjson.dumps({**told, "customers": run.customers, "items": items, "next_cursor": page.next_cursor})


def _prefers_csv(request: Request) -> bool:
    """Whether `Accept` names CSV and does not name JSON before it."""
    accepted = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    wanted = [kind for kind in accepted if kind in ("text/csv", "application/json")]
    return bool(wanted) and wanted[0] == "text/csv"


def _known_stage(state: State, stage: str | None) -> None:
    """A misspelt stage is an error, not an empty list; which there are is known once the models are loaded."""
    if stage is None or state.loaded is None or stage in state.loaded.journey.stage_names:
        return
    raise InputError("stage", stage, ", ".join(state.loaded.journey.stage_names), "name one of the journey's stages")
