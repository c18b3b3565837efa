"""What is at stake with a customer on average, told from what was known before the test."""

from __future__ import annotations

import numpy as np
import pytest
from shop import read_shop

from features.instants import KEYS, microseconds
from features.labels import LABEL, label
from training.examples import examples
from training.stake import offer


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    journey, log = read_shop(tmp_path_factory.mktemp("shop"))
    return journey, log, examples(journey, log, ["churn"])["churn"]


def test_the_stake_is_what_those_who_stay_bring_more_than_those_who_churn(shop):
    journey, log, churn = shop
    until = churn.cutoffs[-1]
    found = offer(journey, log.events, churn, until)
    horizon = microseconds(journey.tasks.cltv.within)
    rows = churn.rows.filter(churn.at(tuple(c for c in churn.cutoffs if c + horizon <= until)))
    values, churned = (
        label(task, journey, log.events, rows).join(rows.select(KEYS), on=KEYS).sort(KEYS)[LABEL].to_numpy()
        for task in (journey.tasks.cltv, journey.tasks.churn)
    )
    assert found.campaign == journey.campaign
    assert found.stake == pytest.approx(np.mean(values[churned == 0]) - np.mean(values[churned == 1]))
    assert 0 < found.stake < np.mean(values[churned == 0])


def test_before_any_horizon_is_over_nothing_is_known_of_the_stake(shop):
    journey, log, churn = shop
    assert offer(journey, log.events, churn, churn.cutoffs[0]) is None


def test_without_a_task_of_money_there_is_no_stake(shop):
    journey, log, churn = shop
    counted = {"cltv": journey.tasks.cltv.model_copy(update={"sum": None, "count": "purchase"})}
    for tasks in (counted, {"cltv": None}):
        other = journey.model_copy(update={"tasks": journey.tasks.model_copy(update=tasks)})
        assert offer(other, log.events, churn, churn.cutoffs[-1]) is None
