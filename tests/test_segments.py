"""Segments of the test block: where a model is worse than the rule, and where that cannot be told."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.journey import Journey
from training.assess import Assessment
from training.grades import Grade
from training.segments import OTHERS, UNKNOWN, segments

PROFILE = {"file": "p.csv", "features": {"income": {"static": True}}, "segments": ["region"]}
SIZE = 900
CUSTOMERS = np.array([f"c{n:03}" for n in range(SIZE)])


def journey(**fields):
    tasks = {"churn": {"no": "buy", "within": "28d"}}
    return Journey.model_validate({"journey": "shop", "events": [{"file": "a.csv"}], "tasks": tasks} | fields)


def told(rows, ours, theirs=0.5, given=None, profile=None):
    """The segments by dimension and value, of rows with these losses."""
    size = len(rows)
    grade = Grade("B", 0.1, 0.05, 0.15, "base rate", "")
    noise = np.random.default_rng(0).normal(0, 0.05, size)
    found = Assessment(
        {}, {}, grade, np.ones(size), np.full(size, 0.4), np.broadcast_to(ours, size) + noise,
        {"base rate": np.full(size, theirs)}, rows["customer_id"].to_numpy(),
    )  # fmt: skip
    return {(one.dimension, one.value): one for one in segments(given or journey(), rows, found, profile)}


def rows_of(**columns):
    return pl.DataFrame({"customer_id": CUSTOMERS[: len(next(iter(columns.values())))], **columns})


def test_a_segment_is_ahead_of_the_rule_behind_it_or_cannot_be_told():
    stage = np.repeat(["active", "lapsed", "new"], 300)
    found = told(rows_of(stage=stage), np.repeat([0.3, 0.7, 0.5], 300))
    assert {value: one.verdict for (_, value), one in found.items()} == {
        "active": "ahead",
        "lapsed": "behind",
        "new": "not told apart",
    }
    active = found["stage", "active"]
    assert (active.rows, active.customers, active.happened) == (300, 300, 1.0)
    assert active.predicted == pytest.approx(0.4)
    assert active.loss == pytest.approx(0.3, abs=0.01)
    assert active.rule_loss == 0.5


def off(said, came, rows, metrics=None):
    """Whether each stage is told too much or too little, whatever the losses."""
    size = len(rows)
    found = Assessment(
        metrics or {}, {}, Grade("B", 0.1, 0.05, 0.15, "base rate", ""), np.asarray(came, dtype=float),
        np.broadcast_to(said, size).astype(float), np.full(size, 0.4), {"base rate": np.full(size, 0.5)},
        rows["customer_id"].to_numpy(),
    )  # fmt: skip
    return {one.value: one.told for one in segments(journey(), rows, found, None)}


def test_a_segment_of_which_more_or_less_is_said_than_comes_is_told():
    came = np.tile([1.0, 0.0], 450)
    rows = rows_of(stage=np.repeat(["active", "lapsed", "new"], 300))
    said = np.repeat([0.7, 0.3, 0.52], 300)
    assert off(said, came, rows) == {"active": "too much", "lapsed": "too little", "new": "as it came"}


def test_a_customers_rows_count_as_one_where_said_and_came_are_compared():
    customers = np.repeat(CUSTOMERS[:60], 10)
    came = np.repeat(np.tile([1.0, 0.0], 30), 10)
    rows = rows_of(stage=["new"] * 600).with_columns(customer_id=pl.Series(customers))
    assert off(0.6, came, rows) == {"new": "as it came"}
    assert off(0.6, came, rows_of(stage=["new"] * 600)) == {"new": "too much"}


def test_nobody_of_few_says_nothing_against_a_small_probability():
    assert off(0.02, np.zeros(60), rows_of(stage=["new"] * 60)) == {"new": "as it came"}
    assert off(0.4, np.zeros(60), rows_of(stage=["new"] * 60)) == {"new": "too much"}


def test_values_that_hardly_any_customer_has_cannot_be_compared():
    rows = rows_of(stage=["new"] * 300)
    assert off(20.0, np.where(np.arange(300) < 5, 900.0, 0.0), rows, {"mae": 1.0}) == {"new": "too small"}
    assert off(20.0, np.where(np.arange(300) < 150, 12.0, 0.0), rows, {"mae": 1.0}) == {"new": "too much"}


def test_few_customers_are_too_few_however_many_rows_they_have():
    rows = rows_of(stage=["active"] * 400).with_columns(customer_id=pl.Series(np.tile(CUSTOMERS[:40], 10)))
    assert told(rows, 0.1)["stage", "active"].verdict == "too small"


def test_tenure_is_told_in_words_and_what_is_unknown_stands_last():
    found = told(rows_of(tenure_days=[10.0, 100.0, 200.0, 400.0, None] * 20), 0.3)
    values = [value for dimension, value in found if dimension == "tenure"]
    assert sorted(values[:-1]) == ["3 to 6 months", "6 to 12 months", "a year or more", "under 3 months"]
    assert values[-1] == UNKNOWN


def test_rare_channels_are_one_segment():
    channels = ["web"] * 60 + [f"shop {n}" for n in range(40)]
    found = told(rows_of(last_channel=channels), 0.3)
    assert len(found) == 11
    assert found["channel", OTHERS].customers == 31


def test_every_declared_column_of_the_profile_is_a_dimension():
    profile = pl.DataFrame(
        {"customer_id": CUSTOMERS[:80], "income": np.arange(80.0), "region": ["north", "south"] * 40}
    )
    found = told(rows_of(stage=["new"] * 100), 0.3, given=journey(profile=PROFILE), profile=profile)
    assert found["region", "north"].customers == 40
    assert found["region", UNKNOWN].customers == 20
    assert [found["income", value].customers for _, value in found if _ == "income"] == [20, 20, 20, 20, 20]
    assert ("income", "0 to 19.75") in found
