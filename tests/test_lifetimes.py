"""P(alive) and expected purchases: learned from before the earliest training cutoff, and told like features."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from shop import read_shop
from spec import SHOP, changed

from features.catalogue import catalogue, described, modelled
from features.families.lifetime import ALIVE, EXPECTED
from features.labels import tasks
from features.schema import KNOWN_AT, TIME
from training.btyd import BgNbd
from training.encoding import Encoding
from training.examples import examples
from training.lifetimes import Lifetimes, fit_lifetimes

ASKED = {"repeat_purchase_days": [3.0, 0.0, None], "repeat_span_days": [40.0, 0.0, None]}
VECTORS = pl.DataFrame({**ASKED, "purchase_tenure_days": [60.0, 90.0, None]})
MODEL = BgNbd(0.8, 40.0, 1.2, 3.5)
LIFETIMES = Lifetimes(MODEL, 28.0)


@cache
def shop():
    with TemporaryDirectory() as folder:
        journey, log = read_shop(Path(folder))
    return journey, log, examples(journey, log, ["churn"])["churn"].cutoffs[0]


def fitted(log=None):
    journey, whole, cutoff = shop()
    return fit_lifetimes(journey, log or whole, cutoff, tasks(journey)["churn"])


def test_each_customer_is_read_by_frequency_recency_and_age():
    found = LIFETIMES.added(VECTORS)
    assert found[ALIVE].to_list() == [pytest.approx(MODEL.p_alive(3, 40, 60)), 1.0, None]
    wanted = MODEL.expected_purchases(28, [3, 0], [40, 0], [60, 90])
    assert found[EXPECTED].to_list() == [pytest.approx(wanted[0]), pytest.approx(wanted[1]), None]


def test_a_customer_alone_is_read_as_among_others():
    together = LIFETIMES.added(VECTORS).rows()
    assert [LIFETIMES.added(VECTORS[row : row + 1]).row(0) for row in range(len(VECTORS))] == together


def test_the_parameters_know_nothing_from_the_earliest_training_cutoff_on():
    _, log, cutoff = shop()
    before = log.events.filter((pl.col(TIME) < cutoff) & (pl.col(KNOWN_AT) < cutoff))
    assert 0 < len(before) < len(log.events)
    moved = log.events.filter(pl.col(TIME) >= cutoff).with_columns(value=pl.lit(1e6), event=pl.lit("purchase"))
    assert fitted(replace(log, events=before)) == fitted()
    assert fitted(replace(log, events=pl.concat([before, moved, moved]))) == fitted()


def test_the_parameters_change_with_what_came_before():
    _, log, cutoff = shop()
    half = log.events.filter((pl.col(TIME) >= cutoff) | (pl.col("customer_id") < "c150"))
    assert fitted(replace(log, events=half)) != fitted()


def test_late_news_of_an_earlier_time_is_not_known_to_the_parameters():
    _, log, cutoff = shop()
    some = log.events.filter(pl.col(TIME) < cutoff).head(50).with_columns((pl.col(TIME) + 1).alias(TIME))
    late = some.with_columns(pl.lit(cutoff, dtype=pl.Int64).alias(KNOWN_AT))
    assert fitted(replace(log, events=pl.concat([log.events, late]).sort("customer_id", TIME))) == fitted()


def test_where_nobody_had_bought_or_nothing_is_a_purchase_there_are_no_parameters():
    journey, log, _ = shop()
    first = int(log.events[TIME].min())
    assert fit_lifetimes(journey, log, first, tasks(journey)["churn"]) is None
    assert modelled(changed(tasks={"next_stage": {"in": "28d"}})) == ()


def test_they_are_told_in_words_and_stand_after_the_features():
    names = [feature.name for feature in catalogue(SHOP)]
    columns = described(SHOP, [*names, ALIVE, EXPECTED])
    assert [column.name for column in columns] == [*names, ALIVE, EXPECTED]
    assert all("{value}" in column.says and column.description for column in columns[-2:])


def test_they_are_stored_with_the_encoding_and_are_no_input():
    encoding = Encoding((*ASKED, ALIVE, EXPECTED), {}, LIFETIMES)
    again = Encoding.read(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    assert again.inputs == tuple(ASKED)
    np.testing.assert_array_equal(again.matrix(VECTORS), encoding.matrix(VECTORS))
    assert again.matrix(VECTORS)[0, 2] == np.float32(MODEL.p_alive(3, 40, 60))


def test_an_encoding_from_before_there_were_any_is_read():
    assert Encoding.read({"names": ["days"], "categories": {}}) == Encoding(("days",), {})


def test_every_model_of_the_shop_has_them(shop_models):
    journey, models = shop_models
    for one in models:
        assert one.model.encoding.lifetimes == one.judged.encoding.lifetimes
        assert one.model.encoding.names[-2:] == (ALIVE, EXPECTED) == one.model.encoding.lifetimes.names
        days = tasks(journey)[one.task].within.days
        assert one.model.encoding.lifetimes.horizon_days == days
        assert [column.name for column in one.columns] == list(one.model.encoding.names)


@pytest.fixture(scope="module")
def shop_models():
    from training.recipe import Recipe
    from training.train import train

    journey, log, _ = shop()
    recipe = Recipe(rounds_at_most=5, rows_per_leaf=20, leaves=7)
    return journey, train(journey, log, ["churn", "cltv"], recipe, 1, lambda _: None)
