"""One customer's stored answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from features.errors import UnknownCustomerError
from serving.answers import Answer
from serving.problems import documented
from serving.state import Shared, State
from serving.store import NoScoresError

router = APIRouter(tags=["customers"])


@router.get("/v1/customers/{customer_id:path}", response_model=Answer, responses=documented(404, 422, 503))
def customer(
    state: Shared,
    customer_id: Annotated[str, Path(description="Any characters, percent-encoded; slashes too.", examples=["h1043"])],
) -> Response:
    """The answer of the newest scoring run, with its reasons."""
    found = state.store.answer_json(state.journey, customer_id)
    if found is None:
        raise missing(state, customer_id)
    return Response(found, media_type="application/json")


def missing(state: State, customer_id: str) -> Exception:
    """Why there is no answer of a customer, to be raised."""
    run = state.store.latest_run(state.journey)
    if run is not None:
        return UnknownCustomerError(
            "customer_id",
            customer_id,
            f"one of the {run.customers} customers scored in run {run.id}",
            f"check the id; a customer new to the event log is known after journeycast score {state.journey}",
        )
    state.scorer()  # without a model, that is the first thing to say
    return NoScoresError(state.journey, "no scores are stored", "", f"run journeycast score {state.journey}")
