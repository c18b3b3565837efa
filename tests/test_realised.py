"""What runs expected beside what happened: counted as it was known, kept although runs go, told once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from stores import VERSIONS, answer_of, execute

from features.instants import microseconds
from features.journey import Journey
from features.log import EventLog
from features.schema import CONTACTED, DAY, to_datetime, to_text
from serving import performance
from serving.beside import Beside
from serving.compared import mean
from serving.expectations import drawn
from serving.judging import expected_of, grades, judge_all
from serving.proportions import share
from serving.realised import Lookout, reports
from serving.registry import models
from serving.store import Options, Store
from serving.tables import expectations, runs
from training.hindsight import Answered, _examples

SHOP = Journey.model_validate(
    {
        "journey": "shop",
        "observed_until": "1970-03-01T00:00:00Z",
        "events": [{"file": "none.csv"}],
        "types": ["buy", "visit"],
        "conversion": "buy",
        "stages": {"new": {}, "active": {"any_of": ["buy"], "within": "14d"}},
        "tasks": {"churn": {"no": "buy", "within": "28d", "eligible": {"any_of": ["buy"]}}},
    }
)
CUTOFF, HORIZON = 10 * DAY, 28 * DAY


def log(*rows: tuple[str, float, str] | tuple[str, float, str, float]) -> pl.DataFrame:
    """Events as (customer, day, type) or (customer, day, type, day it became known)."""
    days = [(customer, day, event, *(known or [day])) for customer, day, event, *known in rows]
    return (
        pl.DataFrame(
            [(c, int(day * DAY), e, None, None, int(max(day, known) * DAY)) for c, day, e, known in days],
            schema={
                "customer_id": pl.String,
                "time": pl.Int64,
                "event": pl.String,
                "value": pl.Float64,
                "channel": pl.String,
                "known_at": pl.Int64,
            },
            orient="row",
        )
        .sort("customer_id", "time", maintain_order=True)
        .with_columns(position=pl.int_range(pl.len()).over("customer_id"))
    )


def expect(store: Store, chances: dict[str, float], cutoff: int = CUTOFF) -> int:
    """A run that expects these chances of churn."""
    answers = [answer_of(name, probability=chance, expected=None) for name, chance in chances.items()]
    beside = Beside(store, SHOP, None, lambda: None)
    beside.answered(answers, len(answers))
    kept = [one for one in beside.kept() if type(one).__name__ == "_Expected"]
    return store.write_run("shop", cutoff, cutoff + DAY, {"churn": 3}, answers, options=Options(documents=lambda: kept))


def told(store: Store, events: pl.DataFrame, at: float | None = None) -> list[dict]:
    """The reports by what was known before a day."""
    lookout = Lookout(store, SHOP, None if at is None else int(at * DAY), anew=True)
    lookout.add(events)
    return [one.report(SHOP) for one in lookout.found()]


EIGHT = {f"c{n}": 0.9 if n < 3 else 0.1 for n in range(8)}
BEFORE = [(name, 5, "buy") for name in EIGHT]


def test_a_run_is_compared_by_risk_band_with_the_share_that_really_left(store):
    expect(store, EIGHT)
    came_back = [(f"c{n}", 20, "buy") for n in range(2, 8)]
    [report] = told(store, log(*BEFORE, *came_back))
    found = report["tasks"]["churn"]["not_contacted"]
    rows = {row["group"]: (row["customers"], row["expected"], row["realised"]) for row in found["bands"]}
    assert rows == {"high": (3, pytest.approx(0.9), pytest.approx(2 / 3)), "low": (5, pytest.approx(0.1), 0.0)}
    assert found["all"]["low"] < 2 / 8 < found["all"]["high"]
    assert {"grade", "metrics", "contacted"} <= set(report["tasks"]["churn"])


def test_who_was_contacted_within_the_horizon_stands_apart(store):
    expect(store, EIGHT)
    events = log(*BEFORE, ("c0", 12, CONTACTED), ("c1", 9, CONTACTED), ("c2", 39, CONTACTED))
    [report] = told(store, events)
    churn = report["tasks"]["churn"]
    assert (churn["contacted"]["customers"], churn["not_contacted"]["customers"]) == (1, 7)
    assert "a contact is made to change" in report["why_apart"]


def test_a_task_that_was_taken_out_of_the_journey_is_told_of_no_more(store):
    expect(store, EIGHT)
    lookout = Lookout(store, SHOP, anew=True)
    lookout.add(log(*BEFORE))
    [one] = lookout.found()
    of_both = one._replace(run=one.run._replace(versions={"churn": 3, "cltv": 1}))
    assert grades(of_both, SHOP, EventLog(log(*BEFORE))) == {"churn": None}
    assert [set(run["tasks"]) for run in expected_of(store, SHOP)] == [{"churn"}]


def test_chances_of_a_stage_that_was_taken_out_are_compared_with_nothing():
    found = pl.DataFrame({"next_stage": ['{"active": 0.8, "new": 0.2}'], "became": ["active"]})
    found = found.with_columns(contacted_next_stage=False)
    assert performance.asked("next_stage", found, SHOP).predicted.tolist() == [[0.2, 0.8]]
    before = found.with_columns(next_stage=pl.lit('{"active": 0.5, "lapsed": 0.3, "new": 0.2}'))
    assert performance.asked("next_stage", before, SHOP).predicted.shape == (0, 2)


def test_a_version_is_told_over_all_of_its_runs_and_a_customer_in_two_of_them_counts_once(store):
    for cutoff in (CUTOFF, 20 * DAY):
        expect(store, EIGHT, cutoff)
    stayed = [(f"c{n}", day, "buy") for n in range(2, 8) for day in (20, 40)]
    [one] = judge_all(store, SHOP, EventLog(log(*BEFORE, *stayed)), None, lambda _: None).versions
    assert (one["task"], one["version"], one["runs"], one["customers"], one["rows"]) == ("churn", 3, 2, 8, 16)
    assert (one["expected"], one["realised"]) == (pytest.approx(0.4), 2 / 8)
    alone = share(2, 8)
    assert one["high"] - one["low"] == pytest.approx(alone.high - alone.low, rel=0.15)
    assert [(row["group"], row["customers"]) for row in one["bands"]] == [("high", 3), ("low", 5)]


def test_nothing_is_told_before_the_horizon_is_over(store):
    expect(store, EIGHT)
    assert told(store, log(*BEFORE), at=37.9) == []
    assert len(told(store, log(*BEFORE), at=38)) == 1


def test_what_is_learned_late_changes_the_report_from_then_on(store):
    expect(store, EIGHT)
    events = log(*BEFORE, ("c0", 20, "buy", 45))
    rates = [told(store, events, at=day)[0]["tasks"]["churn"]["not_contacted"]["all"]["realised"] for day in (40, 46)]
    assert rates == [1.0, 7 / 8]


@st.composite
def histories(draw) -> list[tuple[str, float, str, float]]:
    """What eight customers did, and when it was learned."""
    one = st.tuples(
        st.sampled_from(list(EIGHT)),
        st.floats(0, 70),
        st.sampled_from(["buy", "visit", CONTACTED]),
        st.floats(0, 80),
    )
    return draw(st.lists(one, max_size=25))


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A store in which the eight are followed up."""
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('followed')}/scores.db")) as opened:
        expect(opened, EIGHT)
        yield opened


