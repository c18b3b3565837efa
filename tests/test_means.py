"""Means of skewed amounts and their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from serving.means import mean

TRUTH = 0.4 * np.exp(4 + 1.2**2 / 2)


def spent(rng: np.random.Generator, customers: int) -> np.ndarray:
    """Six of ten spend nothing, a few a lot."""
    return np.where(rng.random(customers) < 0.6, 0.0, rng.lognormal(4, 1.2, customers))


@pytest.mark.parametrize("customers", [30, 100, 6_000])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(customers):
    rng = np.random.default_rng(0)
    found = [mean(spent(rng, customers)) for _ in range(150)]
    held = np.mean([one.low <= TRUTH <= one.high for one in found])
    assert 0.88 <= held <= 0.99


def test_rows_of_one_customer_count_as_one():
    values = spent(np.random.default_rng(1), 200)
    once, often = mean(values), mean(5 * values, np.full(200, 5))
    assert once.value == pytest.approx(often.value)
    assert often.high - often.low == pytest.approx(once.high - once.low)


def test_amounts_that_are_all_alike_have_no_interval():
    assert mean(np.full(40, 7.0)) == (7.0, 7.0, 7.0)
