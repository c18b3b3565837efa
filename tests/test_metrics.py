from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from features.journey import Campaign
from training.metrics import (
    VALUE_FLOOR,
    churn_metrics,
    cltv_metrics,
    equal_mass_bins,
    interval_metrics,
    log_losses,
    next_stage_metrics,
    normalised_gini,
    profit_metrics,
    tied_means,
    top_share,
    tweedie_deviances,
)
from training.money import Offer

RNG = np.random.default_rng(7)
P = RNG.uniform(0.01, 0.99, 400)
Y = (RNG.uniform(size=400) < P).astype(float)
CLASSES = ["new", "retention", "lapsed", "lost"]
P4 = RNG.dirichlet(np.ones(4), 300)
Y4 = np.array([RNG.choice(4, p=row) for row in P4])
EXPECTED = RNG.gamma(2.0, 30.0, 500)
VALUE = np.where(RNG.uniform(size=500) < 0.4, 0.0, EXPECTED * RNG.gamma(2.0, 0.8, 500))


def test_the_mean_of_the_log_losses_is_that_of_scikit_learn() -> None:
    assert np.mean(log_losses(Y, P)) == pytest.approx(sk.log_loss(Y, P), rel=1e-12)
    assert np.mean(log_losses(Y4, P4)) == pytest.approx(sk.log_loss(Y4, P4), rel=1e-12)


def test_a_certain_and_wrong_probability_has_a_large_and_finite_log_loss() -> None:
    assert log_losses(np.array([1, 0]), np.array([0.0, 1.0])) == pytest.approx([36.04, 36.04], abs=0.01)
    assert log_losses(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx([36.04], abs=0.01)


@pytest.mark.parametrize("power", [1.1, 1.5, 1.9])
def test_the_mean_of_the_tweedie_deviances_is_that_of_scikit_learn(power: float) -> None:
    ours = np.mean(tweedie_deviances(VALUE, EXPECTED, power))
    assert ours == pytest.approx(sk.mean_tweedie_deviance(VALUE, EXPECTED, power=power), rel=1e-9)


def test_tweedie_reads_small_expectations_as_the_floor_and_refunds_as_nothing() -> None:
    found = tweedie_deviances(np.array([5.0, -5.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(tweedie_deviances(np.array([5.0, 0.0]), np.array([VALUE_FLOOR, 1.0])))


def test_the_tweedie_deviance_of_the_truth_is_nothing() -> None:
    assert np.all(tweedie_deviances(EXPECTED, EXPECTED) < 1e-12)
    assert np.all(tweedie_deviances(EXPECTED, EXPECTED) >= 0)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.0])
def test_a_tweedie_power_without_both_zeros_and_amounts_is_refused(power: float) -> None:
    with pytest.raises(ValueError, match=r"outside \(1, 2\)"):
        tweedie_deviances(VALUE, EXPECTED, power)


def test_churn_metrics_are_those_of_scikit_learn() -> None:
    found = churn_metrics(Y, P)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(Y, P))
    assert found["pr_auc"] == pytest.approx(sk.average_precision_score(Y, P))
    assert found["log_loss"] == pytest.approx(sk.log_loss(Y, P))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(Y, P))


def test_lift_and_ece_by_hand() -> None:
    y = np.array([1, 1] + [0] * 18)
    p = np.array([0.9, 0.2] + [0.1] * 18)
    found = churn_metrics(y, p)
    assert found["top_decile_lift"] == pytest.approx(10.0)  # both of the two highest churn, one in ten does
    # Nine bins of two rows at 0.1 without churn, one bin at 0.55 with both.
    assert found["ece"] == pytest.approx(0.9 * 0.1 + 0.1 * 0.45)


def test_calibrated_probabilities_have_a_small_ece_and_shifted_ones_the_shift() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.6, 50_000)
    y = rng.uniform(size=50_000) < p
    assert churn_metrics(y, p)["ece"] < 0.01
    assert churn_metrics(y, p + 0.2)["ece"] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_one_class_only_leaves_the_ranking_undefined_and_the_losses_defined(only: float) -> None:
    found = churn_metrics(np.full(30, only), P[:30])
    assert math.isnan(found["roc_auc"])
    assert math.isnan(found["pr_auc"])
    assert found["log_loss"] > 0
    assert found["brier"] > 0


