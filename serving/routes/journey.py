"""The journey as customers walked it: stages, moves, touchpoints, friction and KPIs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from features.schema import to_text
from serving import journeys
from serving.asked import Name
from serving.problems import documented
from serving.state import Shared

router = APIRouter(tags=["journey"])


class StageOfMap(BaseModel):
    """A stage: who is in it now, who ever came to it, and what became of them.

    `share` is that of all customers, `median_days` how long those in it have been. Of the customers who
    ever `reached` it, `went_on` are those who moved on from it, `still` those who did not yet and are in
    it, and `dropped` the rest: they left it otherwise, or are in it and have been silent for as long as
    churn looks ahead. The three add up to 1; null: nobody reached it.
    """

    stage: str
    customers: int
    share: float | None
    median_days: float | None
    reached: int
    went_on: float | None
    still: float | None
    dropped: float | None


class Transition(BaseModel):
    """Moves from one stage to another; `share` is that of all moves out of `from`, `median_days` the time in it.

    `way` is `on` where something the customer did brought it about (where the stage is the newest event's
    type: to a later stage), `back` where time alone did.
    """

    model_config = ConfigDict(populate_by_name=True)

    from_: str = Field(alias="from")
    to: str
    way: Literal["on", "back"]
    count: int
    share: float | None
    median_days: float | None


class Touchpoint(BaseModel):
    """Events of a type on a channel that met customers in a stage; `share` is that of all events in the stage."""

    stage: str | None
    event: str
    channel: str | None
    count: int
    share: float | None


class FrictionOfMap(BaseModel):
    """Churn after trouble and without it, at the newest cutoff whose horizon is over: what goes along, not what causes.

    `stage` null: all stages; `type` null: friction of any type.
    """

    stage: str | None
    type: str | None
    customers: int
    churned: int
    churn_rate: float | None
    others: int
    others_churned: int
    others_churn_rate: float | None


class TrendPoint(BaseModel):
    """A KPI at one cutoff; null: nothing to tell it from."""

    cutoff: str
    value: float | None


class KpiOfMap(BaseModel):
    """A KPI at the newest cutoff that has it, and at those before; `why_not` says why there is none."""

    name: str
    title: str
    definition: str
    unit: str
    better: Literal["up", "down", ""]
    value: float | None
    why_not: str | None
    trend: list[TrendPoint]


class JourneyMap(BaseModel):
    """The journey of one group; `group` null: everyone."""

    group: str | None
    customers: int
    stages: list[StageOfMap]
    transitions: list[Transition]
    touchpoints: list[Touchpoint]
    friction: list[FrictionOfMap]
    kpis: list[KpiOfMap]


class JourneyAnswer(BaseModel):
    """The journey that the newest run was made with, and another group's to compare it with, where asked for."""

    journey: str
    run: int
    cutoff: str
    scored_at: str
    groups: list[str]
    map: JourneyMap
    compare: JourneyMap | None = None


_GROUP = "GROUPING:VALUE, one of `groups`: a segment's, or outcome:churned and outcome:stayed. Default: everyone."


@router.get("/v1/journey", responses=documented(404, 422, 503))
def journey(
    state: Shared,
    group: Annotated[Name | None, Query(description=_GROUP)] = None,
    compare: Annotated[Name | None, Query(description="Another group to compare with, named likewise.")] = None,
) -> JourneyAnswer:
    """Stages, moves between them, touchpoints, friction and KPIs with their trend."""
    wanted = (group, compare) if compare else (group,)
    found = journeys.read(state.store, state.journey, *wanted)
    maps = [JourneyMap.model_validate(each) for each in found.maps]
    return JourneyAnswer(
        journey=found.run.journey,
        run=found.run.id,
        cutoff=to_text(found.run.complete_until),
        scored_at=to_text(found.run.scored_at),
        groups=found.groups,
        map=maps[0],
        compare=maps[1] if compare else None,
    )
