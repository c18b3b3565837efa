"""Backtest: at every origin only what was known then, beside the rules, and honest where history ends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import mlflow
import numpy as np
import polars as pl
import pytest
from rich.console import Console
from shop import DEFINITION, write_log

from features.definition import read as read_journey
from features.errors import InputError
from features.instants import microseconds
from features.log import EventLog, read
from features.schema import KNOWN_AT, TIME
from serving.show_backtest import backtest_tables
from training.backtest import backtest
from training.examples import as_known_at, examples, is_late, known
from training.origins import carrying, fitting
from training.plots_backtest import figures
from training.recipe import Recipe

SMALL = Recipe(learning_rate=0.2, leaves=7, rows_per_leaf=20, rounds_at_most=12, patience=5)
DAY = microseconds(timedelta(days=1))


def run(journey, log, *tasks, origins=2):
    return backtest(journey, log, tasks, SMALL, origins, 1, lambda _: None)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop with cutoffs every two weeks."""
    folder = tmp_path_factory.mktemp("shop")
    write_log(folder / "events.csv")
    (folder / "shop.yml").write_text(DEFINITION + "cutoffs: {every: 14d}\n")
    return read(*read_journey(folder / "shop.yml"), threads=1)


@pytest.fixture(scope="module")
def found(shop):
    return run(*shop, "churn", "next_stage", "cltv")


# What an origin knows


def test_every_origin_is_trained_on_horizons_that_were_over(shop, found):
    for one in found:
        horizon = microseconds(getattr(shop[0].tasks, one.task).within)
        for origin in one.origins:
            assert max(*origin.blocks.trees, *origin.blocks.calibrate) + horizon <= origin.instant
            assert origin.blocks.test == (origin.instant,)


def test_nothing_that_comes_after_the_horizon_of_an_origin_changes_it(shop, found):
    journey, log = shop
    first = found[0].origins[0]
    end = first.instant + microseconds(journey.tasks.churn.within)
    cut = EventLog(log.events.filter(pl.col(TIME) < end), log.profile)
    until = journey.model_copy(update={"observed_until": pl.Series([end]).cast(pl.Datetime("us", "UTC"))[0]})
    again = run(until, cut, "churn", origins=1)[0].origins[0]
    assert again.instant == first.instant
    assert again.assessment.metrics == pytest.approx(first.assessment.metrics, nan_ok=True)
    np.testing.assert_array_equal(again.assessment.predicted, first.assessment.predicted)


def test_labels_are_what_the_business_had_learned_by_the_origin(shop):
    journey, log = shop
    data = examples(journey, log, ["churn"])["churn"]
    origin = data.cutoffs[-1]
    assert not is_late(log.events, origin)
    # Purchases of the horizons of old cutoffs become known only after the origin: those customers seem to have churned.
    late = pl.when(pl.col(TIME) >= data.cutoffs[0]).then(pl.lit(origin)).otherwise(pl.col(KNOWN_AT))
    events = log.events.with_columns(late.alias(KNOWN_AT))
    assert is_late(events, origin)
    assert known(events, origin)[TIME].max() < data.cutoffs[0]
    then = as_known_at(origin, data, journey, events)
    past = ~then.at((origin,))
    assert then.labels[past].min() == 1
    np.testing.assert_array_equal(then.labels[~past], data.labels[data.at((origin,))])


# What is told


def test_every_metric_has_its_mean_and_spread_beside_every_rule(found):
    for one in found:
        told = json.loads(json.dumps(one.to_json(), allow_nan=False))
        values = [origin["metrics"]["log_loss" if one.task != "cltv" else "rmse"] for origin in told["origins"]]
        name = "log_loss" if one.task != "cltv" else "rmse"
        assert told["mean"][name] == pytest.approx(np.mean(values))
        assert told["spread"][name] == pytest.approx(np.std(values, ddof=1))
        assert set(told["mean"]) >= set(told["origins"][0]["metrics"])
        assert set(told["rules"]) == set(told["origins"][0]["rules"])
        assert all(set(rule["mean"]) <= set(told["mean"]) for rule in told["rules"].values())


def test_the_grade_is_that_of_all_origins_rows_together(found):
    for one in found:
        losses = np.concatenate([origin.assessment.losses for origin in one.origins])
        rule = np.concatenate([origin.assessment.rule_losses[one.grade.rule] for origin in one.origins])
        assert one.grade.rule == one.rules[0]
        assert one.grade.ahead == pytest.approx(1 - losses.sum() / rule.sum())