def test_no_rows_give_nan_everywhere() -> None:
    none = np.array([])
    found = [
        churn_metrics(none, none, OFFER),
        next_stage_metrics(none.astype(int), np.empty((0, 4)), CLASSES),
        cltv_metrics(none, none, none, none),
    ]
    assert all(math.isnan(value) for table in found for value in table.values())


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(12)), st.lists(st.sampled_from([0.1, 0.3, 0.7]), min_size=12, max_size=12))
def test_the_order_of_rows_changes_no_metric_even_with_ties(order: list[int], p: list[float]) -> None:
    y, chances = np.array([0, 1] * 6, dtype=float), np.array(p)
    found = churn_metrics(y[order], chances[order], OFFER)
    assert found == pytest.approx(churn_metrics(y, chances, OFFER), nan_ok=True)
    value, money = y * chances * 40, chances * 50
    ends = np.full(12, np.nan), np.full(12, 10.0)
    found = cltv_metrics(value[order], money[order], *ends)
    assert found == pytest.approx(cltv_metrics(value, money, *ends), nan_ok=True)


def test_tied_means_spread_the_truth_over_equal_predictions() -> None:
    assert tied_means(np.array([1, 0, 0, 1]), np.array([0.2, 0.5, 0.2, 0.9])) == pytest.approx([0.5, 0, 0.5, 1])


def test_bins_have_equal_mass_and_fewer_rows_make_fewer_bins() -> None:
    table = equal_mass_bins(Y[:25], P[:25], 10)
    assert table["rows"].to_list() == [3] * 5 + [2] * 5
    assert table["predicted"].is_sorted()
    assert equal_mass_bins(Y[:3], P[:3], 10).height == 3
    assert equal_mass_bins(Y[:0], P[:0], 10).height == 0


# Of those contacted a churner earns 0.5 x (40 - 4) - 2 = 16, who stays costs 4 + 2 = 6; it pays from p = 6 / 22.
OFFER = Offer(Campaign(contact_cost=2, incentive_cost=4, accept_rate=0.5), stake=40)


def test_the_profit_of_a_campaign_by_hand() -> None:
    y = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.6, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    found = profit_metrics(y, p, OFFER)
    assert found["profit"] == pytest.approx((16 - 6 - 6) / 10)  # the first three were expected to pay
    assert found["profit_best_cut"] == pytest.approx(16 / 10)  # only the first did
    assert churn_metrics(y, p, OFFER).items() > found.items()


def test_each_customers_own_stake_counts() -> None:
    y, p = np.array([1, 0]), np.array([0.5, 0.5])
    worth = Offer(OFFER.campaign, stake=np.array([0.0, 400.0]))
    # Contacting the first was never expected to pay; the second stayed.
    assert profit_metrics(y, p, worth) == {"profit": -3.0, "profit_best_cut": 0.0}


def test_no_contact_earns_nothing_and_costs_nothing() -> None:
    assert profit_metrics(np.array([1, 0]), np.array([0.2, 0.1]), OFFER) == {"profit": 0.0, "profit_best_cut": 8.0}
    assert profit_metrics(np.array([0, 0]), np.array([0.2, 0.1]), OFFER)["profit_best_cut"] == 0


def test_probabilities_that_are_too_high_cost_money_although_their_order_is_as_good() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(1, 5, 4000)
    y = (rng.uniform(size=4000) < p).astype(float)
    honest, bold = profit_metrics(y, p, OFFER), profit_metrics(y, np.sqrt(p), OFFER)
    assert bold["profit_best_cut"] == pytest.approx(honest["profit_best_cut"])
    assert bold["profit"] < 0 < honest["profit"] <= honest["profit_best_cut"]


def test_next_stage_metrics_are_those_of_scikit_learn() -> None:
    found, best = next_stage_metrics(Y4, P4, CLASSES), P4.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(Y4, best))
    assert found["top_2"] == pytest.approx(sk.top_k_accuracy_score(Y4, P4, k=2))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(Y4, best, average="macro"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(Y4, P4))
    assert 0 < found["ece"] < 0.15


def test_stages_that_neither_occur_nor_are_predicted_do_not_pull_macro_f1_down() -> None:
    p = np.array([[0.7, 0.2, 0.05, 0.05], [0.2, 0.7, 0.05, 0.05]])
    assert next_stage_metrics(np.array([0, 1]), p, CLASSES)["macro_f1"] == 1.0
    assert next_stage_metrics(np.array([0, 2]), p, CLASSES)["macro_f1"] == pytest.approx(1 / 3)


