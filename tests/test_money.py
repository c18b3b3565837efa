import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.journey import Campaign
from training.money import at_stake, contact_profit, expected_loss

probabilities = st.floats(0.001, 0.999)
shares = st.floats(0, 1)
values = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


def test_all_value_is_at_stake_where_the_churned_bring_nothing():
    assert at_stake(69.0, 0.31, 0.0) == pytest.approx(100.0)


def test_nothing_is_at_stake_where_the_churned_bring_as_much():
    assert at_stake(100.0, 0.31, 1.0) == 0.0


def test_amounts_of_many_customers_come_as_an_array():
    stakes = at_stake([50.0, 90.0], [0.5, 0.1], 0.0)
    assert stakes.tolist() == pytest.approx([100.0, 100.0])
    assert expected_loss([0.5, 0.1], stakes).tolist() == pytest.approx([50.0, 10.0])


def test_an_unknown_value_stays_unknown():
    assert math.isnan(expected_loss(0.3, at_stake(math.nan, 0.3, 0.2)))


def test_the_stake_of_a_customer_certain_to_leave_and_bring_nothing_is_unknown():
    assert math.isnan(at_stake(0.0, 1.0, 0.0))


@given(values, probabilities, shares)
def test_the_expected_loss_is_the_value_if_all_stayed_minus_the_expected_value(stays, probability, share):
    expected = (1 - probability) * stays + probability * share * stays
    loss = expected_loss(probability, at_stake(expected, probability, share))
    assert loss == pytest.approx(stays - expected, rel=1e-6, abs=1e-9 * max(1.0, abs(stays)))


@given(values, probabilities, shares)
def test_what_is_at_stake_is_the_value_if_they_stay_minus_that_if_they_churn(stays, probability, share):
    expected = (1 - probability) * stays + probability * share * stays
    assert at_stake(expected, probability, share) == pytest.approx(stays - share * stays, rel=1e-6, abs=1e-9)


def test_a_contact_pays_by_hand():
    campaign = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2)
    # of 100 contacted 50 would leave, 10 of them accept and bring 95 each; 50 take 5 for nothing; 100 contacts
    assert contact_profit(0.5, 100.0, campaign) == pytest.approx((10 * 95 - 50 * 5 - 100) / 100)


@given(probabilities, probabilities, st.floats(0, 1e5), st.floats(0, 50), st.floats(0, 50), st.floats(0.01, 1))
def test_a_contact_pays_more_the_likelier_the_customer_leaves_if_the_stake_is_above_the_incentive(
    one, other, stake, contact, incentive, rate
):
    assume(stake >= incentive)
    campaign = Campaign(contact_cost=contact, incentive_cost=incentive, accept_rate=rate)
    low, high = sorted((one, other))
    assert contact_profit(low, stake, campaign) <= contact_profit(high, stake, campaign) + 1e-9


@given(probabilities, st.floats(0.01, 1))
def test_a_contact_that_costs_nothing_wins_the_accepted_share_of_the_expected_loss(probability, rate):
    campaign = Campaign(contact_cost=0.0, incentive_cost=0.0, accept_rate=rate)
    assert contact_profit(probability, 80.0, campaign) == pytest.approx(rate * expected_loss(probability, 80.0))