def test_a_metric_that_one_origin_lacks_is_told_over_the_others(found):
    churn = next(one for one in found if one.task == "churn")
    metrics = churn.origins[0].assessment.metrics
    kept = metrics.pop("profit")
    try:
        mean, spread = churn.over_origins()["profit"]
    finally:
        metrics["profit"] = kept
    assert mean == churn.origins[1].assessment.metrics["profit"]
    assert np.isnan(spread)


def test_the_terminal_shows_model_rules_and_origins(found):
    console = Console(width=110, record=True, file=StringIO())
    for one in found:
        console.print(backtest_tables(one))
    text = console.export_text()
    assert "churn, next 28 days: mean ± spread over 2 origins" in text
    assert text.count("journeycast as of") == 3
    assert "Over all origins: grade" in text
    assert "…" not in text


def test_there_is_a_plot_of_each_task(found):
    drawn = figures(found)
    assert set(drawn) == {"backtest_churn.png", "backtest_next_stage.png", "backtest_cltv.png"}
    for figure in drawn.values():
        assert all(len(axes.lines) >= 2 for axes in figure.axes if axes.get_visible())


def test_mlflow_keeps_one_run_with_every_origin(found, shop, empty):
    run_id = empty.log_backtest(shop[0], found, SMALL)
    data = empty.client.get_run(run_id).data
    history = empty.client.get_metric_history(run_id, "churn/log_loss")
    assert [(point.step, point.value) for point in history] == [
        (step, origin.assessment.metrics["log_loss"]) for step, origin in enumerate(found[0].origins)
    ]
    assert data.metrics["churn/log_loss_mean"] == pytest.approx(found[0].over_origins()["log_loss"][0])
    assert "churn/rule/base rate/log_loss" in data.metrics
    assert data.tags["churn_words"] == found[0].grade.words
    files = {file.path for file in empty.client.list_artifacts(run_id)}
    assert files >= {"backtest.json", "journey.json", "backtest_churn.png"}
    assert empty.client.search_registered_models() == []
    assert mlflow.active_run() is None


# Where history ends


def test_an_origin_fits_where_three_blocks_a_horizon_apart_lie_before_its_end():
    days = [14 * DAY * number for number in range(6)]
    assert fitting(days, timedelta(days=28)) == days[4:]
    assert fitting(days, timedelta(days=14)) == days[2:]
    assert fitting(days[:2], timedelta(days=14)) == []


def test_too_many_origins_are_refused_with_how_many_fit(shop):
    with pytest.raises(InputError, match=r"50 origins are more than the history carries: churn \d+ \(horizon 28d\)"):
        run(*shop, "churn", origins=50)


def test_the_tasks_that_carry_the_origins_are_named(shop):
    journey, log = shop
    fits = {
        name: len(fitting(data.cutoffs, getattr(journey.tasks, name).within))
        for name, data in examples(journey, log, ["churn", "cltv"]).items()
    }
    assert fits["cltv"] < fits["churn"]
    with pytest.raises(InputError, match=rf"churn {fits['churn']} .*, cltv {fits['cltv']} ") as caught:
        run(journey, log, "churn", "cltv", origins=fits["churn"])
    assert f"--task churn for those that carry {fits['churn']}" in caught.value.do
    assert "more customers" not in caught.value.do
    assert caught.value.accepted == f"--origins {fits['cltv']} at most"


def test_an_origin_before_which_too_few_churned_is_passed_over(shop):
    journey, log = shop
    data = examples(journey, log, ["churn"])["churn"]
    fits = fitting(data.cutoffs, journey.tasks.churn.within)
    assert carrying(journey, log, data, 99) == fits
    assert carrying(journey, log, data, 2) == fits[-2:]
    thin = data.at(tuple(cutoff for cutoff in data.cutoffs if cutoff < fits[1]))
    without = replace(data, labels=np.where(thin, 0.0, data.labels))
    carried = carrying(journey, log, without, 99)
    assert 0 < len(carried) < len(fits)
    assert carried == fits[-len(carried) :]


def test_origins_with_too_few_customers_are_counted_and_the_way_out_is_more_of_them(tmp_path):
    write_log(tmp_path / "events.csv", customers=120)
    (tmp_path / "shop.yml").write_text(DEFINITION + "cutoffs: {every: 14d}\n")
    told = r"churn \d+ \(horizon 28d; at \d+ more, too few customers of an outcome\)"
    with pytest.raises(InputError, match=told) as caught:
        run(*read(*read_journey(tmp_path / "shop.yml"), threads=1), "churn", origins=20)
    assert caught.value.do == "give a longer log, more customers"
