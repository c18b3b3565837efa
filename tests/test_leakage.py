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
from training.drift import Drift, drift
from training.examples import Examples, examples
from training.leakage import ALMOST_PERFECT, refuse_later_events, refuse_separation, separations
from training.recipe import Recipe
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
    return journey, log, examples(journey, log, ["churn", "next_stage"])


# One feature alone


def test_a_feature_that_is_the_outcome_separates_perfectly_whatever_its_shape():
    outcomes = RNG.random(4000) < 0.3
    customers = np.arange(4000) // 4
    far = np.where(outcomes, RNG.choice([-5.0, 5.0], 4000), RNG.normal(0, 1, 4000))
    blank = np.where(outcomes, np.nan, 1.0)
    columns = np.column_stack([outcomes, ~outcomes, far, blank, RNG.normal(size=4000), np.ones(4000)])
    found = separations(columns.astype(float), outcomes, customers)
    assert found[[0, 1, 3]] == pytest.approx(1.0)
    assert found[2] > ALMOST_PERFECT
    assert found[[4, 5]] == pytest.approx(0.5, abs=0.05)


def test_of_few_customers_no_feature_is_accused():
    outcomes = np.arange(98) % 2 == 0  # 49 customers of each
    assert separations(outcomes[:, None].astype(float), outcomes, np.arange(98)).tolist() == [0.5]


def test_hundreds_of_features_of_chance_are_not_accused_on_a_small_journey():
    outcomes = RNG.random(300) < 0.4
    found = separations(RNG.normal(size=(300, 400)), outcomes, np.arange(300))
    assert found.max() < 0.8


def test_a_feature_that_knows_who_churns_fails_training_by_its_name(honest):
    journey, _, found = honest
    data = found["churn"]
    matrix = np.column_stack([RNG.normal(size=len(data.labels)), data.labels])
    with pytest.raises(InputError, match="feature cancelled_later: alone it tells who churns") as e:
        refuse_separation(journey, data, matrix, ["noise", "cancelled_later"])
    assert "--trust cancelled_later trains with it all the same" in e.value.do
    refuse_separation(journey, data, matrix, ["noise", "cancelled_later"], trusted=["cancelled_later"])


def test_the_present_stage_may_tell_the_next_but_not_whether_it_changes(honest):
    journey, _, found = honest
    data = found["next_stage"]
    present = data.rows["stage"].cast(pl.String).replace_strict(journey.stage_names, range(3), return_dtype=pl.Float64)
    refuse_separation(journey, data, present.to_numpy()[:, None], ["stage"])
    changes = (data.labels != present.to_numpy()).astype(float)
    with pytest.raises(InputError, match="feature moved_on: alone it tells whose stage changes"):
        refuse_separation(journey, data, changes[:, None], ["moved_on"])


# Later events


def test_no_feature_of_the_catalogue_changes_when_later_events_are_taken_away(honest):
    journey, log, found = honest
    refuse_later_events(journey, log, found["churn"].rows)


def test_a_feature_that_looks_ahead_fails_training_by_its_name(tmp_path):
    (tmp_path / "ahead.py").write_text(AHEAD)
    journey, log = shop(tmp_path, DEFINITION + "features: ahead.py\n")
    with pytest.raises(InputError, match="feature wait_days: its value changes when the events after the cutoff"):
        train(journey, log, ["churn"], SMALL, 1, lambda _: None)


def test_a_profile_column_that_is_static_in_name_only_is_found(tmp_path):
    journey, log = shop(tmp_path, customers=1200)
    seen = log.events.filter(event="purchase").group_by(CUSTOMER).agg(last_seen=pl.col("time").max() / 86_400e6)
    seen.write_csv(tmp_path / "profile.csv")
    profile = "profile: {file: profile.csv, features: {last_seen: {static: true}}}\n"
    journey, log = shop(tmp_path, DEFINITION + profile, customers=1200)
    data = examples(journey, log, ["churn"])["churn"]
    newest = data.at((data.cutoffs[-1],))
    one = Examples("churn", data.rows.filter(newest), data.labels[newest], np.empty(0))
    with pytest.raises(InputError, match="feature last_seen: alone it tells who churns"):
        refuse_separation(journey, one, one.rows["profile_last_seen"].to_numpy()[:, None], ["last_seen"])


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
    (warning,) = trained.model.about["warnings"]
    assert re.search(r"most of all by (spend|order_value|last_value)\w* \(", warning)
