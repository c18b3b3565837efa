"""The list that the best simple rules would make: what a business has without models."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import polars as pl

from features.journey import Journey
from features.labels import eligible, population, tasks
from features.log import EventLog
from features.schema import CONTACTED, CUSTOMER, CUTOFF, DAY, EVENT, TIME
from serving.cut import held_out
from training.hindsight import rule_answers

By: TypeAlias = Literal["loss", "worth", "value"]
WORTH = 1 / 3  # of the customers, those with the largest value


def askable(journey: Journey, log: EventLog, holdout: float = 0.0, seed: int = 1) -> pl.DataFrame:
    """Whom a list may name today: `customer_id` and `cutoff`, by id.

    Those the churn task asks about and who were not contacted within the journey's rest days; `holdout` and
    `seed` leave out whom they hold out of a campaign.
    """
    now, churn = journey.observed_until_microseconds, tasks(journey)["churn"]
    everyone = population(log.events, [now])
    asked = eligible(churn, log.events, everyone).filter("eligible").select(CUSTOMER, CUTOFF)
    rested = (pl.col(EVENT) == CONTACTED) & (pl.col(TIME) > now - journey.campaign.rest_days * DAY)
    asked = asked.join(log.events.filter(rested), on=CUSTOMER, how="anti").sort(CUSTOMER)
    return asked.filter(pl.Series(~held_out(asked[CUSTOMER].to_list(), seed, holdout), dtype=pl.Boolean))


def rule_list(
    journey: Journey, log: EventLog, capacity: int, by: By = "loss", holdout: float = 0.0, seed: int = 1
) -> list[str]:
    """The customers with the largest churn probability times value, each by the rule that was best of late.

    `loss`: of everyone; `worth`: of the most valuable third; `value`: the largest value alone. Of those who may be
    named; the hold-out comes besides the capacity.
    """
    asked = askable(journey, log, holdout, seed)
    value = rule_answers(journey, log, "cltv", asked) if journey.tasks.cltv else np.ones(len(asked))
    if by == "worth":
        kept = value >= np.quantile(value, 1 - WORTH)
        asked, value = asked.filter(pl.Series(kept)), value[kept]
    chance = np.ones(len(asked)) if by == "value" else rule_answers(journey, log, "churn", asked)
    order = np.argsort(-chance * value, kind="stable")[:capacity]
    return [str(name) for name in asked[CUSTOMER].gather(order)]
