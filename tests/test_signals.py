"""Signals of an event log: what is usual is told from the journey's own past."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from io import StringIO

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from rich.console import Console

from benchmarks.drift import CHANGES, named
from features.log import EventLog
from features.schema import DAY, to_text
from serving.show_drift import drift_html, drift_tables
from serving.watched import _of_drift
from training.drift_report import DriftReport, drift_report
from training.price_levels import price_levels
from training.signals import ALARM, Signal, _beside, _expected, _judged, signals
from training.stability import psi
from training.two_samples import delong, told_apart
from training.vector_drift import FeatureDrift, VectorDrift, _moves

STEP = 28 * DAY


@pytest.fixture(scope="module")
def seen(business):
    """The events of the simulated business and the instant at which its log ends."""
    return business.log.events, business.journey.observed_until_microseconds


@pytest.fixture(scope="module")
def seen_of_some(seen):
    """The same of two customers in five: whose vectors are built more quickly."""
    events, end = seen
    return events.filter(pl.col("customer_id").str.slice(-1).is_in(["2", "3", "7", "8"])), end


def unusual(business, events) -> list[tuple[str, str]]:
    found = signals(business.journey, events, business.journey.observed_until_microseconds)
    odd = sorted((one for one in found if one.unusual), key=lambda one: -abs(one.surprise))
    return [(one.kind, one.of) for one in odd]


def test_a_business_that_goes_on_as_before_raises_nothing(business, seen):
    assert unusual(business, seen[0]) == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_within_one_cutoff_and_its_cause_is_among_the_first_three(business, seen, name):
    events, end = seen
    report = drift_report(business.journey, EventLog(CHANGES[name].of(events, end - STEP)), {})
    assert named(report, CHANGES[name].causes), report.words


def test_of_a_type_that_is_nearly_all_there_is_its_own_past_tells(business, seen):
    events, end = seen
    few = events.filter(pl.col("event").is_in(["purchase", "refund"]))
    assert ("volume", "purchase") not in unusual(business, few)
    assert ("volume", "purchase") in unusual(business, CHANGES["every other purchase is lost"].of(few, end - STEP))


def test_a_price_is_that_of_the_same_customers_and_things():
    rng = np.random.default_rng(0)
    customer, step = rng.integers(0, 200, 4000), rng.integers(0, 8, 4000)
    items = 1 + rng.binomial(6, np.where(step == 7, 0.7, 0.3))  # larger baskets in the last step, dearer by a tenth
    value = np.exp(customer / 50) * items * np.where(step == 7, 1.1, 1.0) * rng.lognormal(0, 0.1, 4000)
    rows = pl.DataFrame({"customer_id": customer, "step": step, "value": value, "items": items})
    levels = price_levels(rows, {"items": "number"}, 8)
    assert levels[7] / levels[:7].mean() == pytest.approx(1.1, abs=0.02)
    assert levels[:7] / levels[:7].mean() == pytest.approx(1.0, abs=0.02)


def test_an_event_type_the_models_never_saw_is_named(business, seen_of_some, trained):
    events, end = seen_of_some
    new = events.tail(1).with_columns(event=pl.lit("chat"), time=pl.lit(end - DAY), known_at=pl.lit(end - DAY))
    log = EventLog(pl.concat([events, new]))
    report = drift_report(business.journey, log, {"churn": trained["churn"].model})
    assert report.alarm
    assert report.causes[0].of == "chat"


def rounded(told):
    """The same with numbers to nine digits: several threads add up in no order of their own."""
    if isinstance(told, float):
        return float(f"{told:.9g}")
    if isinstance(told, dict):
        return {name: rounded(value) for name, value in told.items()}
    return [rounded(value) for value in told] if isinstance(told, list | tuple) else told


def test_a_report_of_a_past_day_sees_nothing_later(business, seen_of_some, trained):
    events, end = seen_of_some
    at = end - 2 * STEP
    then = events.filter((pl.col("time") < at) & (pl.col("known_at") < at))
    of_today, about = trained["churn"].model, trained["churn"].model.about
    journey = about["journey"] | {"observed_until": to_text(at)}
    models = {"churn": of_today, "cltv": replace(of_today, about=about | {"journey": journey})}
    reports = [drift_report(business.journey, EventLog(log), models, at).to_json() for log in (events, then)]
    assert rounded(reports[0]) == rounded(reports[1])
    assert reports[0]["later_champions"] == ["churn"]  # which learned from what came later
    assert {one["what"].rpartition(" of ")[2] for one in reports[0]["moved"] if "predictions" in one["what"]} == {
        "cltv"
    }


@pytest.mark.parametrize("days", [0.01, 41.7, 100.2, 239.9])
def test_signals_of_any_past_day_are_those_that_were_told_on_it(business, seen_of_some, days):
    events, end = seen_of_some
    at = end - int(days * DAY)
    then = events.filter((pl.col("time") < at) & (pl.col("known_at") < at))
    found = [[asdict(one) for one in signals(business.journey, log, at)] for log in (events, then)]
    assert rounded(found[0]) == rounded(found[1])


def test_the_page_of_a_report_stands_alone(business, seen_of_some, trained):
    # The journey has other windows by now: the model is still shown the vectors it learned from.
    journey = business.journey.model_copy(update={"windows": business.journey.windows[:1]})
    assert any("56d" in name for name in trained["churn"].model.encoding.inputs)
    report = drift_report(journey, EventLog(seen_of_some[0]), {"churn": trained["churn"].model})
    page = drift_html(report)
    assert page.count("<svg") > 20
    assert "http" not in page
    assert "<script" not in page
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told["alarm"] is report.alarm
    assert told["features"][0]["importance"] > 0
    assert told["two_samples"]["low"] <= told["two_samples"]["auc"] <= told["two_samples"]["high"]
    last = trained["churn"].model.about["cutoffs"][-1]
    assert told["trained"][0] == last
    text = "\n".join(figures_text(told))
    assert 'journeycast_drift_moved{what="PSI of the predictions of churn"}' in text
    assert f'journeycast_drift_psi{{feature="{told["features"][0]["name"]}"}}' in text


def test_names_of_the_log_are_text_wherever_they_are_shown():
    name = '<script>alert(1)</script>[/bold]{0}"\n'
    signal = Signal("volume", name, f"{name} events", (10.0, 11.0, 0.1), 10.0, 9.0, 12.0, -9.0, 1e-6)
    report = DriftReport(name, 0, (signal,), VectorDrift((FeatureDrift(name, 1.0, 0.1, 0.5),), ()), (name,))
    page, text = drift_html(report), StringIO()
    Console(file=text, width=200).print(drift_tables(report))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<script>alert(1)</script>[/bold]" in text.getvalue()
    assert "\n".join(figures_text(report.to_json())).count("alert(1)") == 2


def figures_text(report) -> list[str]:
    """A report's figures as Prometheus reads them."""

    class Figures(Collector):
        def collect(self):
            return _of_drift(report)

    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry).decode().splitlines()


