"""What a campaign saved against its hold-out, by intention to treat.

Everyone drawn counts in the arm they were drawn for, whether they could be contacted or not: the draw
alone makes the arms comparable. Saved is what the hold-out lost more: its churn rate minus that of the
contact arm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from features.errors import InputError
from features.instants import mature
from features.journey import Journey
from features.labels import LABEL, Task, label
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, DAY, to_text
from serving.campaigns import CONTACT, HOLDOUT, Stored, of_campaign
from serving.proportions import COVERAGE, Estimate, difference, mean_difference, share
from serving.store import Store

Verdict = Literal["saved", "lost", "cannot tell"]
SMALLEST_ARM = 10  # fewer customers than this tell nothing, whatever an interval says


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Amount(_Part):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class ArmOutcome(_Part):
    """How many of an arm churned; `churn_rate` with Wilson's interval (null: nobody is in the arm)."""

    members: int
    churned: int
    churn_rate: Amount | None


class Outcome(_Part):
    """What a campaign changed within the horizon that began when it was sent.

    `difference` is the churn rate of the hold-out minus that of the contact arm (Newcombe's interval);
    positive: saved. `saved_customers` is that for the whole contact arm, `saved_value` the same counted
    in what was at stake, `more_value` what the contact arm brought more within the horizon; both by
    bootstrap, in the journey's currency, null where no value is known. Costs are not taken off.
    """

    verdict: Verdict
    why: str
    measured_at: str
    observed_until: str
    begins: str
    ends: str
    coverage: float = COVERAGE
    contact: ArmOutcome
    holdout: ArmOutcome
    difference: Amount | None
    saved_customers: Amount | None
    saved_value: Amount | None
    more_value: Amount | None


def outcome(campaign: Stored, members: pl.DataFrame, journey: Journey, log: EventLog, now: int) -> Outcome:
    """Compare the arms of a campaign in the events of its horizon.

    Parameters
    ----------
    campaign
        One that was sent.
    members
        Its members: customer_id, arm, at_stake (null: unknown).
    journey
        Resolved with `log`.

    Raises
    ------
    InputError
        Where the campaign was not sent, the log does not reach the end of its horizon yet, or the
        journey has no churn.
    """
    begins, ends = _span(campaign, journey)
    arms = {arm: _followed(members.filter(pl.col("arm") == arm), campaign, journey, log) for arm in (CONTACT, HOLDOUT)}
    contact, holdout = arms[CONTACT], arms[HOLDOUT]
    told = {arm: _arm(rows) for arm, rows in arms.items()}
    enough = min(contact.height, holdout.height) >= SMALLEST_ARM
    found = _difference(contact, holdout) if enough else None
    verdict, why = _verdict(found, told[CONTACT], told[HOLDOUT])
    return Outcome(
        verdict=verdict,
        why=why,
        measured_at=to_text(now),
        observed_until=to_text(journey.observed_until_microseconds),
        begins=to_text(begins),
        ends=to_text(ends),
        contact=told[CONTACT],
        holdout=told[HOLDOUT],
        difference=_amount(found),
        saved_customers=_amount(found, contact.height),
        saved_value=_amount(_of_amounts(holdout, contact, "lost", campaign.seed), contact.height),
        more_value=_amount(_of_amounts(contact, holdout, "value", campaign.seed), contact.height),
    )


def measure(store: Store, campaign: Stored, journey: Journey, log: EventLog, now: int) -> Outcome:
    """`outcome` of a campaign with the members that the store holds."""
    with store.transaction() as connection:
        rows = connection.execute(of_campaign(campaign.id)).all()
    columns = {name: [row._mapping[name] for row in rows] for name in (CUSTOMER, "arm", "at_stake")}
    kinds = {CUSTOMER: pl.String(), "arm": pl.String(), "at_stake": pl.Float64()}
    return outcome(campaign, pl.DataFrame(columns, schema=kinds), journey, log, now)


