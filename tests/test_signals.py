"""Signals of an event log: what is usual is told from the journey's own past."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from features.log import EventLog
from features.schema import DAY
from serving.show_drift import drift_html
from training.drift_report import drift_report
from training.signals import _expected, signals
from training.stability import psi

STEP = 28 * DAY


@pytest.fixture(scope="module")
def seen(business):
    """The events of the simulated business and the instant at which its log ends."""
    return business.log.events, business.journey.observed_until_microseconds


def unusual(business, events) -> list[tuple[str, str]]:
    found = signals(business.journey, events, business.journey.observed_until_microseconds)
    odd = sorted((one for one in found if one.unusual), key=lambda one: -abs(one.surprise))
    return [(one.kind, one.of) for one in odd]


def test_a_business_that_goes_on_as_before_raises_nothing(business, seen):
    assert unusual(business, seen[0]) == []


def test_dearer_purchases_are_a_price(business, seen):
    events, end = seen
    dearer = (pl.col("event") == "purchase") & (pl.col("time") >= end - STEP)
    changed = events.with_columns(pl.when(dearer).then(pl.col("value") * 1.6).otherwise("value").alias("value"))
    assert ("price", "purchase") in unusual(business, changed)[:3]


def test_visitors_who_move_to_the_app_are_a_channel(business, seen):
    events, end = seen
    moves = (pl.col("channel") == "web") & (pl.col("time") >= end - STEP) & (pl.col("time") // 1000 % 2 == 0)
    changed = events.with_columns(pl.when(moves).then(pl.lit("app")).otherwise("channel").alias("channel"))
    assert {"web", "app"} & {of for _, of in unusual(business, changed)[:3]}


def test_a_feed_that_ends_is_named(business, seen):
    events, end = seen
    cut = events.filter((pl.col("event") != "cart") | (pl.col("time") < end - STEP))
    assert unusual(business, cut)[0] == ("volume", "cart")


def test_an_event_type_the_models_never_saw_is_named(business, seen, trained):
    events, end = seen
    new = events.tail(1).with_columns(event=pl.lit("chat"), time=pl.lit(end - DAY), known_at=pl.lit(end - DAY))
    log = EventLog(pl.concat([events, new]))
    report = drift_report(business.journey, log, {"churn": trained["churn"].model})
    assert report.alarm
    assert report.causes[0].of == "chat"


def test_a_report_of_a_past_day_sees_nothing_later(business, seen, trained):
    events, end = seen
    at = end - 2 * STEP
    then = events.filter((pl.col("time") < at) & (pl.col("known_at") < at))
    models = {"churn": trained["churn"].model}
    reports = [drift_report(business.journey, EventLog(log), models, at).to_json() for log in (events, then)]
    assert reports[0] == reports[1]


def test_the_page_of_a_report_stands_alone(business, seen, trained):
    report = drift_report(business.journey, EventLog(seen[0]), {"churn": trained["churn"].model})
    page = drift_html(report)
    assert page.count("<svg") > 20
    assert "http" not in page.replace("http://www.w3.org", "")
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["alarm"] is report.alarm
    assert report.vectors.features


def test_few_steps_tell_nothing(business, seen):
    short = business.journey.observed_until_microseconds - int(timedelta(days=392 - 100) / timedelta(microseconds=1))
    assert signals(business.journey, seen[0], short) == []


def test_a_clear_trend_is_followed_and_noise_is_not():
    rng = np.random.default_rng(0)
    line = np.arange(12) * 0.5 + rng.normal(0, 0.1, 12)
    expected, error, _ = _expected(line, 0.03)
    assert expected == pytest.approx(6.0, abs=3 * error)
    assert error < 0.3
    flat = rng.normal(0, 0.1, 12)
    assert _expected(flat, 0.03)[0] == pytest.approx(flat.mean())


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