def test_few_steps_tell_nothing(business, seen):
    short = business.journey.observed_until_microseconds - int(timedelta(days=392 - 100) / timedelta(microseconds=1))
    assert signals(business.journey, seen[0], short) == []


def test_a_level_that_wanders_is_followed_and_noise_is_not():
    rng = np.random.default_rng(0)
    wandered = np.cumsum(rng.normal(0, 1, 15))
    expected, error, _ = _expected(wandered, 0.03)
    assert expected == wandered[-1]
    assert 0.6 < error < 1.6
    steady = rng.normal(0, 0.1, 15)
    expected, error, _ = _expected(steady, 0.03)
    assert expected == pytest.approx(steady.mean())
    assert error < 0.2


@pytest.mark.parametrize("level", [12, 40, 5000])
def test_counts_that_chance_alone_moves_alarm_no_more_often_than_they_may(level):
    rng = np.random.default_rng(5)
    drawn = rng.poisson(level, (2000, 16)).astype(float)
    found = [_judged(_beside("refund", counts, np.full(16, 10_000.0)), 50) for counts in drawn]
    assert sum(one.unusual for one in found) <= 2000 * 2 * ALARM / 50  # a signal's part, as heavy as tails may be
    assert all(one.low <= one.expected <= one.high for one in found)
    gone = np.append(np.full(15, float(max(level, 20))), 0.0)
    assert _judged(_beside("refund", gone, np.full(16, 10_000.0)), 50).unusual


@pytest.mark.parametrize(
    ("values", "at_least", "at_most"),
    [
        (np.random.default_rng(1).normal(0, 1, 2000), 0.0, 0.02),
        (np.random.default_rng(1).normal(1, 1, 2000), 0.5, 2.0),
        (np.full(2000, np.nan), 1.0, 20.0),
    ],
    ids=["the same", "shifted by its spread", "nothing known any more"],
)
def test_psi_tells_one_distribution_from_another(values, at_least, at_most):
    assert at_least <= psi(values, np.random.default_rng(2).normal(0, 1, 5000)) <= at_most


