"""The registered models."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, JsonValue

from serving import estimates
from serving.problems import documented
from serving.state import Shared
from training.estimated import CONDITIONS

router = APIRouter(tags=["models"])


class Estimate(BaseModel):
    """What a metric may be expected to be; in 95 of 100 cases what happens puts it from `low` to `high`."""

    value: float
    low: float
    high: float


_EXAMPLE: dict[str, JsonValue] = {
    "run": 12,
    "cutoff": "2024-06-01T00:00:00Z",
    "open_until": "2024-06-29T00:00:00Z",
    "customers": 2485,
    "metrics": {
        "roc_auc": {"value": 0.871, "low": 0.856, "high": 0.886},
        "ece": {"value": 0.019, "low": 0.011, "high": 0.029},
    },
    "conditions": CONDITIONS,
}


class Expected(BaseModel):
    """What a version's answers in the newest run may be expected to reach, told from their probabilities alone.

    The run saw what was known before `cutoff`; until the log is complete up to `open_until` nobody knows what
    comes of it. Of `customers`: those who are followed up. It holds on `conditions`; where what a vector says of the
    future has changed, only outcomes tell. A realised ECE above its `high` says that the probabilities were off.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    run: int
    cutoff: str
    open_until: str
    customers: int
    metrics: dict[str, Estimate]
    conditions: str


class ModelEntry(BaseModel):
    """One registered version of a task's model, with its metrics beside those of the simple rules.

    `realised` is what happened to the customers whom it scored and who were not contacted (whoever a list held out
    stands for those it had contacted): the metrics of its newest scoring run whose horizon is over, with `..._low` and
    `..._high`, the ends of their 95 % intervals; and as `all_runs_...` the mean that was expected and the one that came
    with the ends of its interval, over all of its runs of which it is still kept what they expected: two of the longest
    horizons after the last of them is over (empty: none is over, or `journeycast outcomes` was not run since).

    `expected` is what may be expected of its answers in the newest run, as long as that run's horizon is open (null: it
    did not answer there, the horizon is over, or the task has no probabilities, as CLTV).

    `grade_words` say how far it is ahead of the best rule, `decision_words` why it was promoted or not;
    null: nothing was decided yet.
    """

    model_config = ConfigDict(extra="allow")

    task: str
    version: int
    aliases: list[str] = []
    grade: str | None = None
    grade_words: str | None = None
    decision: str | None = None
    decision_words: str | None = None
    warnings: str | None = None
    realised: dict[str, float | None] = {}
    expected: Expected | None = None


class Models(BaseModel):
    """The journey's models, and the versions that answer now (empty: none is loaded)."""

    journey: str
    serving: dict[str, int]
    models: list[ModelEntry]


@router.get("/v1/models", responses=documented(503))
def models(state: Shared) -> Models:
    """Versions with aliases, grade and metrics, newest first."""
    loaded = state.loaded
    entries = [ModelEntry.model_validate(_finite(entry)) for entry in state.models()]
    with state.store.transaction() as connection:
        newest = estimates.newest(connection, state.journey)
    if newest is not None:
        for entry in entries:
            entry.expected = _expected(entry, newest)
    return Models(journey=state.journey, serving=loaded.versions if loaded else {}, models=entries)


Task = Annotated[Literal["churn", "next_stage", "cltv"], PathParameter(description="The task.")]
Version = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="The version, as GET /v1/models lists them.")]
_PICTURE = re.compile(rb"(?<!\\)\]\((\w+\.png)\)")  # beside the card in the run's artifacts, below plots/ here
Plot = Literal["calibration", "lift_and_gains", "confusion", "deciles", "intervals", "shap_summary", "tuning"]


@router.get(
    "/v1/models/{task}/{version}/card",
    responses=documented(404, 422, 503)
    | {200: {"description": "The model card.", "content": {"application/json": {}, "text/markdown": {}}}},
)
def card(
    state: Shared,
    request: Request,
    task: Task,
    version: Version,
    format: Annotated[
        Literal["json", "markdown"] | None, Query(description="Default: as Accept says, else JSON.")
    ] = None,
) -> Response:
    """What a version predicts, from which data, how well beside simple rules, where it is worse, and its limits."""
    markdown = format == "markdown" or (format is None and "text/markdown" in request.headers.get("accept", ""))
    name, media = ("model_card.md", "text/markdown") if markdown else ("model_card.json", "application/json")
    text = state.model_file(task, version, name)
    text = _PICTURE.sub(rb"](plots/\1)", text) if markdown else text
    return Response(text, media_type=media, headers={"Vary": "Accept"})


@router.get(
    "/v1/models/{task}/{version}/plots/{plot}.png",
    responses=documented(404, 422, 503) | {200: {"description": "The plot.", "content": {"image/png": {}}}},
)
def plot(state: Shared, task: Task, version: Version, plot: Plot) -> Response:
    """A plot of the judged model on the held-out cutoffs."""
    return Response(state.model_file(task, version, f"{plot}.png"), media_type="image/png")


def _expected(entry: ModelEntry, newest: dict[str, Any]) -> Expected | None:
    """What is told of a version's answers in the newest run; null: it gave none there."""
    told = newest["tasks"].get(entry.task)
    if told is None or told["version"] != entry.version:
        return None
    shared = {name: newest[name] for name in ("cutoff", "conditions")}
    return Expected(run=newest["run_id"], **shared, **told)


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
