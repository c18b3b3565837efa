"""What runs expected beside what happened: counted as it was known, kept although runs go, told once."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from io import StringIO

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sqlalchemy import func, select
from stores import VERSIONS, answer_of, execute

from features.errors import InputError
from features.instants import microseconds
from features.journey import Journey
from features.log import EventLog
from features.schema import CONTACTED, DAY, to_datetime, to_text
from serving import estimates, performance
from serving.beside import Beside
from serving.expectations import drawn, of_journey
from serving.judging import grades, judge_all
from serving.proportions import share
from serving.realised import Lookout, reports
from serving.registry import models
from serving.show_outcomes import outcomes_shown, outcomes_tables
from serving.store import Options, Store
from serving.tables import expectations, runs
from training.hindsight import Answered, _cutoffs, _examples, hindsight, rule_answers

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


def expect(
    store: Store,
    chances: dict[str, float],
    cutoff: int = CUTOFF,
    knows: int = 0,
    journey: Journey = SHOP,
    **others: int,
) -> int:
    """A run that expects these chances of churn, by a model that knew the log up to an instant; versions of others."""
    versions = {"churn": 3, **others}
    answers = [answer_of(name, probability=chance, expected=None) for name, chance in chances.items()]
    beside = Beside(store, journey, None, lambda: None, dict.fromkeys(versions, knows))
    beside.answered(answers, len(answers))
    kept = [one for one in beside.kept() if type(one).__name__ == "_Expected"]
    options = Options(documents=lambda: kept)
    return store.write_run(journey.journey, cutoff, cutoff + DAY, versions, answers, options=options)


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


def test_who_was_contacted_within_the_horizon_or_the_days_of_rest_before_it_stands_apart(store):
    expect(store, EIGHT)
    rested = SHOP.model_copy(update={"campaign": SHOP.campaign.model_copy(update={"rest_days": 2.0})})
    contacts = [("c0", 12), ("c1", 9), ("c2", 39), ("c3", 7.9)]
    lookout = Lookout(store, rested, anew=True)
    lookout.add(log(*BEFORE, *((name, day, CONTACTED) for name, day in contacts)))
    [found] = lookout.found()
    assert found.found.filter("contacted_churn")["customer_id"].to_list() == ["c0", "c1"]
    report = found.report(rested)
    churn = report["tasks"]["churn"]
    assert (churn["contacted"]["customers"], churn["not_contacted"]["customers"]) == (2, 6)
    assert "a contact is made to change" in report["why_apart"]


def test_a_task_that_was_taken_out_of_the_journey_is_told_of_no_more(store):
    expect(store, EIGHT)
    lookout = Lookout(store, SHOP, anew=True)
    lookout.add(log(*BEFORE))
    [one] = lookout.found()
    of_both = one._replace(run=one.run._replace(versions={"churn": 3, "cltv": 1}))
    assert grades(of_both, SHOP, EventLog(log(*BEFORE))) == {"churn": None}
    assert [set(run["tasks"]) for run in estimates.of_runs(store, SHOP)] == [{"churn"}]


def test_chances_of_a_stage_that_was_taken_out_are_compared_with_nothing():
    found = pl.DataFrame({"next_stage": ['{"active": 0.8, "new": 0.2}'], "became": ["active"]})
    found = found.with_columns(contacted_next_stage=False, drawn_next_stage=1.0)
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


def test_predictions_of_a_version_count_once_though_another_tasks_changed_and_all_were_scored_again(store):
    for cutoff, cltv in ((CUTOFF, 1), (CUTOFF, 2), (CUTOFF + DAY, 2), (20 * DAY, 2)):
        expect(store, EIGHT, cutoff, cltv=cltv)
    with store.transaction() as connection:
        followed = [(one.cutoff, one.versions) for one in of_journey(connection, "shop")]
    assert followed == [(CUTOFF, {"churn": 3, "cltv": 1}), (CUTOFF, {"cltv": 2}), (20 * DAY, {"churn": 3, "cltv": 2})]
    judged = judge_all(store, SHOP, EventLog(log(*BEFORE)), None, lambda _: None)
    [one] = judged.versions
    assert (one["version"], one["runs"], one["rows"]) == (3, 2, 16)
    assert [report["cutoff"] for report in judged.reports] == [to_text(CUTOFF), to_text(20 * DAY)]


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
    assert replayed[:2] == judge_all(store, that_day, EventLog(then), None, lambda _: None, instant)[:2]
    assert replayed.reports[0]["tasks"]["churn"]["grade"]["letter"] in "ABCD"


def test_rules_learn_from_horizons_the_log_was_complete_for_when_the_run_was_made(graded):
    """Events that came in moved the cutoff thirty days ahead; who was silent since had not left."""
    found = {}
    for complete in (70, 100):
        said = Answered("churn", 100 * DAY, complete * DAY, pl.Series(list(FORTY)), *[np.empty(0)] * 3)
        found[complete] = _cutoffs(LONG, EventLog(log(*graded[1])), said)[-1] // DAY
    assert found == {70: 42, 100: 72}  # the horizon is 28 days


def test_rules_are_fitted_on_some_of_very_many_customers_the_same_ones_on_every_run(graded, monkeypatch):
    events = EventLog(log(*graded[1]))
    labels = np.arange(40) % 2.0
    said = Answered("churn", 100 * DAY, 100 * DAY, pl.Series(list(FORTY)), np.full(40, 0.5), labels, np.ones(40))
    asked, cutoffs = said.keys, _cutoffs(LONG, events, said)
    found = {}
    for most in (20_000, 40, 15):
        monkeypatch.setattr("training.hindsight._CUSTOMERS", most)
        keys, came = _examples(LONG, events, said, cutoffs)
        answers = rule_answers(LONG, events, "churn", asked).tolist()
        found[most] = keys.with_columns(came=came), hindsight(LONG, events, said), answers
        again = _examples(LONG, EventLog(events.events.reverse()), said, cutoffs)[0]
        assert again.equals(keys)
    (every, *told), (forty, *as_told), (some, grade, answers) = found.values()
    assert every.equals(forty)
    assert told == as_told
    assert 5 < some["customer_id"].n_unique() < 25
    assert some.equals(every.filter(pl.col("customer_id").is_in(some["customer_id"].unique().implode())))
    assert grade is not None
    assert len(answers) == 40
    assert answers != told[1]


def test_a_run_without_a_grade_is_judged_anew_only_where_what_happened_or_the_past_changed(store):
    def judged(*more, who=tuple(FORTY)[:8]) -> tuple[list[str], str | None]:
        anew: list[str] = []
        events = EventLog(log(*((name, 5, "buy") for name in who), *more))
        [report] = judge_all(store, SHOP, events, None, anew.append).reports
        with store.transaction() as connection:
            assert reports(connection, "shop") == [report]
        return anew, report["tasks"]["churn"].get("not_graded")

    run = [f"run 1 of {to_text(CUTOFF)[:10]}"]
    expect(store, FORTY)
    few, enough = "fewer than 10 customers", "no earlier outcome was known"
    assert [judged() for _ in range(2)] == [(run, few), ([], few)]
    assert [judged(("c00", 20, "buy")) for _ in range(2)] == [(run, few), ([], few)]
    assert [judged(who=FORTY) for _ in range(2)] == [(run, enough), ([], enough)]
    ancient = ("c00", -400, "buy")  # a past that came in late
    assert [judged(ancient, who=FORTY) for _ in range(2)] == [(run, None), ([], None)]


def test_a_model_that_had_learned_from_what_came_is_told_apart_and_neither_graded_nor_pooled_nor_estimated(graded):
    store, rows = graded
    journey = LONG.model_copy(update={"journey": "known"})
    expect(store, FORTY, 70 * DAY, 70 * DAY + 1, journey)
    told = judge_all(store, journey, EventLog(log(*rows)), None, lambda _: None)
    churn = told.reports[0]["tasks"]["churn"]
    assert (churn["in_sample"], churn["knows_until"], churn["grade"]) == (True, to_text(70 * DAY + 1), None)
    assert (told.versions, estimates.of_runs(store, journey)[0]["tasks"]) == ([], {})
    assert "in sample, which proves nothing: this version knew the log up to 1970-03-12" in shown(told.reports[0])
    expect(store, FORTY, 70 * DAY + 1, 70 * DAY + 1, journey)  # nor does it stand in the way of one that had not
    told = judge_all(store, journey, EventLog(log(*rows)), None, lambda _: None)
    assert [report["tasks"]["churn"]["in_sample"] for report in told.reports] == [True, False]
    assert told.reports[1]["tasks"]["churn"]["grade"]
    assert [one["runs"] for one in told.versions] == [1]


def shown(report: dict) -> str:
    """A report as a terminal has it."""
    return printed(outcomes_tables(report))


def printed(*parts) -> str:
    console = Console(width=200, file=StringIO())
    for part in parts:
        console.print(part)
    return console.file.getvalue()


def test_versions_are_told_first_then_one_run_in_full_and_the_others_in_a_line_each(store):
    for cutoff in (10, 20, 30):
        expect(store, EIGHT, cutoff * DAY)
    found, versions, _ = judge_all(store, SHOP, EventLog(log(*BEFORE)), None, lambda _: None)
    lines = printed(*outcomes_shown(found, versions)).splitlines()
    assert lines[0].startswith("Versions over all of their runs at hand")
    runs = [line for line in lines if line.startswith("Run ")]
    assert runs == [
        "Run 3, known before 1970-01-31: 8 customers followed up",
        "Run 2, known before 1970-01-21: churn version 3 not graded",
        "Run 1, known before 1970-01-11: churn version 3 not graded",
    ]
    first = [line[:6] for line in printed(*outcomes_shown(found, versions, 1)).splitlines() if line.startswith("Run ")]
    assert first == ["Run 1,", "Run 3,", "Run 2,"]
    with pytest.raises(InputError, match=r"--run: 9[\s\S]*over: 1, 2, 3"):
        list(outcomes_shown(found, versions, 9))


def test_a_run_is_not_told_of_at_a_date_when_its_model_was_not_there_yet(store):
    expect(store, EIGHT, CUTOFF, knows=50 * DAY)
    assert told(store, log(*BEFORE), at=49.9) == []
    assert len(told(store, log(*BEFORE), at=50)) == 1


DAYS = st.floats(0, 80).map(lambda day: int(day * DAY))


@settings(max_examples=6)
@given(
    rows=histories(),
    made=st.lists(st.tuples(DAYS, DAYS), min_size=1, max_size=3),
    at=st.floats(28, 80),
    number=st.uuids(),
)
def test_replayed_at_a_past_date_runs_and_models_are_those_of_that_date(followed, rows, made, at, number):
    """Runs in the order in which they were made: at their cutoff, or later by a model that knows the log up to then."""
    made, instant, everything = sorted(made, key=max), int(at * DAY), log(*BEFORE, *rows)
    then = everything.filter((pl.col("time") < instant) & (pl.col("known_at") < instant))
    end = SHOP.model_copy(update={"observed_until": to_datetime(80 * DAY), "journey": f"now {number}"})
    that_day = end.model_copy(update={"observed_until": to_datetime(instant), "journey": f"then {number}"})
    for cutoff, knows in made:
        expect(followed, EIGHT, cutoff, knows, end)
        if max(cutoff, knows) <= instant:
            expect(followed, EIGHT, cutoff, knows, that_day)
    replayed = judge_all(followed, end, EventLog(everything), None, lambda _: None, instant)
    lived = judge_all(followed, that_day, EventLog(then), None, lambda _: None)
    assert (nameless(replayed.reports), replayed.versions) == (nameless(lived.reports), lived.versions)


def nameless(reports: list[dict]) -> list[dict]:
    """Reports without the ids of their runs."""
    return [report | {"run_id": None} for report in reports]


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


@pytest.fixture(scope="module")
def judged(business, later, champions, tmp_path_factory):
    """A business scored on the day up to which its models know theirs, judged 56 days later, twice; both reports."""
    from serving.batch import score

    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('judged')}/scores.db")) as store:
        score(business.journey, later.log, champions.scorer, store, lambda done, of: None)
        runs = [
            judge_all(store, later.journey, later.log, champions.tracking, lambda _: None).reports for _ in range(2)
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
