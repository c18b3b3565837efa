"""The list that the best simple rules would make: what a business has without models."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.journey import Journey
from features.labels import eligible, population, tasks
from features.log import EventLog
from features.schema import CONTACTED, CUSTOMER, CUTOFF, DAY, EVENT, TIME
from training.hindsight import rule_answers


def rule_list(journey: Journey, log: EventLog, capacity: int) -> list[str]:
    """The customers with the largest churn probability times value, each by the rule that was best of late.

    Of those the churn task asks about and who were not contacted within the journey's rest days.
    """
    now, churn = journey.observed_until_microseconds, tasks(journey)["churn"]
    everyone = population(log.events, [now])
    asked = eligible(churn, log.events, everyone).filter("eligible").select(CUSTOMER, CUTOFF)
    rested = (pl.col(EVENT) == CONTACTED) & (pl.col(TIME) > now - journey.campaign.rest_days * DAY)
    asked = asked.join(log.events.filter(rested), on=CUSTOMER, how="anti").sort(CUSTOMER)
    chance = rule_answers(journey, log, "churn", asked)
    value = rule_answers(journey, log, "cltv", asked) if journey.tasks.cltv else np.ones(len(asked))
    order = np.argsort(-chance * value, kind="stable")[:capacity]
    return [str(name) for name in asked[CUSTOMER].gather(order)]
