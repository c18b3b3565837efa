"""Whether the server runs, whether it can answer, and how it has done so far."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from features.schema import to_text
from serving.metrics import MEDIA_TYPE, Metrics
from serving.problems import documented
from serving.state import Shared

router = APIRouter(tags=["operations"])


class Alive(BaseModel):
    """The server runs."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """The models are loaded and the store can be read; `run` is null before the first scoring run."""

    status: Literal["ready"] = "ready"
    journey: str
    versions: dict[str, int]
    run: int | None
    scored_at: str | None


@router.get("/healthz")
async def healthz() -> Alive:  # never waits for a thread that others hold
    """200 as long as the server runs."""
    return Alive()


@router.get("/readyz", responses=documented(503))
def readyz(state: Shared) -> Ready:
    """200 once the models are loaded and the store can be read."""
    versions = state.scorer().versions
    run = state.store.latest_run(state.journey)
    scored_at = to_text(run.scored_at) if run else None
    return Ready(journey=state.journey, versions=versions, run=run.id if run else None, scored_at=scored_at)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
def metrics(request: Request) -> Response:
    """Latencies by route, model versions, age and size of the scores, messages to webhooks."""
    held: Metrics = request.app.state.metrics
    return Response(held.text(), media_type=MEDIA_TYPE)
