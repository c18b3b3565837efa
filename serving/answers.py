"""The one answer: the same object over HTTP, in batch files and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from features.journey import Journey


class _Part(BaseModel):
    # JSON has no NaN and no infinity: a number that is not one must not get this far.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Stage(_Part):
    """The present stage and the instant it began (ISO 8601, UTC); null: no known event yet."""

    name: str
    since: str | None


@dataclass  # not a model, not frozen: a run makes a dozen a customer; not with slots, which orjson reads far slower
class Reason:
    """One reason code's effect on the prediction, in the prediction's own unit.

    `value` is the customer's value of the code's strongest feature, `usual` the customer's own
    usual value of it; null: unknown or not a number.
    """

    code: str
    text: str
    value: float | str | None
    usual: float | None
    unit: str
    effect: float
    direction: Literal["raises", "lowers"]
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)


class TaskAnswer(_Part):
    """What every task's answer carries; `base` + reasons' effects + `other_effects` = the prediction.

    A task the customer is not eligible for has `eligible: false`, `ineligible_reason` and no numbers.
    """

    eligible: bool
    ineligible_reason: str | None = None
    horizon_days: float
    base: float | None = None
    reasons: list[Reason] = []
    other_effects: float | None = None
    grade: Literal["A", "B", "C", "D"]
    model_version: int


class ChurnAnswer(TaskAnswer):
    """The calibrated probability of churn within the horizon and its rank (100: the highest)."""

    probability: float | None = None
    percentile: int | None = None
    risk: Literal["low", "medium", "high"] | None = None


class NextStageAnswer(TaskAnswer):
    """The likeliest stage at cutoff + horizon; base and reasons explain its probability."""

    stage: str | None = None
    probabilities: dict[str, float] | None = None


class CltvAnswer(TaskAnswer):
    """Expected value over the horizon with an interval of the stated coverage; null `low`: none."""

    expected: float | None = None
    low: float | None = None
    high: float | None = None
    coverage: float
    currency: str


class Answer(_Part):
    """Everything known of one customer at one cutoff.

    `at_stake` is the value if they stay minus the value if they churn, `expected_loss` the churn
    probability times that; null where churn or CLTV has no answer. `last_activity` is when the
    customer last did anything; null: never, or the run was made before answers said so.
    """

    customer_id: str
    journey: str
    cutoff: str
    scored_at: str
    stage: Stage | None
    last_activity: str | None = None
    churn: ChurnAnswer | None = None
    next_stage: NextStageAnswer | None = None
    cltv: CltvAnswer | None = None
    at_stake: float | None = None
    expected_loss: float | None = None
    warnings: list[str] = []


class AtRiskCustomer(_Part):
    """One line of the at-risk list: what ranks the customer, and the reason that raises churn most.

    Money is in `currency` (null: the journey has no CLTV). `cltv_expected`, `at_stake`, `expected_loss`
    and `contact_profit` are null where the CLTV task does not ask about the customer; `reason_code`
    and `reason` where no reason raises the probability. With `p` the churn probability, `S` what is at
    stake, `g` the accept rate, `d` the incentive's cost and `f` the contact's, `expected_loss` is
    `p S` and `contact_profit` is `p g (S - d) - (1 - p) d - f`. Instants are ISO 8601 in UTC.
    """

    customer_id: str
    stage: str | None
    risk: Literal["low", "medium", "high"]
    churn_probability: float
    churn_percentile: int | None
    cltv_expected: float | None
    at_stake: float | None
    expected_loss: float | None
    currency: str | None
    reason_code: str | None
    reason: str | None
    contact_profit: float | None = Field(None, description="The expected profit of contacting the customer.")
    contact_cost: float | None = Field(None, description="What a contact costs, as used here.")
    incentive_cost: float | None = Field(None, description="What the incentive costs, as used here.")
    accept_rate: float | None = Field(None, description="How many of those who would leave take it, as used here.")
    risk_before: Literal["low", "medium", "high"] | None = Field(
        None, description="The band before the present one; empty: none is known."
    )
    risk_since: str | None = Field(None, description="When scoring first gave the present band; empty: not known.")
    status: Literal["open", "assigned", "snoozed", "contacted", "won", "lost"] = Field(
        "open", description="How far the work on the customer is."
    )
    assignee: str | None = Field(None, description="Who works on the customer.")
    snoozed_until: str | None = Field(None, description="Until when the customer is to be left.")
    contacted_at: str | None = Field(None, description="When the customer was last contacted.")
    suppressed: Literal["opted_out", "contacted", "held_out"] | None = Field(
        None, description="Why the customer must not be contacted now; empty: may be."
    )
    note: str | None = Field(None, description="What was noted about the customer.")


def to_json(answer: Answer) -> bytes:
    """The answer as JSON text; a task's numbers and its `ineligible_reason` stand in place of one another."""
    return orjson.dumps(answer, default=_fields)


def _fields(part: Any) -> dict[str, Any]:
    if not isinstance(part, BaseModel):
        raise TypeError(f"{type(part).__name__} has no place in an answer")
    fields = part.__dict__
    if not isinstance(part, TaskAnswer):
        return fields
    if not part.eligible:
        return {name: value for name, value in fields.items() if value is not None}
    told = fields.copy()  # a loop over all but one takes three times as long, and a run asks for three a customer
    told.pop("ineligible_reason", None)
    return told


def unit_of(journey: Journey, unit: str) -> str:
    """The unit as shown: `money` becomes the journey's currency."""
    return journey.currency if unit == "money" else unit
