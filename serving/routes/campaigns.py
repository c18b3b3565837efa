"""Campaigns: made, listed, sent, and later compared with their hold-out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.schema import DAY, to_text
from serving import campaigns, sending
from serving.asked import AskedCosts, AskedDraw, AskedFilters, Name, Time, instant
from serving.bodies import StrictRoute
from serving.campaigns import Arm, Stored
from serving.clock import now
from serving.exports import MEDIA_TYPES, NAMES, render
from serving.outcomes import Outcome, Verdict
from serving.planning import Plan, Power
from serving.problems import documented
from serving.proposals import Proposal
from serving.proposals import create as make
from serving.routes.at_risk import FILES, known_stage
from serving.state import Shared

router = APIRouter(tags=["campaigns"], route_class=StrictRoute)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class CampaignFilters(_Strict, AskedFilters):
    """Which customers the list is cut from."""


class CampaignCosts(_Strict, AskedCosts):
    """Costs other than the journey's."""


class CampaignRequest(_Strict, AskedDraw):
    """A campaign to be made; without `budget` and `capacity` the list is cut where it pays most.

    `holdout` is the share of the list that is drawn at random and not contacted, to compare with.
    """

    filters: CampaignFilters = CampaignFilters()
    costs: CampaignCosts = CampaignCosts()


class Sending(_Strict):
    """When (default: now) and where a campaign was sent.

    `rehearsal`: the time lies before the campaign was made. Nobody is contacted or suppressed, and the
    outcome shows numbers that prove nothing.
    """

    time: Time | None = None
    rehearsal: bool = False
    channel: Name | None = None


class CampaignAnswer(BaseModel):
    """A campaign: what was asked for, the plan made of it, and what became of it so far.

    `run` is the scoring run the list was cut from; amounts are in `currency`. `until` is the end of
    the horizon; `contacted` counts those of the contact arm who could be; `rehearsal` says that the
    campaign was sent on paper only, before it was made. `erased` members of the plan are no longer stored.
    """

    id: int
    journey: str
    name: str
    run: int
    cutoff: str
    created_at: str
    filters: dict[str, Any]
    contact_cost: float
    incentive_cost: float
    accept_rate: float
    rest_days: float
    budget: float | None
    capacity: int | None
    holdout: float
    seed: int
    currency: str | None
    horizon_days: float
    plan: Plan
    sent_at: str | None
    rehearsal: bool
    channel: str | None
    contacted: int | None
    until: str | None
    erased: int


class Campaigns(BaseModel):
    """The newest campaigns first."""

    journey: str
    campaigns: list[CampaignAnswer]


class MemberAnswer(BaseModel):
    """One customer of a campaign; `place` is that on the list, from 1."""

    customer_id: str
    place: int
    arm: Arm
    churn_probability: float
    at_stake: float | None
    contact_profit: float | None


class MemberList(BaseModel):
    """A page of a campaign's members. `next_cursor` begins the next one; null: this is the last."""

    campaign: int
    items: list[MemberAnswer]
    next_cursor: str | None


class MemberQuery(BaseModel):
    """Which members, and the page wanted; a name that is none of these is an error."""

    model_config = ConfigDict(extra="forbid")

    arm: Arm | None = Field(default=None, description="Default: both.")
    limit: int = Field(50, description="Members per page.", ge=1, le=1000)
    cursor: str | None = Field(default=None, description="The next_cursor of the page before.", max_length=1000)
    format: str | None = Field(
        default=None,
        description=f"json (default), or a file of all who are to be contacted and may be now: {', '.join(NAMES)}.",
        pattern=f"^({'|'.join(('json', *NAMES))})$",
    )

    @model_validator(mode="after")
    def _whole_file(self) -> MemberQuery:
        given = self.model_fields_set - {"format"}
        if self.format not in (None, "json") and (given - {"arm"} or self.arm == "holdout"):
            raise ValueError("format alone: a file is the whole contact arm, without pages")
        return self


class OutcomeAnswer(BaseModel):
    """What a campaign saved against its hold-out, as far as that is known.

    `state` says how far it is: `over` means that the horizon is over and `journeycast outcome` has
    still to read what happened. `days_left` of the horizon are to come.
    """

    campaign: int
    state: Literal["not_sent", "running", "over", "measured"]
    verdict: Verdict
    why: str
    until: str | None
    days_left: float | None
    power: Power
    outcome: Outcome | None


CampaignId = Annotated[int, Path(ge=1, lt=2**31)]


