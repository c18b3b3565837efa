"""Where a list is cut, who is held out, and what a campaign's plan says."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from features.journey import Campaign
from serving import typed
from serving.cut import affordable_length, curve_lengths, held_out
from serving.planning import Cut, plan, power
from training.money import best_length, contact_expense, contact_profit

COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2)
# Quarters add up without rounding, so that a brute force over all lengths has one answer.
amounts = st.lists(st.integers(-400, 400).map(lambda n: n / 4), max_size=60)


@given(amounts)
def test_the_best_length_is_the_best_of_all_lengths(profits):
    ranked = np.array(sorted(profits, reverse=True))
    sums = [ranked[:length].sum() for length in range(len(ranked) + 1)]
    assert best_length(ranked) == int(np.argmax(sums))


def test_an_unknown_profit_is_never_part_of_the_best_length():
    assert best_length(np.array([3.0, 1.0, np.nan])) == 2


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=40), st.integers(0, 600))
def test_a_budget_pays_for_the_longest_list_it_can(found, budget):
    expense, held = np.array([float(e) for e, _ in found]), np.array([h for _, h in found], dtype=bool)
    costs = [sum(e for e, h in found[:length] if not h) for length in range(len(found) + 1)]
    assert affordable_length(expense, held, budget) == max(n for n, cost in enumerate(costs) if cost <= budget)


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_a_curve_is_told_from_nobody_to_everybody(listed, cut):
    cut = min(cut, listed)
    lengths = curve_lengths(listed, cut)
    assert lengths == sorted(set(lengths))
    assert {0, cut, listed} <= set(lengths)
    assert len(lengths) <= 22


# the hold-out


def test_the_hold_out_has_the_share_asked_for():
    ids = [f"c{n}" for n in range(20_000)]
    for share in (0.0, 0.1, 0.5):
        assert held_out(ids, 7, share).mean() == pytest.approx(share, abs=0.01)


def test_the_hold_out_is_the_same_for_the_same_seed_and_another_for_another():
    ids = [f"c{n}" for n in range(2000)]
    first = held_out(ids, 1, 0.5)
    assert (held_out(ids, 1, 0.5) == first).all()
    assert (held_out(ids, 2, 0.5) == first).mean() == pytest.approx(0.5, abs=0.05)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True), st.integers(0, 2**53 - 1), st.randoms()
)
def test_who_is_held_out_depends_on_nobody_else(ids, seed, random):
    drawn = dict(zip(ids, held_out(ids, seed, 0.3), strict=True))
    some = random.sample(ids, len(ids) // 2)
    assert dict(zip(some, held_out(some, seed, 0.3), strict=True)) == {name: drawn[name] for name in some}


def test_a_larger_share_holds_out_the_same_and_more():
    ids = [f"c{n}" for n in range(1000)]
    assert not (held_out(ids, 3, 0.1) & ~held_out(ids, 3, 0.2)).any()


def test_the_hold_out_does_not_lean_on_the_rank():
    held = held_out([f"c{n:05}" for n in range(50_000)], 11, 0.2)
    assert np.array_split(held, 10)[0].mean() == pytest.approx(np.array_split(held, 10)[-1].mean(), abs=0.025)


# the plan


def ranked(size: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Customers with known profits in the order of a list."""
    rng = np.random.default_rng(2)
    probability, stake = rng.uniform(0.05, 0.95, size), rng.gamma(2, 40, size)
    order = np.argsort(-contact_profit(probability, stake, COSTS))
    return [f"c{n}" for n in range(size)], probability[order], stake[order]


def planned(size: int = 400, cut: Cut | None = None, holdout: float = 0.1, seed: int = 5):
    return plan(*ranked(size), COSTS, cut or Cut(), holdout, seed)


def test_a_plan_adds_up():
    found, held, profit = planned()
    ids, probability, _ = ranked(400)
    assert found.length == found.contacts + found.held_out == found.best.length == len(held)
    assert found.expected_profit + found.forgone_profit == pytest.approx(found.best.expected_profit)
    assert found.best.expected_profit == pytest.approx(profit.sum())
    assert found.expected_cost == pytest.approx(contact_expense(probability, COSTS)[: len(held)][~held].sum())
    assert (held == held_out(ids[: len(held)], 5, 0.1)).all()
    assert max(point.expected_profit for point in found.curve) == found.best.expected_profit


