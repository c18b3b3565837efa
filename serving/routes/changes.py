"""Changes of risk band, for systems that follow them by asking."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from serving import changes
from serving.asked import Time, instant
from serving.cursors import decode_mark
from serving.problems import documented
from serving.state import Shared

router = APIRouter(tags=["changes"])

Risk = Literal["low", "medium", "high"]


class RiskChange(BaseModel):
    """A customer's risk band is another one than in the run before.

    `risk` is null where churn does not ask about the customer any more, `risk_before` where the run before
    had no band of them. `expected_loss` is in `currency`.
    """

    model_config = ConfigDict(extra="forbid")

    id: int
    run: int
    customer_id: str
    changed_at: str = Field(description="When the run was scored; ISO 8601, UTC.")
    risk: Risk | None
    risk_before: Risk | None
    churn_probability: float | None
    stage: str | None
    expected_loss: float | None
    currency: str | None
    reason_code: str | None
    reason: str | None


class ChangePage(BaseModel):
    """Changes in the order in which they became visible; `next_cursor` continues behind them, now or later."""

    journey: str
    items: list[RiskChange]
    next_cursor: str
    more: bool = Field(description="Whether changes behind these are there already.")


class ChangeQuery(BaseModel):
    """Where to begin and what to leave out; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, description="The next_cursor of an earlier page.", max_length=8000)
    since: Time | None = Field(None, description="Only changes of runs scored at or after this instant.")
    risk: list[Risk] = Field([], description="Only changes into these bands.", max_length=3)
    limit: int = Field(100, description="Changes per page.", ge=1, le=1000)


@router.get("/v1/changes", responses=documented(410, 422, 503))
def follow(state: Shared, query: Annotated[ChangeQuery, Query()]) -> ChangePage:
    """Customers whose risk band changed, each change exactly once.

    Without a cursor, from the oldest stored change on. Keep `next_cursor` with what you have done: the
    next request with it begins where this one ended, whatever was scored or deleted in between.
    """
    after = decode_mark(query.cursor) if query.cursor is not None else None
    since = None if query.since is None else instant(query.since)
    with state.store.transaction() as connection:
        found = changes.page(
            connection, state.journey, limit=query.limit, after=after, risks=[*query.risk] or None, since=since
        )
    items = [RiskChange(**changes.fields(change)) for change in found.items]
    return ChangePage(journey=state.journey, items=items, next_cursor=found.cursor, more=found.more)
