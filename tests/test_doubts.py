"""Warnings of what the test block speaks against."""

from __future__ import annotations

import numpy as np
import pytest

from training.assess import Assessment
from training.doubts import doubts, frequencies
from training.grades import Grade

GRADE = Grade("B", 0.1, 0.05, 0.15, "base rate", "")


def judged(predicted, came, customers=None, **metrics):
    size = len(came)
    whose = np.arange(size) if customers is None else customers
    return Assessment(metrics, {}, GRADE, np.asarray(came), predicted, np.ones(size), {}, whose)


def drawn(size, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.beta(2, 5, size)
    return true, (rng.random(size) < true).astype(float)


@pytest.mark.parametrize("size", [100, 1_000, 5_000])
def test_true_probabilities_hardly_ever_raise_a_doubt(size):
    found = [frequencies(judged(*drawn(size, seed))) for seed in range(50)]
    assert found.count("did not come true") <= 2
    assert found.count("came true") >= 45 or size == 100  # of a hundred customers it cannot be told


def test_probabilities_far_from_what_came_raise_one_in_words():
    true, came = drawn(2_000)
    (warning,) = doubts("churn", judged(np.minimum(1.6 * true, 0.99), came, ece=0.17), None)
    assert "lie 17.0 points apart on average over ten groups, more than chance explains" in warning


def test_few_customers_asked_often_tell_less_than_as_many_rows_of_others():
    true, came = drawn(150)
    many = [np.repeat(part, 20) for part in (np.minimum(1.35 * true, 0.99), came)]
    assert frequencies(judged(*many, customers=np.repeat(np.arange(150), 20))) == "cannot be told"
    assert frequencies(judged(*many)) == "did not come true"


def test_the_likeliest_stage_is_asked_whether_it_came():
    sure, rng = np.tile([0.9, 0.1], (1_000, 1)), np.random.default_rng(0)
    assert doubts("next_stage", judged(sure, (rng.random(1_000) < 0.1).astype(float), ece=0.0), None) == []
    (warning,) = doubts("next_stage", judged(sure, (rng.random(1_000) < 0.4).astype(float), ece=0.3), None)
    assert warning.startswith("the likeliest stage's probability and what came true lie 30.0 points apart")


def coverage(overall, *fifths, size=2_000):
    shares = {f"coverage_fifth_{number}": share for number, share in enumerate(fifths, 1)}
    return doubts("cltv", judged(np.ones(size), np.ones(size), coverage=overall, **shares), 0.8)


def test_intervals_that_hold_what_they_state_are_not_warned_of():
    assert coverage(0.78, 0.85, 0.8, 0.76, 0.75, 0.72) == []
    assert coverage(0.72, 0.9, 0.7, 0.7, 0.7, 0.6, size=60) == []  # chance does that to 60 customers


def test_intervals_that_hold_less_or_more_are_warned_of_overall_and_by_fifth():
    assert coverage(0.7, 0.9, 0.8, 0.72, 0.72, 0.4) == [
        "intervals that state 80 % held 70 % of the values",
        "intervals that state 80 % held 40 % in fifth 5 of the expected value (1 is the lowest)",
    ]
    assert len(coverage(0.9, 0.9, 0.9, 0.9, 0.9, 0.9)) == 1


def test_coverage_that_is_not_known_is_not_warned_of():
    assert coverage(float("nan"), *[float("nan")] * 5) == []
