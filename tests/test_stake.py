"""What is at stake with each customer, told from what was known before the test."""

from __future__ import annotations

import numpy as np
import pytest
from shop import read_shop

from features.instants import KEYS, microseconds
from training.examples import examples
from training.stake import offer


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    journey, log = read_shop(tmp_path_factory.mktemp("shop"))
    return journey, log, examples(journey, log, ["churn"])["churn"]


def value_between(log, journey, customer, start, end):
    """The money of the journey's CLTV event, added up by hand."""
    rows = log.events.filter(customer_id=customer, event=journey.tasks.cltv.event).rows(named=True)
    return sum(row["value"] or 0.0 for row in rows if start <= row["time"] < end) * journey.tasks.cltv.margin


def test_the_stake_is_what_stayers_who_spent_alike_bring_less_what_churners_bring_too(shop):
    journey, log, churn = shop
    until, asked = churn.cutoffs[-1], churn.rows.filter(churn.at(churn.cutoffs[-1:])).select(KEYS)
    horizon = microseconds(journey.tasks.cltv.within)
    mature = churn.at(tuple(c for c in churn.cutoffs if c + horizon <= until))
    known = [
        (value_between(log, journey, one, at - horizon, at), value_between(log, journey, one, at, at + horizon), gone)
        for (one, at), gone in zip(churn.rows.filter(mature).select(KEYS).rows(), churn.labels[mature], strict=True)
    ]
    edges = np.unique(np.quantile([spent for spent, _, _ in known], [0.2, 0.4, 0.6, 0.8]))

    def brings(spent):
        group = np.searchsorted(edges, spent, side="right")
        alike = [v for s, v, gone in known if not gone and np.searchsorted(edges, s, side="right") == group]
        return np.mean(alike if len(alike) >= 20 else [v for _, v, gone in known if not gone])

    share = sum(v for _, v, gone in known if gone) / sum(brings(s) for s, _, gone in known if gone)
    wanted = [
        brings(value_between(log, journey, one, at - horizon, at)) * (1 - share) for one, at in asked.head(40).rows()
    ]
    found = offer(journey, log.events, churn, until, asked)
    assert found.campaign == journey.campaign
    assert found.stake[:40] == pytest.approx(wanted)
    assert len(set(found.stake)) > 2  # a customer's own


def test_before_any_horizon_is_over_nothing_is_known_of_the_stake(shop):
    journey, log, churn = shop
    assert offer(journey, log.events, churn, churn.cutoffs[0], churn.rows) is None


def test_without_a_task_of_money_there_is_no_stake(shop):
    journey, log, churn = shop
    counted = {"cltv": journey.tasks.cltv.model_copy(update={"sum": None, "count": "purchase"})}
    for tasks in (counted, {"cltv": None}):
        other = journey.model_copy(update={"tasks": journey.tasks.model_copy(update=tasks)})
        assert offer(other, log.events, churn, churn.cutoffs[-1], churn.rows) is None
