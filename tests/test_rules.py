from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from training.btyd import fit_bg_nbd, fit_gamma_gamma
from training.metrics import log_losses, tweedie_deviances
from training.rules import (
    DAYS_PER_MONTH,
    SimpleRule,
    base_rate,
    best,
    bg_nbd_gamma_gamma,
    logistic,
    markov_chain,
    mean_value,
    monthly_spend,
    no_purchase_rules,
    no_purchase_within,
    past_spend,
    scaled,
    stage_base_rate,
)

STAGES = ["new", "active", "lapsed"]


def _stages(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"stage": pl.String, "before": pl.String}, orient="row")


def test_the_base_rate_is_the_same_for_everyone_and_never_certain() -> None:
    train = pl.DataFrame({"x": range(98)})
    predict = base_rate().fit(train, np.arange(98) < 24)
    assert predict(pl.DataFrame({"x": [1, 2]})) == pytest.approx([0.25, 0.25])
    assert base_rate().fit(train, np.zeros(98))(train)[0] == pytest.approx(0.01)


def test_no_purchase_within_gives_each_group_its_rate_and_null_is_no_purchase() -> None:
    train = pl.DataFrame({"since": [1.0, 2.0, 7.0, 7.1, 30.0, None]})
    predict = no_purchase_within("since", 7).fit(train, np.array([0, 0, 1, 1, 1, 1]))
    rows = pl.DataFrame({"since": [7.0, 8.0, None]})
    assert predict(rows) == pytest.approx([2 / 5, 4 / 5, 4 / 5])


def test_no_purchase_rules_halve_the_horizon_three_times() -> None:
    names = [rule.name for rule in no_purchase_rules("since", 28)]
    assert names == [f"no purchase in the last {days} days" for days in ("28", "14", "7", "3.5")]


def test_the_logistic_rule_ranks_as_its_column_does() -> None:
    rng = np.random.default_rng(0)
    count = rng.poisson(4, 2000)
    y = rng.uniform(size=2000) < 1 / (1 + count)
    rows = pl.DataFrame({"purchase_56d": count})
    p = logistic("purchase count in 56 days", "purchase_56d").fit(rows, y)(rows)
    assert roc_auc_score(y, p) == pytest.approx(roc_auc_score(y, -count))
    assert p.mean() == pytest.approx(y.mean(), abs=0.01)
    assert np.mean(log_losses(y, p)) < np.mean(log_losses(y, base_rate().fit(rows, y)(rows)))


def test_the_logistic_rule_takes_null_as_a_group_of_its_own() -> None:
    since = [1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0, 80.0] * 20 + [None] * 40
    y = np.array([0, 0, 0, 1, 0, 1, 1, 1] * 20 + [0, 1, 1, 1] * 10)
    rule = logistic("days since the last purchase", "since")
    p = rule.fit(pl.DataFrame({"since": since}), y)(pl.DataFrame({"since": [2.0, 70.0, None]}))
    assert p[0] < 0.35 < p[1]
    assert p[2] == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("y", [np.zeros(6), np.ones(6)])
def test_one_class_only_makes_the_logistic_rule_the_base_rate(y: np.ndarray) -> None:
    rows = pl.DataFrame({"n": range(6)})
    assert np.all(logistic("count", "n").fit(rows, y)(rows) == base_rate().fit(rows, y)(rows))


def test_the_markov_chain_gives_the_shares_of_the_present_stage() -> None:
    train = _stages(*[("new", None)] * 30, *[("active", "new")] * 60)
    y = np.array([1] * 24 + [0] * 6 + [1] * 45 + [2] * 15)
    predict = markov_chain("first-order", ["stage"], STAGES).fit(train, y)
    base = (np.array([6, 69, 15]) + 1) / 93
    assert predict(_stages(("new", None)))[0] == pytest.approx((np.array([6, 24, 0]) + 3 * base) / 33)
    assert predict(_stages(("active", None)))[0] == pytest.approx((np.array([0, 45, 15]) + 3 * base) / 63)
    assert stage_base_rate(STAGES).fit(train, y)(train)[0] == pytest.approx(base)


def test_a_history_never_met_is_answered_by_the_part_that_was() -> None:
    train = _stages(*[("active", "new")] * 40, *[("active", "lapsed")] * 40)
    y = np.array([1] * 30 + [2] * 10 + [2] * 30 + [1] * 10)
    first = markov_chain("first-order", ["stage"], STAGES).fit(train, y)
    second = markov_chain("second-order", ["stage", "before"], STAGES).fit(train, y)
    base = stage_base_rate(STAGES).fit(train, y)
    never = _stages(("active", None), ("lapsed", "new"), (None, None), ("elsewhere", "new"))
    assert second(never)[0] == pytest.approx(first(never)[0])
    assert second(never)[1:] == pytest.approx(base(never)[1:])
    known = second(_stages(("active", "new"), ("active", "lapsed")))
    assert known[0, 1] > 0.65
    assert known[1, 2] > 0.65
    assert first(_stages(("active", "new")))[0, 1] == pytest.approx(0.5, abs=0.02)


NAMED = st.sampled_from([*STAGES, None, "unheard of"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(NAMED, NAMED, st.integers(0, 2)), max_size=30),
    st.lists(st.tuples(NAMED, NAMED), min_size=1, max_size=10),
)
def test_stage_rules_give_proper_probabilities(
    train: list[tuple[str | None, str | None, int]], test: list[tuple[str | None, str | None]]
) -> None:
    rows, y = _stages(*[(stage, before) for stage, before, _ in train]), np.array([label for *_, label in train])
    for columns in ([], ["stage"], ["stage", "before"]):
        p = markov_chain("chain", columns, STAGES).fit(rows, y)(_stages(*test))
        assert p.shape == (len(test), 3)
        assert np.all((p > 0) & (p < 1))
        assert p.sum(axis=1) == pytest.approx(np.ones(len(test)))


