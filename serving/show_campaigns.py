"""Campaigns as text for a terminal: the plan, what became of it, one customer on the worklist."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from features.schema import to_text
from serving.campaigns import Stored
from serving.outcomes import Amount, Outcome
from serving.planning import Point
from serving.worklist import Entry


def campaign_text(campaign: Stored) -> RenderableType:
    """The plan of a campaign: how long the list is, what it brings, what its hold-out will tell."""
    plan, currency = campaign.plan, campaign.currency or ""
    head = f"Campaign {campaign.id}, {campaign.name}: {plan.contacts:,} to contact, {plan.held_out:,} held out"
    cut = "most profitable length"
    if campaign.cut.budget is not None:
        cut = f"budget of {currency} {campaign.cut.budget:,.2f}"
    elif campaign.cut.capacity is not None:
        cut = f"capacity of {campaign.cut.capacity:,}"
    table = Table(title=f"Cut at the {cut}", title_justify="left", header_style="bold")
    for name in ("length", f"expected profit, {currency}", f"expected cost, {currency}", ""):
        table.add_column(name, justify="right")
    longest = 2 * max(plan.length, plan.best.length if plan.best else 0)
    for point in plan.curve:
        if point.length <= longest:
            table.add_row(*_point(point), _mark(point.length, plan.length, plan.best))
    told = [f"The contacts are expected to cost {currency} {plan.expected_cost:,.2f}" + _brings(campaign)]
    told += [f"Hold-out: {plan.power.words}", *(f"Warning: {warning}" for warning in plan.warnings)]
    return Group(Text(head, style="bold"), table, *(Text(line) for line in told))


def _point(point: Point) -> tuple[str, str, str]:
    profit = "-" if point.expected_profit is None else f"{point.expected_profit:,.2f}"
    return f"{point.length:,}", profit, f"{point.expected_cost:,.2f}"


def _mark(length: int, cut: int, best: Point | None) -> str:
    return " ".join(
        word for word, holds in (("best", best is not None and length == best.length), ("cut", length == cut)) if holds
    )


def _brings(campaign: Stored) -> str:
    plan, currency = campaign.plan, campaign.currency
    if plan.expected_profit is None or plan.forgone_profit is None:
        return ""
    forgone = f"the hold-out forgoes {currency} {plan.forgone_profit:,.2f}"
    return f" and to bring a profit of {currency} {plan.expected_profit:,.2f}; {forgone}"


def sent_text(campaign: Stored) -> RenderableType:
    """What marking a campaign as sent did."""
    if campaign.sent_at is None or campaign.until is None:
        return Text(f"Campaign {campaign.id} was not sent")
    if campaign.rehearsal:
        said = "nobody was contacted or suppressed, and its outcome will prove nothing"
        return Text(f"Campaign {campaign.id} was rehearsed as of {to_text(campaign.sent_at)}: {said}")
    said = f"{campaign.contacted:,} of {campaign.plan.contacts:,} contacts are in the event log"
    until = f"the outcome can be read from {to_text(campaign.until)} on"
    return Text(f"Campaign {campaign.id} was sent at {to_text(campaign.sent_at)}: {said}; {until}")


def outcome_text(found: Outcome, currency: str | None) -> RenderableType:
    """What a campaign saved, arm by arm."""
    table = Table(title=f"{found.begins} to {found.ends}", title_justify="left", header_style="bold")
    for name in ("arm", "customers", "churned", "churn rate, 95 %"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name, arm in (("contact", found.contact), ("hold-out", found.holdout)):
        rate = "-" if arm.churn_rate is None else _percent(arm.churn_rate)
        table.add_row(name, f"{arm.members:,}", f"{arm.churned:,}", rate)
    amounts = (
        ("customers saved", found.saved_customers, ""),
        ("what was at stake of them", found.saved_value, currency or ""),
        ("brought more within the horizon", found.more_value, currency or ""),
    )
    lines = [f"{name}: {_interval(amount, unit)}" for name, amount, unit in amounts if amount is not None]
    return Group(Text(f"{found.verdict}: {found.why}", style="bold"), table, *(Text(line) for line in lines))


def _percent(amount: Amount) -> str:
    return f"{100 * amount.value:.1f} % ({100 * amount.low:.1f} to {100 * amount.high:.1f})"


def _interval(amount: Amount, unit: str) -> str:
    space = f"{unit} " if unit else ""
    return f"{space}{amount.value:,.1f} ({amount.low:,.1f} to {amount.high:,.1f})"


def entry_text(entry: Entry) -> RenderableType:
    """One customer on the worklist."""
    known = entry.model_dump(exclude={"customer_id", "status"}, exclude_none=True)
    lines = [f"  {name}: {value}" for name, value in known.items() if value is not False]
    return Text("\n".join([f"{entry.customer_id}: {entry.status}", *lines]))
