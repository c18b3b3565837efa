"""Scoring runs: asking for one, how far it is, and all of its scores."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from features.schema import to_text
from serving import runs
from serving.download import download
from serving.exports import MEDIA_TYPES
from serving.problems import NotScoringError, RunNotCompleteError, documented
from serving.runs import Status
from serving.state import Shared
from serving.tables import Run

router = APIRouter(tags=["runs"])

RunId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The run's id.")]
Form = Literal["jsonl", "csv", "parquet"]


class RunState(BaseModel):
    """A scoring run. What is not known yet, or never was, is null; `failed` says why it came to nothing.

    `asked_at` is null where a command began it. Instants are ISO 8601 in UTC.
    """

    run: int
    journey: str
    status: Status
    asked_at: str | None
    scored_at: str | None
    finished_at: str | None
    cutoff: str | None
    customers: int | None
    versions: dict[str, int]
    failed: str | None


class Runs(BaseModel):
    """The journey's runs, the newest first."""

    journey: str
    runs: list[RunState]


class ListQuery(BaseModel):
    """How many runs; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, description="Runs at most.", ge=1, le=100)


class ScoresQuery(BaseModel):
    """The form of the scores; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    format: Form = Field("jsonl", description="jsonl: whole answers; csv and parquet: their numbers, side by side.")


@router.get("/v1/runs", responses=documented(422, 503))
def listed(state: Shared, query: Annotated[ListQuery, Query()]) -> Runs:
    """The runs that are stored, waiting, being written, or failed within a day."""
    with state.store.transaction() as connection:
        found = runs.newest(connection, state.journey, query.limit)
    return Runs(journey=state.journey, runs=[_told(run) for run in found])


@router.post("/v1/runs", status_code=202, responses=documented(503))
def ask(state: Shared, response: Response) -> RunState:
    """Ask for everyone to be scored anew; the run is written beside the requests, one at a time.

    Where one was asked for and has not begun yet, that one is the answer. Follow it at `Location`.
    """
    if not state.scores:
        raise NotScoringError("this server", "does not score", "", f"run journeycast score {state.journey}")
    with state.store.transaction(writes=True) as connection:
        run_id, _ = runs.ask(connection, state.journey)
        run = runs.read(connection, state.journey, run_id)
    response.headers["Location"] = f"/v1/runs/{run_id}"
    return _told(run)


@router.get("/v1/runs/{run_id}", responses=documented(404, 422, 503))
def one(state: Shared, run_id: RunId) -> RunState:
    """How far a run is."""
    with state.store.transaction() as connection:
        return _told(runs.read(connection, state.journey, run_id))


_BODIES = {
    MEDIA_TYPES[form]: {"schema": {"type": "string", "format": "binary"}} for form in ("jsonl", "csv", "parquet")
}


@router.get(
    "/v1/runs/{run_id}/scores",
    response_class=StreamingResponse,
    responses=documented(404, 409, 422, 503) | {200: {"description": "The scores.", "content": _BODIES}},
)
def scores(
    state: Shared,
    run_id: RunId,
    query: Annotated[ScoresQuery, Query()],
    accept_encoding: Annotated[str, Header(description="gzip: deflated on the way.")] = "",
) -> Response:
    """Every customer's answer of a run, in the order of the ids; sent while it is read.

    A transfer that breaks off is not the whole run: its last chunk is missing.
    """
    with state.store.transaction() as connection:
        run = runs.read(connection, state.journey, run_id)
    if runs.status(run) != "complete":
        raise RunNotCompleteError("run", f"{run_id} is {runs.status(run)}", "a complete run", "see GET /v1/runs")
    return download(state.store, run, query.format, state.campaign.rest_days, gzip=_takes_gzip(accept_encoding))


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header names gzip without refusing it."""
    found = (part.replace(" ", "").lower().partition(";q=") for part in accept_encoding.split(","))
    return any(name == "gzip" and (not quality or quality.strip("0.")) for name, _, quality in found)


def _told(run: Run) -> RunState:
    status = runs.status(run)
    begun = status in ("running", "complete") or bool(run.versions)
    return RunState(
        run=run.id,
        journey=run.journey,
        status=status,
        asked_at=_text(run.asked_at),
        scored_at=_text(run.scored_at) if begun else None,
        finished_at=_text(run.finished_at),
        cutoff=_text(run.cutoff) if begun else None,
        customers=run.customers or None,
        versions=run.versions,
        failed=run.failed,
    )


def _text(instant: int | None) -> str | None:
    return None if instant is None else to_text(instant)
