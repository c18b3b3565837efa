"""Campaigns: planned on a list with its profit curve, made, sent, and compared with their hold-out."""

from __future__ import annotations

from secrets import randbits
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Request
from pydantic import ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from features.errors import InputError
from features.schema import DAY
from serving import campaigns, sending
from serving.asked import AskedCosts, AskedDraw, AskedFilters
from serving.campaigns import Stored
from serving.clock import now
from serving.exports import MEDIA_TYPES, render
from serving.pages import figures, lists
from serving.pages.at_risk import choices, said_of
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor, needs
from serving.pages.templating import page
from serving.planning import Plan
from serving.proposals import Proposal, create, draft
from serving.routes.at_risk import known_stage
from serving.routes.campaigns import outcome_of
from serving.state import Shared, State
from serving.store import NoScoresError
from serving.tables import Run

router = APIRouter(route_class=PageRoute, include_in_schema=False)

CampaignId = Annotated[int, Path(ge=1, lt=2**31)]
_LISTED = 200
_MEMBERS = 50


class _Planned(AskedFilters, AskedCosts, AskedDraw):
    """A campaign as the page's address says it: the list's filters, costs, and how it is cut and drawn."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = Field("Win back", min_length=1, max_length=200)
    sort: str | None = None  # of the list that the plan was begun on; a campaign is ranked by profit

    def proposal(self, state: State, seed: int) -> Proposal:
        """As the planner takes it."""
        known_stage(state, self.stage)
        return Proposal(self.name, self.filters(), self.over(state.campaign), self.cut(), self.holdout, seed)


@router.get("/campaigns")
def listed(request: Request, session: Visitor, state: Shared) -> Response:
    """Every campaign, the newest first."""
    found = campaigns.newest(state.store, state.journey, _LISTED)
    moment = now()
    rows = [{"campaign": one, "outcome": outcome_of(one, moment)} for one in found]
    return page(request, "campaigns.html", {"rows": rows}, here="campaigns")


@router.get("/campaigns/new")
def planned(request: Request, session: Visitor, state: Shared) -> Response:
    """A plan with its profit curve; nothing is stored."""
    said = lists.given(request.query_params)
    asked = _asked(said)
    seed = asked.seed if asked.seed is not None else randbits(53)
    try:
        made: tuple[Run, Plan] | None = draft(state.store, state.journey, asked.proposal(state, seed), now())
        refused = None
    except NoScoresError as error:
        return page(request, "empty.html", {"problem": error}, here="campaigns")
    except InputError as error:
        made, refused = None, error
    run, plan = made or (state.store.latest_run(state.journey), None)
    context: dict[str, Any] = {
        "asked": asked,
        "seed": seed,
        "costs": asked.over(state.campaign),
        "plan": plan,
        "run": run,
        "refused": refused,
        "filters": lists.filters_of(said),
        "chips": [said_of(name, value) for name, value in lists.filters_of(said)],
        "choices": choices(state, run) if run else {},
        "figures": {"curve": figures.curve(plan, run.currency)} if plan and run else {},
    }
    return page(request, "campaign_new.html", context, here="campaigns")


@router.post("/campaigns")
async def make(request: Request, session: Visitor, state: Shared) -> Response:
    """Make the campaign as planned."""
    needs(session, "ingest")
    form = await request.form()
    said = lists.given(form)  # type: ignore[arg-type]  # a form has no files here, and is read like a query
    said.pop("form_token", None)
    asked = _asked(said)
    proposal = asked.proposal(state, asked.seed if asked.seed is not None else randbits(53))
    made = create(state.store, state.journey, proposal, now())
    session.say(
        f"The campaign {made.name} is made: {made.plan.contacts:,} to contact, {made.plan.held_out:,} held out."
    )
    return RedirectResponse(f"/campaigns/{made.id}", 303)


@router.get("/campaigns/{campaign_id}")
def one(
    request: Request, session: Visitor, state: Shared, campaign_id: CampaignId, cursor: str | None = None
) -> Response:
    """A campaign: its plan, who is in it, and what became of it."""
    campaign = campaigns.read(state.store, state.journey, campaign_id)
    members = campaigns.page(state.store, state.journey, campaign_id, limit=_MEMBERS, after=cursor)
    outcome = outcome_of(campaign, now())
    context = {
        "campaign": campaign,
        "horizon_days": campaign.horizon / DAY,
        "members": members,
        "outcome": outcome,
        "chips": [said_of(name, value) for name, value in _filters(campaign)],
        "cursor": cursor,
        "figures": {"curve": figures.curve(campaign.plan, campaign.currency)},
    }
    return page(request, "campaign.html", context, here="campaigns")


@router.get("/campaigns/{campaign_id}/contacts.{form}")
def contacts(
    request: Request, session: Visitor, state: Shared, campaign_id: CampaignId, form: Literal["csv", "xlsx"]
) -> Response:
    """Whom to contact, as a file."""
    found = campaigns.contact_list(state.store, state.journey, campaign_id, now())
    disposition = f'attachment; filename="campaign-{campaign_id}-contacts.{form}"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Response(render(found, form), 200, headers, MEDIA_TYPES[form])


@router.post("/campaigns/{campaign_id}/sent")
def sent(
    request: Request,
    session: Visitor,
    state: Shared,
    campaign_id: CampaignId,
    channel: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Mark a campaign as sent now."""
    needs(session, "ingest")
    moment = now()
    done = sending.send(state.store, state.journey, campaign_id, moment, channel.strip() or None, moment)
    session.say(f"{done.contacted or 0:,} contacts are in the event log; the hold-out is left alone until the end.")
    return RedirectResponse(f"/campaigns/{campaign_id}", 303)


def _asked(said: dict[str, list[str]]) -> _Planned:
    values: dict[str, Any] = {name: found if name == "segment" else found[-1] for name, found in said.items()}
    return lists.checked(_Planned, values)


def _filters(campaign: Stored) -> list[tuple[str, str]]:
    """The stored filters, as an address has them."""
    found = []
    for name, value in campaign.filters.items():
        if name == "segments":
            found += [("segment", ":".join(pair)) for pair in value]
        else:
            found.append((name, str(value)))
    return found
