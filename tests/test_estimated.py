"""What probabilities themselves lead to expect."""

import numpy as np
import pytest

from training.assess import metrics
from training.estimated import CONDITIONS, estimated


def test_of_calibrated_chances_what_happens_lies_within_the_intervals():
    rng = np.random.default_rng(3)
    inside = dict.fromkeys(("roc_auc", "log_loss", "brier", "churn_rate", "ece", "top_decile_lift"), 0)
    for seed in range(40):
        chances = rng.beta(0.8, 2, 400)
        happened = (rng.random(400) < chances).astype(float)
        found = estimated("churn", chances, seed)
        reached = metrics("churn", happened, chances, []) | {"churn_rate": happened.mean()}
        for name in inside:
            inside[name] += found[name].low <= reached[name] <= found[name].high
    assert min(inside.values()) >= 34  # of 40 at 95 %: fewer than 34 come once in 10,000 times


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


def test_the_ece_of_right_chances_is_that_of_the_metric_and_falls_with_the_number_of_customers():
    few, many = (estimated("next_stage", np.tile([0.7, 0.2, 0.1], (size, 1)))["ece"] for size in (100, 10_000))
    assert 0 <= many.low < many.value < many.high < 0.011
    assert few.value == pytest.approx(np.sqrt(0.7 * 0.3 / 100 * 2 / np.pi), rel=0.15)  # |p - share| of equal chances


def test_chances_that_are_wrong_have_an_ece_above_its_interval():
    rng = np.random.default_rng(5)
    right = rng.beta(1, 3, 2_000)
    happened = (rng.random(2_000) < right).astype(float)
    bold = right**2 / (right**2 + (1 - right) ** 2)
    reached = {name: metrics("churn", happened, p, [])["ece"] for name, p in (("right", right), ("bold", bold))}
    assert estimated("churn", right)["ece"].low <= reached["right"] <= estimated("churn", right)["ece"].high
    assert reached["bold"] > 2 * estimated("churn", bold)["ece"].high


def test_of_values_nothing_is_estimated():
    assert estimated("cltv", np.ones(50)) == {}
