"""The one answer: the same object over HTTP, in batch files and on the page."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from features.journey import Journey


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(_Part):
    """The present stage and the instant it began (ISO 8601, UTC); null: no known event yet."""

    name: str
    since: str | None


class Reason(_Part):
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
    probability times that; null where churn or CLTV has no answer.
    """

    customer_id: str
    journey: str
    cutoff: str
    scored_at: str
    stage: Stage | None
    churn: ChurnAnswer | None = None
    next_stage: NextStageAnswer | None = None
    cltv: CltvAnswer | None = None
    at_stake: float | None = None
    expected_loss: float | None = None
    warnings: list[str] = []


def unit_of(journey: Journey, unit: str) -> str:
    """The unit as shown: `money` becomes the journey's currency."""
    return journey.currency if unit == "money" else unit
