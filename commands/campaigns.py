"""Commands of campaigns: cut the list, contact, measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands import opened
from commands.listed import filters as listed
from commands.listed import needs_file
from commands.options import (
    AcceptOption,
    CampaignArgument,
    ChangedOption,
    ContactOption,
    FormatOption,
    IncentiveOption,
    JourneyArgument,
    MinimumOption,
    Output,
    ReasonOption,
    RestOption,
    RiskOption,
    SegmentOption,
    StageOption,
    StatusOption,
)  # fmt: skip
from commands.terminal import out, tell
from features.errors import InputError


def campaign(
    journey: JourneyArgument,
    *,
    name: Annotated[str, typer.Option(help="What the campaign is called.")] = "campaign",
    budget: Annotated[float | None, typer.Option(help="What the contacts may cost in sum.", min=0)] = None,
    capacity: Annotated[int | None, typer.Option(help="How many can be contacted.", min=1)] = None,
    holdout: Annotated[float, typer.Option(help="Share drawn at random and not contacted.", min=0, max=0.9)] = 0.1,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same customers.", min=0)] = None,
    risk: RiskOption = None,
    stage: StageOption = None,
    minimum_cltv: MinimumOption = None,
    reason: ReasonOption = None,
    segment: SegmentOption = None,
    status: StatusOption = None,
    changed_since: ChangedOption = None,
    contact_cost: ContactOption = None,
    incentive_cost: IncentiveOption = None,
    accept_rate: AcceptOption = None,
    rest_days: RestOption = None,
    output: Output = None,
    format: FormatOption = None,
) -> None:
    """Cut the list where it pays most, or at a budget or capacity; set a hold-out aside and store both.

    Example: journeycast campaign complete_journey --name autumn --capacity 500 -o contacts.csv
    """
    from serving import campaigns, exports, proposals, typed
    from serving.clock import now
    from serving.show_campaigns import campaign_text

    if budget is not None and capacity is not None:
        raise InputError("campaign", "both --budget and --capacity", "one of them, or neither: where it pays most")
    needs_file(format, output)
    if output is not None:
        exports.of_file(output, format)  # before the campaign is stored
    draw = typed.draw(name=name, budget=budget, capacity=capacity, holdout=holdout, seed=seed)
    definition, _ = opened.journey(journey)
    filters = listed(
        definition, risk=risk, stage=stage, minimum_cltv=minimum_cltv, reason=reason, segment=segment, status=status,
        changed_since=changed_since,
    )  # fmt: skip
    costs = typed.costs(
        definition.campaign, contact_cost=contact_cost, incentive_cost=incentive_cost, accept_rate=accept_rate,
        rest_days=rest_days,
    )  # fmt: skip
    proposal = proposals.Proposal(draw.name, filters, costs, draw.cut(), draw.holdout, draw.seed)
    with opened.store() as store:
        made = proposals.create(store, definition.journey, proposal, now())
        out.print(campaign_text(made))
        if output is not None:
            tell(exports.write(campaigns.contact_list(store, made.journey, made.id, now()), output, format))


def contacts(
    journey: JourneyArgument,
    campaign: CampaignArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.jsonl, .parquet, .csv or .xlsx.")],
    format: FormatOption = None,
) -> None:
    """Write whom a campaign is to contact: those of its contact arm who may be contacted now.

    Example: journeycast contacts complete_journey 1 --format hubspot -o contacts.csv
    """
    from serving import campaigns, exports
    from serving.clock import now

    exports.of_file(output, format)
    definition, _ = opened.journey(journey)
    with opened.store() as store:
        found = campaigns.contact_list(store, definition.journey, campaign, now())
        tell(exports.write(found, output, format))


def sent(
    journey: JourneyArgument,
    campaign: CampaignArgument,
    at: Annotated[str | None, typer.Option(help="When it was sent, such as 2024-06-01T09:00Z; default: now.")] = None,
    channel: Annotated[str | None, typer.Option(help="Where: email, phone ...")] = None,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Try an outcome on the past, from before the campaign; contacts nobody.")
    ] = False,
) -> None:
    """Mark a campaign as sent: its contacts enter the event log, its hold-out is left alone.

    Example: journeycast sent complete_journey 1 --channel email
    """
    from serving import sending, typed
    from serving.clock import now
    from serving.show_campaigns import sent_text

    definition, _ = opened.journey(journey)
    moment = now()
    instant = moment if at is None else typed.at("--at", at)
    with opened.store() as store:
        done = sending.send(store, definition.journey, campaign, instant, channel, moment, rehearsal=rehearsal)
        out.print(sent_text(done))


def outcome(journey: JourneyArgument, campaign: CampaignArgument) -> None:
    """Say what a campaign saved against its hold-out, from a log that reaches the end of its horizon.

    Example: journeycast outcome complete_journey 1
    """
    from serving import campaigns, outcomes
    from serving.clock import now
    from serving.show_campaigns import outcome_text

    resolved, log = opened.log(journey)
    with opened.store() as store:
        stored = campaigns.read(store, resolved.journey, campaign)
        found = outcomes.measure(store, stored, resolved, log, now())
        campaigns.write_outcome(store, stored.id, found.model_dump())
    out.print(outcome_text(found, stored.currency))
