"""Leakage guards: a feature that knows the future fails training, by its name; what only differs is told."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from shop import DEFINITION, write_log

from features.definition import read as read_journey
from features.errors import InputError
from features.log import read
from features.schema import CUSTOMER, CUTOFF, TIME, VALUE
from training.alone import aucs
from training.backtest import backtest
from training.drift import Drift, drift
from training.examples import Examples, examples
from training.leakage import refuse_later_events
from training.recipe import Recipe
from training.separation import ALMOST_PERFECT, FEWEST, refuse_separation
from training.train import Options, train

RNG = np.random.default_rng(5)
SMALL = Recipe(learning_rate=0.2, leaves=7, rows_per_leaf=20, rounds_at_most=12, patience=5)

# A feature of the last purchase whose table looks one purchase ahead.
AHEAD = """
import narwhals as nw
from features.aggregates import newest
from features.feature import Feature, Table
from features.schema import CUSTOMER, EVENT, TIME


def derive(rows, here):
    bought = rows.filter(nw.col(EVENT) == "purchase")
    frame = bought.with_columns(wait=(nw.col(TIME).shift(-1).over(*here.keys, order_by=TIME) - nw.col(TIME)) / 86_400e6)
    return frame


FEATURES = (
    Feature("wait_days", "days to the next purchase", "days", "CADENCE", newest("wait"), of=Table("ahead", derive)),
)
"""


def shop(folder, text=DEFINITION, customers=300):
    write_log(folder / "events.csv", customers)
    (folder / "shop.yml").write_text(text)
    return read(*read_journey(folder / "shop.yml"), threads=1)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """The shop, which knows no future, and its examples."""
    journey, log = shop(tmp_path_factory.mktemp("shop"))
    return journey, log, examples(journey, log, ["churn", "next_stage", "cltv"])


# One feature alone


def test_a_feature_that_is_the_outcome_separates_perfectly_whatever_its_shape():
    outcomes = RNG.random(4000) < 0.3
    customers = np.arange(4000) // 4
    far = np.where(outcomes, RNG.choice([-5.0, 5.0], 4000), RNG.normal(0, 1, 4000))
    blank = np.where(outcomes, np.nan, 1.0)
    columns = np.column_stack([outcomes, ~outcomes, far, blank, RNG.normal(size=4000), np.ones(4000)])
    (found,) = aucs(columns.astype(float), outcomes[:, None], customers, FEWEST)
    assert found[[0, 1, 3]] == pytest.approx(1.0)
    assert found[2] > ALMOST_PERFECT
    assert found[[4, 5]] == pytest.approx(0.5, abs=0.05)


def test_of_few_customers_no_feature_is_accused_and_that_is_told(honest):
    journey, _, found = honest
    few = 2 * FEWEST - 2  # one customer too few of each
    labels = np.arange(few) % 2.0
    data = Examples("churn", found["churn"].rows.unique(CUSTOMER).head(few), labels, np.empty(0))
    (warning,) = refuse_separation(journey, data, labels[:, None], ["cancelled_later"])
    assert "no feature was asked whether it knows the future: fewer than 30 customers of an outcome" in warning


def test_hundreds_of_features_of_chance_are_not_accused_on_a_small_journey():
    outcomes = RNG.random(300) < 0.4
    found = aucs(RNG.normal(size=(300, 400)), outcomes[:, None], np.arange(300), FEWEST)
    assert found.max() < 0.8


def test_a_feature_that_knows_who_churns_fails_training_by_its_name(honest):
    journey, _, found = honest
    data = found["churn"]
    matrix = np.column_stack([RNG.normal(size=len(data.labels)), data.labels])
    with pytest.raises(InputError, match="feature cancelled_later: alone it tells who churns") as e:
        refuse_separation(journey, data, matrix, ["noise", "cancelled_later"])
    assert "--trust cancelled_later trains with it all the same" in e.value.do
    assert refuse_separation(journey, data, matrix, ["noise", "cancelled_later"], trusted=["cancelled_later"]) == []


def test_the_present_stage_may_tell_the_next_but_not_whether_it_changes(honest):
    journey, _, found = honest
    data = found["next_stage"]
    present = data.rows["stage"].cast(pl.String).replace_strict(journey.stage_names, range(3), return_dtype=pl.Float64)
    refuse_separation(journey, data, present.to_numpy()[:, None], ["stage"])
    changes = (data.labels != present.to_numpy()).astype(float)
    with pytest.raises(InputError, match="feature moved_on: alone it tells whose stage changes"):
        refuse_separation(journey, data, changes[:, None], ["moved_on"])


def test_the_next_stage_itself_fails_training_although_it_hardly_tells_whose_stage_changes(honest):
    journey, _, found = honest
    data = found["next_stage"]
    changes = data.labels != data.rows["stage"].cast(pl.String).replace_strict(journey.stage_names, range(3)).to_numpy()
    customers = np.unique(data.rows[CUSTOMER].to_numpy(), return_inverse=True)[1]
    assert aucs(data.labels[:, None], changes[:, None], customers, FEWEST) < ALMOST_PERFECT
    with pytest.raises(InputError, match="feature stage_later: alone it tells which stage comes next"):
        refuse_separation(journey, data, data.labels[:, None], ["stage_later"])
    lapsed = (data.labels == journey.stage_names.index("lapsed")).astype(float)
    with pytest.raises(InputError, match="feature lapsed_later: alone it tells which stage comes next"):
        refuse_separation(journey, data, lapsed[:, None], ["lapsed_later"])


def test_the_value_to_come_fails_training_whether_it_tells_who_brings_any_or_how_much(honest):
    journey, _, found = honest
    data = found["cltv"]
    noise = RNG.normal(size=len(data.labels))
    any_value, drawn = (data.labels > 0).astype(float), RNG.choice(data.labels[data.labels > 0], len(data.labels))
    amount = -np.where(data.labels > 0, data.labels, drawn)
    with pytest.raises(InputError, match=r"feature buys: alone it tells who brings any value with a ROC AUC of 1\.000"):
        refuse_separation(journey, data, np.column_stack([noise, any_value]), ["noise", "buys"])
    told = r"feature basket: alone it tells how much value comes with a rank correlation of 1\.000"
    with pytest.raises(InputError, match=told):
        refuse_separation(journey, data, np.column_stack([noise, amount]), ["noise", "basket"])
    spent = data.rows.select(name for name in data.rows.columns if name.startswith("spend")).cast(pl.Float64)
    assert refuse_separation(journey, data, spent.to_numpy(), spent.columns) == []


# Later events


def test_no_feature_of_the_catalogue_changes_when_later_events_are_taken_away(honest):
    journey, log, found = honest
    refuse_later_events(journey, log, found["churn"].rows)


def test_a_feature_that_looks_ahead_fails_training_by_its_name(tmp_path):
    (tmp_path / "ahead.py").write_text(AHEAD)
    journey, log = shop(tmp_path, DEFINITION + "features: ahead.py\n")
    with pytest.raises(InputError, match="feature wait_days: its value changes when the events after the cutoff"):
        train(journey, log, ["churn"], SMALL, 1, lambda _: None)
    with pytest.raises(InputError, match="feature wait_days: its value changes when the events after the cutoff"):
        backtest(journey, log, ["churn"], SMALL, 1, 1, lambda _: None)


@pytest.fixture(scope="module")
def hindsight(tmp_path_factory):
    """The shop with a column called static, but written when its file was: the week of the last purchase."""
    folder = tmp_path_factory.mktemp("hindsight")
    _, log = shop(folder, customers=600)
    bought = log.events.filter(event="purchase").group_by(CUSTOMER)
    bought.agg(last_seen=pl.col("time").max().cast(pl.Int64) // (7 * 86_400_000_000)).write_csv(folder / "profile.csv")
    profile = "profile: {file: profile.csv, features: {last_seen: {static: true}}}\n"
    return shop(folder, DEFINITION + profile, customers=600)


def test_a_profile_column_that_is_static_in_name_only_fails_training(hindsight):
    with pytest.raises(InputError, match="feature profile_last_seen: alone it tells who churns"):
        train(*hindsight, ["churn"], SMALL, 1, lambda _: None)
    with pytest.raises(InputError, match="feature profile_last_seen: alone it tells who churns"):
        backtest(*hindsight, ["churn"], SMALL, 1, 1, lambda _: None)


# Test cutoffs that differ


CUTOFFS, PEOPLE = (1, 2, 3, 4, 5), 600


def told(**columns):
    """What is told of the last of five cutoffs, of columns given by cutoff; noise stands beside them."""
    keys = {CUSTOMER: [f"c{n}" for n in range(PEOPLE)] * len(CUTOFFS), CUTOFF: np.repeat(CUTOFFS, PEOPLE)}
    data = Examples("churn", pl.DataFrame(keys), np.zeros(PEOPLE * len(CUTOFFS)), np.empty(0))
    noise = RNG.normal(size=len(data.labels))
    matrix = np.column_stack([*(np.concatenate([column(at) for at in CUTOFFS]) for column in columns.values()), noise])
    return drift(data, matrix, (*columns, "noise"), CUTOFFS[:-1], CUTOFFS[-1:], 1)


def around(*means):
    """A column that lies around these means, by cutoff."""
    return lambda cutoff: RNG.normal(means[cutoff - 1], 1.0, PEOPLE)


def test_test_cutoffs_that_differ_are_told_with_the_features_they_differ_in():
    found = told(month=lambda cutoff: np.full(PEOPLE, float(cutoff)), price=around(0, 0, 0, 0, 3))
    assert next(iter(found.shares)) == "price"
    assert found.auc > 0.9
    assert "can be told from those the trees learn from (ROC AUC 0.9" in found.warning
    assert "most of all by price (" in found.warning
    assert "month" not in found.warning


def test_values_that_are_known_no_longer_are_told():
    found = told(rating=lambda cutoff: np.where(RNG.random(PEOPLE) < 0.9 * (cutoff == 5), np.nan, 4.0))
    assert next(iter(found.shares)) == "rating"


def test_test_cutoffs_that_do_not_differ_are_not_warned_of():
    found = told(price=around(0, 0, 0, 0, 0))
    assert found == Drift(0.5, {})
    assert found.warning is None


def test_what_grows_with_time_for_everybody_is_not_warned_of():
    born = RNG.uniform(0, 2, PEOPLE)
    assert told(tenure_days=lambda cutoff: born + 3 * cutoff) == Drift(0.5, {})


def test_what_differs_between_training_cutoffs_too_is_not_warned_of():
    assert told(days_since_campaign=around(0, 3, 0, 3, 3)) == Drift(0.5, {})
    assert told(days_since_campaign=around(0, 3, 0, 3, 9)).warning is not None


def test_where_only_the_calendar_differs_there_is_nothing_to_tell():
    data = Examples("churn", pl.DataFrame({CUSTOMER: ["a", "b"], CUTOFF: [1, 2]}), np.zeros(2), np.empty(0))
    assert drift(data, np.array([[1.0], [2.0]]), ("month",), (1,), (2,), 1) == Drift(0.5, {})


def test_what_training_warns_of_is_kept_with_the_model_and_fails_nothing(honest):
    journey, log, found = honest
    lately = pl.col(TIME) >= found["churn"].cutoffs[-2]
    dearer = pl.when(lately).then(10 * pl.col(VALUE)).otherwise(VALUE).alias(VALUE)
    raised = replace(log, events=log.events.with_columns(dearer))
    (trained,) = train(journey, raised, ["churn"], SMALL, 1, lambda _: None, Options(trusted=("nothing",)))
    (warning,) = (one for one in trained.model.about["warnings"] if "test cutoffs" in one)
    assert re.search(r"most of all by (spend|order_value|last_value)\w* \(", warning)
