"""Answers as text for a terminal: the at-risk list, one customer explained, what models reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from features.journey import Journey
from serving.answers import Answer, AtRiskCustomer, ChurnAnswer, CltvAnswer, NextStageAnswer
from serving.filters import Sort
from serving.reasons import shown

SHOWN_METRICS = {
    "churn": ("roc_auc", "pr_auc", "log_loss", "ece", "top_decile_lift", "profit"),
    "next_stage": ("accuracy", "top_2", "macro_f1", "log_loss", "ece"),
    "cltv": ("mae", "spearman", "gini", "bias", "tweedie_deviance"),
}
_LOSS = {"churn": "log_loss", "next_stage": "log_loss", "cltv": "tweedie_deviance"}
_RANKED_BY: dict[Sort, str] = {
    "expected_loss": "expected loss",
    "profit": "profit of a contact",
    "churn_probability": "churn risk",
}
_RULES = 4  # shown beside a model: the strongest; MLflow holds all


def at_risk_table(customers: Iterable[AtRiskCustomer], currency: str, sort: Sort = "expected_loss") -> Table:
    """The list, one customer a line, with the amount that ranks it; by churn risk, with the expected loss."""
    shown: Sort = "profit" if sort == "profit" else "expected_loss"
    table = Table(title=f"Customers with the largest {_RANKED_BY[sort]}", title_justify="left", header_style="bold")
    table.add_column("customer")
    table.add_column("stage")
    table.add_column("churn risk", justify="right")
    table.add_column(f"CLTV, {currency}", justify="right")
    table.add_column(f"{_RANKED_BY[shown]}, {currency}", justify="right")
    table.add_column("top reason")
    for one in customers:
        ranked_by = one.contact_profit if shown == "profit" else one.expected_loss
        table.add_row(
            escape(one.customer_id),
            escape(one.stage or "-"),
            f"{100 * one.churn_probability:.0f} % {one.risk}",
            "-" if one.cltv_expected is None else f"{one.cltv_expected:,.2f}",
            "-" if ranked_by is None else f"{ranked_by:,.2f}",
            escape(one.reason or "-"),
        )
    return table


def explanation(answer: Answer, journey: Journey) -> RenderableType:
    """One customer in full: every prediction and how its reasons add up to it."""
    stage = f"{answer.stage.name}, since {answer.stage.since}" if answer.stage else "no stage"
    parts: list[RenderableType] = [
        Text(f"Customer {answer.customer_id} at {answer.cutoff}: {stage}", style="bold"),
    ]
    for name, task in (("churn", answer.churn), ("next_stage", answer.next_stage), ("cltv", answer.cltv)):
        if task is not None:
            parts.append(Text(f"\n{_headline(name, task, answer)}"))
            parts += [_sum(task, journey)] if task.eligible and task.base is not None else []
    if answer.expected_loss is not None and answer.at_stake is not None:
        money = [shown(journey, "money", amount) for amount in (answer.at_stake, answer.expected_loss)]
        parts.append(Text(f"\nAt stake if they churn: {money[0]}; expected loss: {money[1]}"))
    parts += [Text(f"Warning: {warning}") for warning in answer.warnings]
    return Group(*parts)


def _headline(name: str, task: Any, answer: Answer) -> str:
    head = f"{name}, next {task.horizon_days:g} days (grade {task.grade}, version {task.model_version}): "
    if not task.eligible:
        return head + f"not asked, {task.ineligible_reason}"
    if isinstance(task, ChurnAnswer):
        return head + f"{100 * (task.probability or 0):.1f} %, {task.risk} risk, percentile {task.percentile}"
    if isinstance(task, NextStageAnswer):
        chances = [f"{stage} {100 * p:.0f} %" for stage, p in (task.probabilities or {}).items()]
        return head + ", ".join(chances)
    return head + _value(task)


def _value(task: CltvAnswer) -> str:
    expected, high = (f"{task.currency} {amount or 0:,.2f}" for amount in (task.expected, task.high))
    bounds = f"at most {high}" if task.low is None else f"{task.currency} {task.low:,.2f} to {high}"
    return f"{expected} expected; {bounds} with {100 * task.coverage:.0f} % coverage"


def _sum(task: Any, journey: Journey) -> RenderableType:
    """The sum that leads from the base to the prediction."""
    money = isinstance(task, CltvAnswer)
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column(justify="right")
    table.add_column()
    base = f"{task.base:,.2f}" if money else f"{100 * task.base:.1f} %"
    table.add_row(base, "base: where every customer starts")
    for reason in task.reasons:
        table.add_row(_effect(reason.effect, money), f"{escape(reason.text)}  [dim]{reason.code}[/dim]")
    table.add_row(_effect(task.other_effects or 0.0, money), "everything else")
    prediction = task.base + sum(reason.effect for reason in task.reasons) + (task.other_effects or 0.0)
    said = f"probability of {task.stage}" if isinstance(task, NextStageAnswer) else "prediction"
    table.add_row(f"{prediction:,.2f}" if money else f"{100 * prediction:.1f} %", f"= {said}", style="bold")
    return Padding(table, (0, 0, 0, 2))


def _effect(effect: float, money: bool) -> str:
    return f"{effect:+,.2f}" if money else f"{100 * effect:+.1f} %"


def metrics_table(task: str, about: dict[str, Any]) -> RenderableType:
    """A task's metrics beside those of every simple rule, and the grade in words."""
    names = SHOWN_METRICS[task]
    title = f"{task}, next {about['horizon_days']:g} days"
    table = Table(title=title, title_justify="left", caption_justify="left", header_style="bold")
    table.add_column("on the held-out cutoff", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    table.add_row("journeycast", *_cells(about["metrics"], names), style="bold")
    ranked = sorted(about["rules"].items(), key=lambda rule: float(rule[1][_LOSS[task]] or 0))
    for rule, found in ranked[:_RULES]:
        table.add_row(escape(rule), *_cells(found, names))
    if len(ranked) > _RULES:
        table.caption = f"{len(ranked) - _RULES} weaker rules are in MLflow"
    told = [f"Grade {about['grade']['words']}", *_intervals(about), *_stake(about)]
    told += [f"Tuning: {about['tuning']}"] if about.get("tuning") else []
    told += [f"Warning: {warning}" for warning in about.get("warnings", [])]
    return Group(table, Text("\n".join(told) + "\n"))


def _intervals(about: dict[str, Any]) -> list[str]:
    """How the intervals of CLTV held on the held-out cutoff, overall and by fifths."""
    found = about["metrics"]
    if about["intervals"] is None or found.get("coverage") is None:
        return []
    shares = (found[f"coverage_fifth_{fifth}"] for fifth in range(1, 6))
    fifths = ", ".join("-" if share is None else f"{100 * share:.0f} %" for share in shares)
    stated, held = (f"{100 * share:.0f} %" for share in (about["intervals"]["coverage"], found["coverage"]))
    return [f"Intervals of {stated} held {held}; by fifths of the expected value, lowest first: {fifths}"]


def _stake(about: dict[str, Any]) -> list[str]:
    """What the profit is counted with."""
    if (stake := about.get("stake")) is None:
        return []
    costs, currency = about["journey"]["campaign"], about["journey"]["currency"]
    prices = f"contact {costs['contact_cost']:g}, incentive {costs['incentive_cost']:g}"
    return [
        f"Profit: {currency} per customer asked about, at the journey's costs ({prices}, accept rate "
        f"{costs['accept_rate']:g}) and {stake:,.2f} at stake on average"
    ]


def _cells(found: dict[str, float | None], names: Sequence[str]) -> list[str]:
    values = [found.get(name) for name in names]
    return ["-" if value is None else f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}" for value in values]
