"""How far a retention team is with a customer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AfterValidator

from serving import worklist
from serving.asked import WorklistChange, indexed
from serving.bodies import StrictRoute
from serving.clock import now
from serving.problems import documented
from serving.state import Shared, State
from serving.suppression import Moment
from serving.worklist import Entry

router = APIRouter(tags=["worklist"], route_class=StrictRoute)
CustomerId = Annotated[str, Path(description="Any characters, percent-encoded; slashes too.", examples=["h1043"])]
Kept = Annotated[CustomerId, AfterValidator(indexed)]


@router.get("/v1/worklist/{customer_id:path}", responses=documented(404, 422, 503))
def read(state: Shared, customer_id: CustomerId) -> Entry:
    """What is known of the work on a customer; one who was never worked on is open."""
    return worklist.entry(state.store, state.journey, customer_id, _moment(state))


@router.patch("/v1/worklist/{customer_id:path}", responses=documented(400, 404, 409, 413, 415, 422, 503))
def change(state: Shared, customer_id: Kept, change: WorklistChange) -> Entry:
    """Change status, assignee, note, snooze or opt-out of a customer.

    An opt-out is taken of any id; anything else of customers who were scored. A contact of someone who
    opted out or is held out is refused, unless `override` says that it happened all the same.
    """
    return worklist.change(state.store, state.journey, customer_id, change.change(), _moment(state))


def _moment(state: State) -> Moment:
    return Moment(now(), state.campaign.rest_days)
