"""One customer's stored answer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel
from starlette.responses import Response

from features.errors import NoModelError, UnknownCustomerError
from serving import erasure
from serving.answers import Answer
from serving.current import NO_MODEL, Found, find, with_warning
from serving.problems import NotReadyError, documented
from serving.state import Shared, State
from serving.store import NoScoresError

router = APIRouter(tags=["customers"])
CustomerId = Annotated[str, Path(description="Any characters, percent-encoded; slashes too.", examples=["h1043"])]


@router.get("/v1/customers/{customer_id:path}", response_model=Answer, responses=documented(404, 422, 503))
def customer(
    state: Shared,
    customer_id: CustomerId,
) -> Response:
    """The customer's answer, with its reasons: of the newest scoring run, or anew where events came in since."""
    return Response(answer_of(state, customer_id), media_type="application/json")


def answer_of(state: State, customer_id: str) -> bytes:
    """The customer's answer as it is now, as JSON.

    Raises
    ------
    UnknownCustomerError, NoScoresError
        Where there is none.
    """
    found = find(state.store, state.journey, customer_id)
    answer = found.answer if found.newest is None else _anew(state, found)
    if answer is None:
        raise _missing(state, customer_id)
    return answer


class Erased(BaseModel):
    """The receipt of an erasure. `customer` is a hash of the id, `rows` says how many rows went of which table."""

    id: str
    journey: str
    customer: str
    erased_at: str
    rows: dict[str, int]


@router.delete("/v1/customers/{customer_id:path}", responses=documented(422, 503))
def erase(state: Shared, customer_id: CustomerId) -> Erased:
    """Delete all that is stored of a customer, and keep them out of files and events from now on.

    Someone nobody knows is kept out too. Models that learned from the customer keep what they learned until
    they are trained anew.
    """
    receipt = erasure.erase(state.store, state.journey, customer_id)
    state.current.forget()
    state.tidy(0)  # files that wait may tell of the customer; whoever sent one sends it again
    return Erased(**receipt._asdict())


def _anew(state: State, found: Found) -> bytes | None:
    """The answer with what came in since; without models, the stored one with a warning."""
    try:
        scorer = state.scorer()
    except (NoModelError, NotReadyError):
        if found.answer is None:
            raise
        return with_warning(found.answer, NO_MODEL)
    vectors = state.vector_log()
    answer = state.current.answer(found, scorer, vectors)
    state.keep(vectors)
    return answer


def _missing(state: State, customer_id: str) -> Exception:
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