def _span(campaign: Stored, journey: Journey) -> tuple[int, int]:
    begins, ends = campaign.sent_at, campaign.until
    if begins is None or ends is None:
        raise InputError(
            f"campaign {campaign.id}", "it was not sent yet", "", f"journeycast sent {campaign.journey} {campaign.id}"
        )
    if journey.tasks.churn is None:
        raise InputError("tasks", "the journey says no longer what churn is", "tasks: churn")
    horizon = timedelta(microseconds=campaign.horizon)
    if not mature(begins, horizon, journey.observed_until_microseconds):
        left = (ends - journey.observed_until_microseconds) / DAY
        raise InputError(
            f"campaign {campaign.id}",
            f"cannot tell yet: the log reaches {to_text(journey.observed_until_microseconds)},"
            f" {left:.1f} days before the campaign's horizon ends",
            f"a log that reaches {to_text(ends)}",
            "measure it again with a newer log",
        )
    return begins, ends


def _followed(rows: pl.DataFrame, campaign: Stored, journey: Journey, log: EventLog) -> pl.DataFrame:
    """An arm with `churned`, `lost` (what was at stake of those who churned) and `value` (null: no CLTV)."""
    cutoffs = rows.with_columns(pl.lit(campaign.sent_at, dtype=pl.Int64).alias(CUTOFF))
    horizon = {"within": timedelta(microseconds=campaign.horizon)}
    churn, cltv = journey.tasks.churn, journey.tasks.cltv
    assert churn is not None  # noqa: S101 -- _span refuses it
    found = _labelled(churn.model_copy(update=horizon), "churned", journey, log, cutoffs)
    values = None if cltv is None else _labelled(cltv.model_copy(update=horizon), "value", journey, log, cutoffs)
    told = rows.join(found, on=CUSTOMER, how="left")
    told = told.join(values, on=CUSTOMER, how="left") if values is not None else told
    missing = [] if values is not None else [pl.lit(None, dtype=pl.Float64).alias("value")]
    return told.with_columns((pl.col("churned") * pl.col("at_stake")).alias("lost"), *missing)


def _labelled(task: Task, name: str, journey: Journey, log: EventLog, cutoffs: pl.DataFrame) -> pl.DataFrame:
    return label(task, journey, log.events, cutoffs).select(CUSTOMER, pl.col(LABEL).alias(name))


def _arm(rows: pl.DataFrame) -> ArmOutcome:
    churned = int(rows["churned"].sum())
    rate = _amount(share(churned, rows.height)) if rows.height else None
    return ArmOutcome(members=rows.height, churned=churned, churn_rate=rate)


def _difference(contact: pl.DataFrame, holdout: pl.DataFrame) -> Estimate:
    shares = [share(int(rows["churned"].sum()), rows.height) for rows in (holdout, contact)]
    return difference(*shares)


def _of_amounts(one: pl.DataFrame, other: pl.DataFrame, column: str, seed: int) -> Estimate | None:
    """The difference of two means over those whose amount is known; null: too few."""
    known = [rows[column].drop_nulls().to_numpy().astype(np.float64) for rows in (one, other)]
    return mean_difference(known[0], known[1], seed) if min(map(len, known)) >= SMALLEST_ARM else None


def _amount(found: Estimate | None, times: int = 1) -> Amount | None:
    return None if found is None else Amount(**{name: times * part for name, part in found._asdict().items()})


def _verdict(found: Estimate | None, contact: ArmOutcome, holdout: ArmOutcome) -> tuple[Verdict, str]:
    sizes = f"{contact.members:,} in the contact arm and {holdout.members:,} held out"
    if found is None:
        return "cannot tell", f"{sizes}: fewer than {SMALLEST_ARM} in an arm tell nothing"
    low, high = 100 * found.low, 100 * found.high
    rates = [100 * arm.churned / arm.members for arm in (contact, holdout)]
    said = f"churn was {rates[0]:.1f} % where contacted and {rates[1]:.1f} % in the hold-out"
    interval = f"a difference between {low:.1f} and {high:.1f} points"
    if low > 0:
        return "saved", f"{said}: {interval}"
    if high < 0:
        return "lost", f"{said}: {interval}, to the campaign's disadvantage"
    return "cannot tell", f"{said}; with {sizes}, that is {interval}, which may be none"