def test_profit_is_what_is_kept_minus_what_it_costs():
    _, probability, stake = ranked(50)
    kept = probability * COSTS.accept_rate * stake
    assert kept - contact_expense(probability, COSTS) == pytest.approx(contact_profit(probability, stake, COSTS))


def test_a_capacity_counts_those_who_are_contacted():
    found, held, _ = planned(cut=Cut(capacity=30))
    assert found.contacts == 30
    assert not held[-1] or found.length < 400
    assert found.warnings == []


def test_a_budget_is_not_overdrawn():
    found, _, _ = planned(cut=Cut(budget=100.0))
    assert 90 < found.expected_cost <= 100


def test_a_list_longer_than_pays_warns():
    found, _, _ = planned(cut=Cut(capacity=10_000))
    assert found.length == 400
    assert "the list pays most at a length of" in found.warnings[0]


def test_a_group_too_small_is_told_before():
    few, many = planned(60).plan.power, planned(40_000).plan.power
    assert not few.can_tell
    assert "cannot tell" in few.words
    assert few.detectable_difference > few.expected_difference
    assert many.can_tell
    assert many.detectable_difference < many.expected_difference


def test_the_hold_out_that_would_do_is_told():
    found = planned(4000, holdout=0.01).plan.power
    assert not found.can_tell
    assert f"hold out {100 * found.holdout_needed:.1f} %" in found.words


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [2000, 4000])
def test_whoever_follows_the_words_can_tell(size, seed):
    words = planned(size, holdout=0.005, seed=seed).plan.power.words
    share = float(re.search(r"hold out ([\d.]+) %", words)[1]) / 100
    assert planned(size, holdout=share, seed=seed).plan.power.can_tell


@pytest.mark.parametrize("rate", [0.0, 1.0, 0.5])
def test_nine_held_out_tell_nothing_however_sure_the_rates_are(rate):
    held = np.arange(1000) < 9
    found = power(np.full(1000, rate), held, COSTS.model_copy(update={"accept_rate": 1.0}))
    assert not found.can_tell
    assert found.detectable_difference > 0
    assert "fewer than 10 in an arm" in found.words


def test_what_nobody_would_do_anyway_cannot_be_told():
    assert not power(np.zeros(1000), np.arange(1000) < 500, COSTS).can_tell


def test_without_a_hold_out_nothing_can_be_told():
    found = planned(holdout=0.0).plan.power
    assert (found.can_tell, found.detectable_difference) == (False, 1.0)


def test_whose_value_is_unknown_has_no_profit_but_a_cost():
    ids, probability, _ = ranked(20)
    found, _, profit = plan(ids, probability, np.full(20, np.nan), COSTS, Cut(capacity=5), 0.0, 1)
    assert (found.expected_profit, found.best, found.contacts) == (None, None, 5)
    assert found.expected_cost > 5
    assert np.isnan(profit).all()


@pytest.mark.parametrize(
    ("size", "cut", "holdout", "told"),
    [
        (0, Cut(), 0.1, "nobody is on this list"),
        (9, Cut(budget=0.5), 0.1, "pays for no contact"),
        (1, Cut(capacity=1), 1.0, "all 1 customers of the cut list are held out"),
    ],
)
def test_a_campaign_without_contacts_is_refused(size, cut, holdout, told):
    with pytest.raises(InputError, match=told):
        planned(size, cut, holdout)


def test_a_list_that_never_pays_is_refused():
    dear = COSTS.model_copy(update={"contact_cost": 1e6})
    with pytest.raises(InputError, match="none of 10 contacts is expected to pay"):
        plan(*ranked(10), dear, Cut(), 0.1, 1)


@pytest.mark.parametrize(
    "said", [{"budget": float("nan")}, {"budget": float("inf")}, {"holdout": float("nan")}, {"seed": 2**53}]
)
def test_numbers_that_are_none_are_refused_as_over_http(said):
    with pytest.raises(InputError, match=f"--{next(iter(said))}"):
        typed.draw(name="autumn", **said)
