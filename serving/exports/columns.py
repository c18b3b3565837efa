"""The columns of an export: what kind of value each holds and what it means, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from serving.answers import AtRiskCustomer

Kind = Literal["text", "truth", "whole", "number", "probability", "money", "time"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: money is in the row's `currency`, probabilities are 0 to 1, times are UTC."""

    name: str
    kind: Kind
    means: str


_KNOWN = {
    column.name: column
    for column in (
        Column("customer_id", "text", "The customer's id, exactly as the event log has it."),
        Column("stage", "text", "Where the customer stands in the journey; empty: no known event yet."),
        Column("stage_since", "time", "When the present stage began."),
        Column("risk", "text", "The band of the churn probability: low, medium or high."),
        Column("churn_probability", "probability", "The calibrated probability of churn within the churn horizon."),
        Column("churn_percentile", "whole", "The rank of the churn probability among all customers; 100: the highest."),
        Column("churn_ineligible_reason", "text", "Why churn is not asked about the customer; empty: it is."),
        Column("next_stage", "text", "The likeliest stage one horizon later."),
        Column("next_stage_probability", "probability", "How likely that stage is."),
        Column("cltv_expected", "money", "The expected value over the CLTV horizon; empty: not asked."),
        Column("cltv_low", "money", "The lower end of the interval of that value; empty: there is none."),
        Column("cltv_high", "money", "The upper end of the interval of that value."),
        Column("at_stake", "money", "The value over the horizon if the customer stays, minus that if they churn."),
        Column("expected_loss", "money", "The churn probability times what is at stake."),
        Column("currency", "text", "The currency of all amounts; empty: the journey has no CLTV."),
        Column("reason_code", "text", "The code of the reason that raises the churn probability most."),
        Column("reason", "text", "That reason in words."),
        Column("second_reason", "text", "The reason that raises it most after that one; empty: none."),
        Column("last_activity", "time", "When the customer last did anything; empty: never, or not known."),
        Column("suppressed", "text", "Why not to contact now: opted_out, contacted or held_out; empty: may be."),
        Column("cutoff", "time", "The instant before which everything known of the customer was used."),
        Column("scored_at", "time", "When the customer was scored."),
    )
}
_KINDS: dict[str, Kind] = {"bool": "truth", "int": "whole", "float": "number"}
_KINDS_BY_NAME: dict[str, Kind] = {  # what the type alone does not tell
    **dict.fromkeys(("contact_profit", "contact_cost", "incentive_cost"), "money"),
    **dict.fromkeys(("risk_since", "snoozed_until", "contacted_at"), "time"),
    "accept_rate": "probability",
}

OF_A_RUN = tuple(
    _KNOWN[name]
    for name in (
        *("customer_id", "stage", "stage_since", "risk", "churn_probability", "churn_percentile"),
        *("churn_ineligible_reason", "next_stage", "next_stage_probability", "cltv_expected", "cltv_low", "cltv_high"),
        *("at_stake", "expected_loss", "currency", "reason_code", "reason", "suppressed"),
        *("cutoff", "scored_at"),
    )
)


def of_the_list() -> tuple[Column, ...]:
    """The columns of the at-risk list, in the order of its answers."""
    return tuple(_of_field(name, field.annotation) for name, field in AtRiskCustomer.model_fields.items())


def of_the_lines() -> tuple[Column, ...]:
    """The columns of the list as the page shows it: those of its answers, and what stands beside them there."""
    beside = {"cltv_expected": ("cltv_low", "cltv_high"), "reason": ("second_reason", "last_activity")}
    return tuple(
        each for column in of_the_list() for each in (column, *(_KNOWN[n] for n in beside.get(column.name, ())))
    )


def _of_field(name: str, annotation: Any) -> Column:
    """The column as described above, or as the field's type and description tell."""
    if name in _KNOWN:
        return _KNOWN[name]
    alone = str(getattr(annotation, "__name__", annotation)).replace("| None", "").strip()
    kind = _KINDS_BY_NAME.get(name) or _KINDS.get(alone, "text")
    return Column(name, kind, AtRiskCustomer.model_fields[name].description or "")