@settings(max_examples=15)
@given(rows=histories(), at=st.floats(38, 80))
def test_a_report_of_any_past_date_is_what_was_told_on_that_date(followed, rows, at):
    everything = log(*BEFORE, *rows)
    then = everything.filter((pl.col("time") < int(at * DAY)) & (pl.col("known_at") < int(at * DAY)))
    assert told(followed, everything, at) == told(followed, then, at)


LONG = SHOP.model_copy(
    update={
        "observed_until": to_datetime(130 * DAY),
        "cutoffs": SHOP.cutoffs.model_copy(update={"every": timedelta(days=7), "history": timedelta(days=14)}),
    }
)
FORTY = {f"c{n:02}": (n + 0.5) / 40 for n in range(40)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A store in which a run of forty is followed up, and what the forty are known to have done."""
    rng = np.random.default_rng(4)
    rows = [(name, day, "buy") for n, name in enumerate(FORTY) for day in rng.uniform(0, 130, int(2 + n % 7))]
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('graded')}/scores.db")) as opened:
        expect(opened, FORTY, 70 * DAY)
        yield opened, rows


@settings(max_examples=5)
@given(
    late=st.lists(st.tuples(st.sampled_from(list(FORTY)), st.floats(0, 130), st.floats(0, 130))), at=st.floats(98, 130)
)
def test_grades_and_versions_replayed_at_a_past_date_use_what_was_known_then(graded, late, at):
    store, rows = graded
    everything = log(*rows, *((name, day, "buy", known) for name, day, known in late))
    instant = int(at * DAY)
    then = everything.filter((pl.col("time") < instant) & (pl.col("known_at") < instant))
    that_day = LONG.model_copy(update={"observed_until": to_datetime(instant)})
    replayed = judge_all(store, LONG, EventLog(everything), None, lambda _: None, instant)
    assert replayed == judge_all(store, that_day, EventLog(then), None, lambda _: None, instant)
    assert replayed.reports[0]["tasks"]["churn"]["grade"]["letter"] in "ABCD"


def test_rules_learn_from_horizons_the_log_was_complete_for_when_the_run_was_made(graded):
    """Events that came in moved the cutoff thirty days ahead; who was silent since had not left."""
    found = {}
    for complete in (70, 100):
        said = Answered("churn", 100 * DAY, complete * DAY, pl.Series(list(FORTY)), np.empty(0), np.empty(0))
        keys, _ = _examples(LONG, EventLog(log(*graded[1])), said)
        found[complete] = keys["cutoff"].max() // DAY
    assert found == {70: 42, 100: 72}  # the horizon is 28 days


def test_expectations_outlive_their_run(url):
    with closing(Store(url, keep=1)) as store:
        expect(store, EIGHT)
        store.write_run("shop", 60 * DAY, 61 * DAY, VERSIONS, [answer_of("c1")])
        assert execute(url, select(func.count()).select_from(runs)).scalar() == 1
        assert len(told(store, log(*BEFORE))) == 1
        assert execute(url, select(func.count()).select_from(expectations)).scalar() == 8


def test_runs_close_to_one_another_are_followed_up_once(store):
    for cutoff in (10, 11, 16.9, 17):
        expect(store, EIGHT, int(cutoff * DAY))
    assert [one["cutoff"] for one in told(store, log(*BEFORE))] == [to_text(10 * DAY), to_text(17 * DAY)]


def test_of_many_customers_the_same_part_is_followed_up_in_every_run():
    chosen = {f"c{n}" for n in range(100_000) if drawn(f"c{n}", 100_000)}
    assert len(chosen) == pytest.approx(20_000, rel=0.03)
    assert all(drawn(name, 50_000) for name in chosen)


def test_the_mean_of_few_and_of_many_has_its_interval():
    values = np.random.default_rng(1).gamma(1, 50, 5_000)
    for size in (400, 5_000):
        found = mean(values[:size])
        assert found.low < 50 < found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 * 50 / size**0.5, rel=0.25)


@pytest.fixture(scope="module")
def judged(business, champions, tmp_path_factory):
    """The business scored 56 days before the end, judged twice; the reports of both."""
    from serving.batch import score

    early = business.journey.model_copy(update={"observed_until": business.journey.observed_until - timedelta(days=56)})
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('judged')}/scores.db")) as store:
        score(early, business.log, champions.scorer, store, lambda done, of: None)
        runs = [
            judge_all(store, business.journey, business.log, champions.tracking, lambda _: None).reports
            for _ in range(2)
        ]
        with store.transaction() as connection:
            yield runs, reports(connection, "simulated"), microseconds(timedelta(days=56))


def test_a_run_of_the_business_is_graded_against_the_rules_of_that_day(judged):
    (first, again), stored, _ = judged
    [report] = first
    assert first == again
    assert stored == first
    assert {name: task["grade"]["letter"] for name, task in report["tasks"].items()}.keys() == {
        "churn",
        "next_stage",
        "cltv",
    }
    assert report["tasks"]["churn"]["grade"]["letter"] in "AB"
    assert report["tasks"]["churn"]["metrics"]["roc_auc"] > 0.75
    assert len(report["tasks"]["cltv"]["not_contacted"]["deciles"]) == 10
    assert 0.6 < report["tasks"]["cltv"]["metrics"]["coverage"] <= 1


def test_realised_numbers_stand_beside_the_training_once(judged, champions):
    (first, _), _, _ = judged
    churn = next(one for one in models("simulated", champions.uri) if one["task"] == "churn")
    expected = first[0]["tasks"]["churn"]
    assert churn["realised"]["roc_auc"] == pytest.approx(expected["metrics"]["roc_auc"])
    assert not any(name.startswith("realised") for name in churn["metrics"])
    version = champions.tracking.version("simulated", "churn", 1)
    history = champions.tracking.client.get_metric_history(version.run_id, "realised/roc_auc")
    assert len(history) == 1