def test_past_spend_goes_on_and_silent_customers_are_at_their_mean() -> None:
    train = pl.DataFrame({"spend_56d": [56.0, 112.0, 0.0, None]})
    predict = past_spend("spend_56d", 56, 28).fit(train, np.array([30.0, 50.0, 4.0, 2.0]))
    rows = pl.DataFrame({"spend_56d": [200.0, 0.0, -9.0, None]})
    assert predict(rows) == pytest.approx([100.0, 3.0, 3.0, 3.0])


def test_a_scaled_rule_has_the_total_of_the_training_rows() -> None:
    train = pl.DataFrame({"spend": [56.0, 112.0, 280.0]})
    y = np.array([14.0, 28.0, 70.0])
    rule = scaled(past_spend("spend", 56, 28))
    assert rule.name == "spend of the last 56 days goes on, scaled"
    assert rule.fit(train, y)(train) == pytest.approx(y)


def test_monthly_spend_is_times_months_times_retention() -> None:
    train = pl.DataFrame({"spend": [300.0] * 98, "age": [3 * DAYS_PER_MONTH] * 98})
    y = np.where(np.arange(98) < 74, 100.0, 0.0)
    predict = monthly_spend("spend", "age", 2 * DAYS_PER_MONTH).fit(train, y)
    rows = pl.DataFrame({"spend": [600.0, 100.0], "age": [6 * DAYS_PER_MONTH, 2.0]})
    assert predict(rows) == pytest.approx([100 * 2 * 0.75, 100 * 2 * 0.75])
    windowed = monthly_spend("spend", 3 * DAYS_PER_MONTH, 2 * DAYS_PER_MONTH).fit(train, y)
    assert windowed(train)[0] == pytest.approx(100 * 2 * 0.75)


def _histories(customers: int) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(8)
    age = rng.uniform(30, 300, customers)
    x = rng.poisson(rng.gamma(1.0, 0.02, customers) * age)
    recency = np.where(x > 0, age * rng.beta(x + 1e-9, 1), 0.0)
    mean = np.where(x > 0, rng.gamma(5.0, 8.0, customers), None)
    rows = pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(customers)],
            "x": x,
            "t_x": recency,
            "age": age,
            "mean": pl.Series(mean.tolist(), dtype=pl.Float64),
        }
    )
    return rows, rng.poisson(x / age * 56) * 40.0


BTYD = bg_nbd_gamma_gamma("x", "t_x", "age", "mean", 56)


def test_bg_nbd_is_purchases_times_their_value_of_one_row_per_customer() -> None:
    rows, y = _histories(400)
    half = pl.col("x") * 0
    earlier = rows.with_columns(age=pl.col("age") / 2, x=half, t_x=half.cast(pl.Float64))
    found = BTYD.fit(pl.concat([rows, earlier]), np.concatenate([y, y]))(rows)
    x, t_x, age, mean = (rows[name].cast(pl.Float64).to_numpy() for name in ("x", "t_x", "age", "mean"))
    purchases = fit_bg_nbd(x, t_x, age).expected_purchases(56, x, t_x, age)
    assert found == pytest.approx(purchases * fit_gamma_gamma(x, mean).expected_value(x, mean), rel=1e-3)
    assert np.mean(tweedie_deviances(y, found)) < np.mean(tweedie_deviances(y, np.full(400, y.mean())))


def test_bg_nbd_answers_for_those_who_never_bought() -> None:
    rows, y = _histories(200)
    never = rows.head(2).with_columns(
        *[pl.lit(None, dtype=rows[c].dtype).alias(c) for c in ("x", "t_x", "age", "mean")]
    )
    found = BTYD.fit(pl.concat([rows, never]), np.concatenate([y, [3.0, 5.0]]))(never)
    assert found == pytest.approx([4.0, 4.0])
    assert BTYD.fit(never, np.array([3.0, 5.0]))(rows) == pytest.approx(np.full(200, 4.0))


def test_where_nobody_bought_twice_a_purchase_makes_the_total_right() -> None:
    rows, y = _histories(50)
    once = rows.with_columns(x=pl.lit(0), t_x=pl.lit(0.0), mean=pl.lit(None, dtype=pl.Float64))
    assert BTYD.fit(once, y)(once).sum() == pytest.approx(y.sum())


VALUE_RULES = (
    mean_value(),
    past_spend("mean", 56, 28),
    scaled(past_spend("mean", 56, 28)),
    monthly_spend("mean", "age", 28),
    BTYD,
    scaled(BTYD),
)


@pytest.mark.parametrize("rule", VALUE_RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("value", [0.0, 40.0, -40.0])
def test_values_are_positive_whatever_training_brought(rule: SimpleRule, value: float) -> None:
    rows, _ = _histories(60)
    for train in (rows, rows.head(1)):
        found = rule.fit(train, np.full(train.height, value))(rows)
        assert found.shape == (60,)
        assert np.all(np.isfinite(found) & (found > 0))


def test_the_best_rule_has_the_lowest_mean_loss() -> None:
    losses = {"base rate": np.array([1.0, 1.0]), "recency": np.array([0.2, 1.2]), "count": np.array([1.2, 0.2])}
    assert best(losses) == "recency"
