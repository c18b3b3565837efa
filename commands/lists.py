"""Commands of the at-risk list and the work on it."""

from __future__ import annotations

from typing import Annotated

import typer

from commands import opened
from commands.listed import filters as listed
from commands.listed import needs_file
from commands.options import (
    AcceptOption,
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


def at_risk(
    journey: JourneyArgument,
    *,
    top: Annotated[int | None, typer.Option(help="How many customers; default: 10.", min=1)] = None,
    budget: Annotated[float | None, typer.Option(help="As many as can be contacted for this.", min=0)] = None,
    sort: Annotated[
        str | None, typer.Option(help="expected_loss, profit (with --budget) or churn_probability.")
    ] = None,
    risk: RiskOption = None,
    stage: StageOption = None,
    minimum_cltv: MinimumOption = None,
    reason: ReasonOption = None,
    segment: SegmentOption = None,
    status: StatusOption = None,
    changed_since: ChangedOption = None,
    include: Annotated[list[str] | None, typer.Option(help="suppressed, snoozed; repeatable.")] = None,
    contact_cost: ContactOption = None,
    incentive_cost: IncentiveOption = None,
    accept_rate: AcceptOption = None,
    rest_days: RestOption = None,
    output: Output = None,
    format: FormatOption = None,
) -> None:
    """List whom to contact first, with the top reason: by expected loss, or by the profit of a contact.

    Whoever opted out, was contacted lately or is snoozed is left out.

    Example: journeycast at-risk complete_journey --top 100 -o list.csv
    """
    from serving import exports, typed
    from serving.clock import now
    from serving.proposals import affordable
    from serving.show import at_risk_table

    if top is not None and budget is not None:
        raise InputError("at-risk", "both --top and --budget", "one of them")
    needs_file(format, output)
    typed.draw(name="list", budget=budget, capacity=top)
    definition, _ = opened.journey(journey)
    filters = listed(
        definition, risk=risk, stage=stage, minimum_cltv=minimum_cltv, reason=reason, segment=segment, status=status,
        changed_since=changed_since, include=include,
    )  # fmt: skip
    costs = typed.costs(
        definition.campaign, contact_cost=contact_cost, incentive_cost=incentive_cost, accept_rate=accept_rate,
        rest_days=rest_days,
    )  # fmt: skip
    wanted = typed.wanted(filters, sort or ("profit" if budget is not None else "expected_loss"), costs)
    with opened.store() as store:
        length = top or 10 if budget is None else affordable(store, definition.journey, wanted, budget, now())
        found = store.at_risk(definition.journey, wanted, limit=length)
    if output is None:
        out.print(at_risk_table(found.items, definition.currency, wanted.sort))
        return
    tell(exports.write(found.items, output, format, found.run))


def worklist(
    journey: JourneyArgument,
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    *,
    status: Annotated[str | None, typer.Option(help="open, assigned, snoozed, contacted, won or lost.")] = None,
    assignee: Annotated[str | None, typer.Option(help="Who works on the customer.")] = None,
    note: Annotated[str | None, typer.Option(help="What to know of the customer.")] = None,
    snoozed_until: Annotated[str | None, typer.Option(help="Leave the customer until then.")] = None,
    opted_out: Annotated[bool | None, typer.Option(help="Whether the customer must never be contacted.")] = None,
    channel: Annotated[str | None, typer.Option(help="Where the contact was: email, phone ...")] = None,
    contacted_at: Annotated[str | None, typer.Option(help="When the contact was; default: now.")] = None,
    override: Annotated[
        bool | None, typer.Option("--override", help="The contact was, though the customer opted out or is held out.")
    ] = None,
) -> None:
    """Show or change how far the work on a customer is; a contact enters the event log.

    Example: journeycast worklist complete_journey 700 --status contacted --channel phone
    """
    from serving import typed
    from serving import worklist as work
    from serving.clock import now
    from serving.show_campaigns import entry_text
    from serving.suppression import Moment

    definition, _ = opened.journey(journey)
    change = typed.change(
        status=status, assignee=assignee, note=note, snoozed_until=snoozed_until, opted_out=opted_out,
        channel=channel, contacted_at=contacted_at, override=override,
    )  # fmt: skip
    moment = Moment(now(), definition.campaign.rest_days)
    with opened.store() as store:
        if change:
            found = work.change(store, definition.journey, customer, change, moment)
        else:
            found = work.entry(store, definition.journey, customer, moment)
    out.print(entry_text(found))