def test_a_feature_the_model_never_looks_at_does_not_shout(business, seen_of_some, trained):
    """All ratings of the last step lie at either end, the mean as before: signals see nothing, vectors do."""
    events, end = seen_of_some
    model, odd = trained["churn"].model, at_either_end(events, end - STEP)
    assert not {"rating_last", "rating_min", "rating_mean"} & used(model)

    def report(events, model=model):
        return drift_report(business.journey, EventLog(events), {"churn": model})

    quiet = report(odd)
    [moved] = [one for one in quiet.vectors.features if one.name == "rating_last"]
    assert moved.psi > 0.2 > 10 * moved.usual
    assert moved.importance == 0
    assert not quiet.alarm, quiet.words
    # Where something else raises an alarm the feature is none of its causes either.
    loud = report(CHANGES["every other purchase is lost"].of(odd, end - STEP))
    assert loud.alarm
    assert not [cause.words for cause in loud.causes if "rating_" in cause.words]
    # Trees that do look at it, shown the same vectors, alarm by it.
    seen = report(odd, replace(model, boosters=(of_one_feature(model, "rating_last"),)))
    assert [cause.of for cause in seen.causes][-1] == "rating_last"
    assert any(one.what.startswith("PSI of the features") for one in seen.moved)


def used(model) -> set[str]:
    """The columns that a model's trees or lines look at."""
    gains = sum(booster.feature_importance("gain") for booster in model.boosters)
    slopes = sum((np.abs(line.slopes) for line in model.lines if line is not None), np.zeros(len(gains)))
    return {name for name, moves in zip(model.encoding.names, gains + slopes, strict=True) if moves > 0}


def at_either_end(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """The ratings from an instant on are 1 or 5, but for one; their sum stays."""
    mine = pl.col("rating").is_not_null() & (pl.col("time") >= begins)
    told = events.filter(mine)["rating"].to_numpy()
    fives, rest = divmod(int(told.sum()) - len(told), 4)
    changed = np.array([5.0] * fives + [1.0 + rest] + [1.0] * (len(told) - fives - 1))
    np.random.default_rng(0).shuffle(changed)
    places = events.with_row_index().filter(mine)["index"]
    return events.with_columns(events["rating"].scatter(places, pl.Series(changed)))


def of_one_feature(model, name: str) -> lgb.Booster:
    """Trees that were grown on a single column of a model's matrix."""
    rng = np.random.default_rng(0)
    matrix = np.zeros((500, len(model.encoding.names)))
    matrix[:, model.encoding.names.index(name)] = rng.integers(1, 6, 500)
    settings = {"objective": "binary", "num_leaves": 4, "num_threads": 1, "verbose": -1}
    return lgb.train(settings, lgb.Dataset(matrix, rng.random(500) < matrix.sum(axis=1) / 6), 5)


def test_a_classifier_tells_apart_what_differs_and_nothing_else():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0, 1, (400, 4)), rng.normal(0, 1, (400, 4))
    same = told_apart(one, other)
    other[:, 2] += 1.5
    differs = told_apart(one, other)
    assert same.interval[0] < 0.5 < same.interval[1]
    assert differs.interval[0] > 0.75
    assert np.argmax(differs.by) == 2
    assert told_apart(one[:20], other) is None


def test_the_area_under_the_curve_and_its_error_are_those_of_many_draws():
    rng = np.random.default_rng(4)
    auc, variance = delong(rng.normal(1, 1, 200), rng.normal(0, 1, 300))
    drawn = [delong(rng.normal(1, 1, 200), rng.normal(0, 1, 300))[0] for _ in range(400)]
    assert auc == pytest.approx(np.mean(drawn), abs=0.08)
    assert np.sqrt(variance) == pytest.approx(np.std(drawn), rel=0.25)


def test_a_column_that_moves_values_by_the_line_alone_matters_too(seen_of_some, trained):
    model = trained["cltv"].model
    gains = sum(booster.feature_importance("gain") for booster in model.boosters)
    by_line = np.any([np.array(line.slopes) != 0 for line in model.lines if line is not None], axis=0) & (gains == 0)
    assert by_line.any()
    matrix = np.random.default_rng(0).gamma(2, 3, (50, len(model.encoding.names)))
    shares = _moves(model, matrix)
    assert (shares[by_line] > 0).all()
    assert shares.sum() == pytest.approx(1)