def test_one_stage_only_and_two_stages_in_all_break_nothing() -> None:
    assert next_stage_metrics(np.zeros(5, dtype=int), P4[:5], CLASSES)["log_loss"] > 0
    assert next_stage_metrics(np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]), ["a", "b"])["top_2"] == 1.0


def _gini_by_area(y: np.ndarray, order_by: np.ndarray) -> float:
    """Area between the diagonal and the curve of the cumulated value, richest prediction first."""
    share = np.concatenate([[0.0], np.cumsum(y[np.argsort(-order_by)]) / y.sum()])
    return float(np.trapezoid(share, np.linspace(0, 1, len(share)))) - 0.5


def test_the_normalised_gini_is_the_ratio_of_the_areas() -> None:
    by_hand = _gini_by_area(VALUE, EXPECTED) / _gini_by_area(VALUE, VALUE)
    assert normalised_gini(VALUE, EXPECTED) == pytest.approx(by_hand, rel=1e-9)
    assert normalised_gini(VALUE, VALUE) == pytest.approx(1)
    assert normalised_gini(VALUE, -VALUE) == pytest.approx(-1)
    assert normalised_gini(VALUE, np.ones(500)) == pytest.approx(0, abs=1e-12)


def test_cltv_metrics_by_hand() -> None:
    y, expected = np.array([0.0, 0, 0, 0, 0, 0, 0, 0, 10, 90]), np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 80, 12])
    found = cltv_metrics(y, expected)
    assert found["mae"] == pytest.approx((28 + 70 + 78) / 10)
    assert found["rmse"] == pytest.approx(np.sqrt((140 + 70**2 + 78**2) / 10))
    assert found["bias"] == pytest.approx(0.2)
    assert found["top_10_share"] == pytest.approx(0.1)
    assert found["top_20_share"] == pytest.approx(1.0)
    assert found["spearman"] == pytest.approx(39.5 / np.sqrt(40.5 * 82.5))


def test_without_any_value_the_ratios_are_undefined() -> None:
    found = cltv_metrics(np.zeros(6), EXPECTED[:6])
    assert all(math.isnan(found[name]) for name in ("bias", "spearman", "gini", "top_10_share"))
    assert found["mae"] > 0
    assert found["tweedie_deviance"] > 0


def test_the_top_share_takes_a_part_of_tied_rows() -> None:
    assert top_share(np.array([10.0, 0, 0, 0]), np.ones(4), 0.25) == pytest.approx(0.25)


def test_refunds_leave_shares_and_ratios_of_a_total_undefined_where_they_would_say_nothing() -> None:
    ranked = np.array([4.0, 3, 2, 1])
    assert math.isnan(top_share(np.array([20.0, 0, 0, -10]), ranked, 0.25))  # 200 %
    assert math.isnan(top_share(np.array([-5.0, 10, 5, 0]), ranked, 0.25))  # below 0
    assert math.isnan(top_share(np.array([5.0, 0, 0, -10]), ranked, 0.25))  # of nothing
    assert top_share(np.array([6.0, 6, -2, 0]), ranked, 0.25) == pytest.approx(0.6)
    found = cltv_metrics(np.array([5.0, 0, 0, -10]), ranked)
    assert math.isnan(found["bias"])
    assert found["mae"] == pytest.approx((1 + 3 + 2 + 11) / 4)


def test_intervals_without_a_low_end_are_upper_bounds() -> None:
    y, expected = np.array([0.0, 5, 20, 30, 90]), np.array([1.0, 2, 3, 4, 5])
    low, high = np.array([np.nan, np.nan, 10, 10, 10]), np.array([4.0, 4, 25, 25, 25])
    found = interval_metrics(y, expected, low, high)
    assert found["coverage"] == pytest.approx(2 / 5)
    assert found["mean_width"] == pytest.approx((4 + 4 + 15 * 3) / 5)
    assert [found[f"coverage_fifth_{i}"] for i in range(1, 6)] == [1, 0, 1, 0, 0]
    assert cltv_metrics(y, expected, low, high)["coverage"] == found["coverage"]