@router.post("/v1/campaigns", status_code=201, responses=documented(400, 413, 415, 422, 503))
def create(state: Shared, response: Response, request: CampaignRequest) -> CampaignAnswer:
    """Cut the list by expected profit and set a random hold-out aside.

    Whoever must not be contacted or is snoozed is not on it. Nobody counts as contacted before the
    campaign is sent.
    """
    known_stage(state, request.filters.stage)
    proposal = Proposal(
        name=request.name,
        filters=request.filters.filters(),
        costs=request.costs.over(state.campaign),
        cut=request.cut(),
        holdout=request.holdout,
        seed=request.seed,
    )
    made = make(state.store, state.journey, proposal, now())
    response.headers["Location"] = f"/v1/campaigns/{made.id}"
    return _told(made)


@router.get("/v1/campaigns", responses=documented(422, 503))
def listed(state: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Campaigns:
    """The newest campaigns."""
    found = campaigns.newest(state.store, state.journey, limit)
    return Campaigns(journey=state.journey, campaigns=[_told(one) for one in found])


@router.get("/v1/campaigns/{campaign_id}", responses=documented(404, 422, 503))
def read(state: Shared, campaign_id: CampaignId) -> CampaignAnswer:
    """One campaign."""
    return _told(campaigns.read(state.store, state.journey, campaign_id))


@router.get(
    "/v1/campaigns/{campaign_id}/members", response_model=MemberList, responses=FILES | documented(404, 422, 503)
)
def members(state: Shared, campaign_id: CampaignId, query: Annotated[MemberQuery, Query()]) -> MemberList | Response:
    """Who is in which arm, the most profitable first; or, as a file, whom to contact.

    A file has everyone of the contact arm who may be contacted now, as lines of the at-risk list.
    """
    if query.format not in (None, "json"):
        lines = campaigns.contact_list(state.store, state.journey, campaign_id, now())
        return Response(render(lines, query.format), media_type=MEDIA_TYPES[query.format])
    found = campaigns.page(
        state.store, state.journey, campaign_id, arm=query.arm, limit=query.limit, after=query.cursor
    )
    items = [MemberAnswer(**member._asdict()) for member in found.items]
    return MemberList(campaign=campaign_id, items=items, next_cursor=found.next_cursor)


@router.post("/v1/campaigns/{campaign_id}/contacts", responses=documented(400, 404, 413, 415, 422, 503))
def send(state: Shared, campaign_id: CampaignId, sent: Sending) -> CampaignAnswer:
    """Mark a campaign as sent; sending it again changes nothing.

    Each contact of the contact arm is written to the event log. Those who opted out, were contacted
    meanwhile or are held out by another campaign are left out, and stay in their arm. The hold-out is
    suppressed until the horizon is over.
    """
    moment = now()
    at = moment if sent.time is None else instant(sent.time)
    done = sending.send(state.store, state.journey, campaign_id, at, sent.channel, moment, rehearsal=sent.rehearsal)
    return _told(done)


@router.get("/v1/campaigns/{campaign_id}/outcome", responses=documented(404, 422, 503))
def outcome(state: Shared, campaign_id: CampaignId) -> OutcomeAnswer:
    """What was saved against the hold-out, by intention to treat, with an interval; or why that cannot be told."""
    return outcome_of(campaigns.read(state.store, state.journey, campaign_id), now())


def outcome_of(campaign: Stored, instant: int) -> OutcomeAnswer:
    """What is known of a campaign's outcome at an instant."""
    power, measured = campaign.plan.power, campaign.outcome
    until = None if campaign.until is None else to_text(campaign.until)
    if measured is not None:
        found = Outcome.model_validate(measured)
        told: dict[str, Any] = {"state": "measured", "verdict": found.verdict, "why": found.why, "outcome": found}
        return OutcomeAnswer(campaign=campaign.id, until=until, days_left=0.0, power=power, **told)
    left = None if campaign.until is None else max(campaign.until - instant, 0) / DAY
    told = {"verdict": "cannot tell", "outcome": None}
    if left is None:
        told |= {"state": "not_sent", "why": "it was not sent yet"}
    elif left > 0:
        told |= {"state": "running", "why": f"{left:.1f} days of its horizon are still to come"}
    else:
        do = f"run journeycast outcome {campaign.journey} {campaign.id}"
        told |= {"state": "over", "why": f"its horizon is over, and what happened was not read yet: {do}"}
    return OutcomeAnswer(campaign=campaign.id, until=until, days_left=left, power=power, **told)


def _told(campaign: Stored) -> CampaignAnswer:
    same = (
        "id",
        "journey",
        "name",
        "filters",
        "holdout",
        "seed",
        "currency",
        "plan",
        "channel",
        "contacted",
        "rehearsal",
    )
    fields: dict[str, Any] = {name: getattr(campaign, name) for name in same}
    for name in ("cutoff", "created_at", "sent_at", "until"):
        moment = getattr(campaign, name)
        fields[name] = None if moment is None else to_text(moment)
    fields["erased"] = campaign.erased or 0
    fields |= campaign.costs.model_dump() | campaign.cut._asdict()
    return CampaignAnswer(**fields, run=campaign.run_id, horizon_days=campaign.horizon / DAY)
