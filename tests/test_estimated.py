"""What probabilities themselves lead to expect."""

import numpy as np
import pytest

from training.assess import metrics
from training.estimated import CONDITIONS, estimated


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "brier", "churn_rate"])
def test_of_calibrated_chances_what_happens_lies_within_the_interval(name):
    rng = np.random.default_rng(3)
    inside = 0
    for seed in range(40):
        chances = rng.beta(0.8, 2, 400)
        happened = (rng.random(400) < chances).astype(float)
        found = estimated("churn", chances, seed)[name]
        reached = (metrics("churn", happened, chances, []) | {"churn_rate": happened.mean()})[name]
        inside += found.low <= reached <= found.high
    assert inside >= 34  # of 40 at 95 %: fewer than 34 come once in 10,000 times


@pytest.mark.parametrize("name", ["log_loss", "brier", "churn_rate"])
def test_of_chances_that_say_too_little_the_estimate_is_wrong_as_its_conditions_say(name):
    rng = np.random.default_rng(3)
    chances = rng.beta(0.8, 4, 1000)
    happened = (rng.random(1000) < np.minimum(1, 2 * chances)).astype(float)
    found = estimated("churn", chances)[name]
    reached = (metrics("churn", happened, chances, []) | {"churn_rate": happened.mean()})[name]
    assert reached > found.high > found.low
    assert CONDITIONS.startswith("the probabilities are calibrated")


def test_stages_are_drawn_as_often_as_their_chances_say():
    chances = np.tile([0.7, 0.2, 0.1], (500, 1))
    found = estimated("next_stage", chances)["accuracy"]
    assert found.low < 0.7 < found.high
    assert found.value == pytest.approx(0.7, abs=0.01)


def test_of_values_nothing_is_estimated():
    assert estimated("cltv", np.ones(50)) == {}
