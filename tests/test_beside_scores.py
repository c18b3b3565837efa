"""What runs tell beside their answers: realised outcomes, event counts; and models steered from the pages."""

from __future__ import annotations

from contextlib import closing
from threading import Event

import polars as pl
import pytest
from spec import SHOP, at, changed, log
from sqlalchemy import select
from stores import answer_of
from test_stored_histories import came_in

from features.errors import InputError
from features.event_counts import OTHERS, EventCounts
from features.schema import CONTACTED, DAY, to_datetime, to_text
from serving import documented, estimates, events, expectations, watched
from serving.beginning import begin
from serving.beside import Beside
from serving.documented import Document
from serving.realised import Lookout, reports
from serving.steering import Helm, Steering
from serving.store import Options, Store
from serving.tables import runs

JOURNEY = changed(SHOP, profile=None).model_copy(update={"observed_until": to_datetime(at(0))})
BOUGHT = "day | event | value\n-90 | purchase | 10\n"


@pytest.fixture
def store(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        yield store


def run_at(store, cutoff, *answers):
    beside = Beside(store, JOURNEY, None, lambda: None, {"churn": cutoff, "cltv": cutoff}, pages=False)
    beside.answered(list(answers), len(answers))
    kept = list(beside.kept())
    assert not any(isinstance(one, Document) for one in kept)
    options = Options(documents=lambda: kept)
    return store.write_run("shop", cutoff, cutoff, {"churn": 1, "cltv": 1}, answers, options=options)


def realise(store, *parts, journey=JOURNEY):
    found = Lookout(store, journey)
    for part in parts:
        found.add(part)
    return {one.run.run_id: (one, one.report(journey)) for one in found.found()}


def bands(report, task):
    rows = report["tasks"][task]["not_contacted"]["bands"]
    return {row["group"]: (row["customers"], row["expected"], row["realised"]) for row in rows}


def test_what_was_expected_stands_beside_what_happened_once_the_horizon_is_over(store):
    over = run_at(
        store,
        at(-56),
        answer_of("a", probability=0.9, expected=40.0),
        answer_of("b", probability=0.7, expected=20.0),
        answer_of("c", probability=0.1, expected=30.0),
    )
    run_at(store, at(-7), answer_of("a"))
    stays = log(BOUGHT + "-50 | purchase | 25\n-10 | purchase | 5\n", JOURNEY, customer="a")
    parts = (pl.concat([stays, log(BOUGHT, JOURNEY, customer="b")]), log(BOUGHT, JOURNEY, customer="c"))
    found = realise(store, *parts)
    assert found.keys() == {over}  # the other run's horizon is still to come
    report = found[over][1]
    assert report["cutoff"] == to_text(at(-56))
    churn, value = bands(report, "churn"), bands(report, "cltv")
    assert churn["high"] == (2, pytest.approx(0.8), 0.5)
    assert value["high"] == (2, pytest.approx(30.0), pytest.approx(15.0))
    assert (churn["low"][2], value["low"][2]) == (1.0, 0.0)


def test_value_is_told_only_when_its_own_longer_horizon_is_over_and_then_anew(store):
    run_at(store, at(-40), answer_of("a", probability=0.9))
    events = log(BOUGHT, JOURNEY, customer="a")
    ((first, report),) = realise(store, events).values()
    assert report["tasks"].keys() == {"churn"}
    with store.transaction(writes=True) as connection:
        first.keep(connection, report)
    assert realise(store, events) == {}
    later = JOURNEY.model_copy(update={"observed_until": to_datetime(at(0) + 20 * DAY)})
    ((_, report),) = realise(store, events, journey=later).values()
    assert report["tasks"].keys() == {"churn", "cltv"}


def test_each_task_leaves_out_those_who_were_contacted_within_its_own_horizon(store):
    """Were they left out of churn for a contact after its horizon, who stayed to be contacted would be missing."""
    run_at(store, at(-56), answer_of("a", probability=0.9))
    [(_, report)] = realise(store, log(BOUGHT + f"-20 | {CONTACTED} | \n", JOURNEY, customer="a")).values()
    told = {name: task["contacted"]["customers"] for name, task in report["tasks"].items()}
    assert told == {"churn": 0, "cltv": 1}


def test_documents_go_with_their_run(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db", keep=1)) as store:
        first = store.write_run(
            "shop", 1, 1, {}, [answer_of("a")], options=Options(documents=lambda: [Document("data", {"n": 1})])
        )
        second = store.write_run(
            "shop", 2, 2, {}, [answer_of("a")], options=Options(documents=lambda: [Document("data", {"n": 2})])
        )
        with store.transaction() as connection:
            assert documented.read(connection, first, "data") is None
            assert documented.read(connection, second, "data") == {"n": 2}


def test_what_frequent_runs_expected_is_compared_though_two_runs_are_kept(url):
    with closing(Store(url, keep=2)) as store:
        for number in range(12):
            cutoff = at(0) + 4 * number * DAY
            today = JOURNEY.model_copy(update={"observed_until": to_datetime(cutoff)})
            beside = Beside(store, today, None, lambda: None, {"churn": cutoff}, pages=False)
            beside.part(log(BOUGHT, JOURNEY, customer="a"))
            answers = [answer_of("a", probability=0.9)]
            beside.answered(answers, 1)
            options = Options(documents=beside.kept)
            store.write_run("shop", cutoff, cutoff, {"churn": 1}, answers, options=options)
        with store.transaction() as connection:
            told = reports(connection, "shop")
            left = connection.execute(select(runs.c.id).order_by(runs.c.id)).scalars().all()
    assert [report["run_id"] for report in told] == [5, 3, 1]  # one in a quarter of the horizon
    assert left == [11, 12]
    assert {report["tasks"]["churn"]["not_contacted"]["all"]["realised"] for report in told} == {1.0}


def ahead(store, day, complete=0, customers=0, knows=None):
    """A run of a log that is complete until a day, after an event that came in ahead of it."""
    answers = [answer_of(f"c{n}") for n in range(customers)] or [answer_of("a")]
    with store.transaction(writes=True) as connection:
        events.add(connection, [came_in("a", at(day) - 1, f"of {day}")])
    knows_until = {"churn": at(complete if knows is None else knows)}
    beside = Beside(store, JOURNEY, None, lambda: None, knows_until, pages=False)
    beside.answered(answers, len(answers))
    options = Options(documents=beside.kept, begun=begin(store, "shop", at(complete)))
    store.write_run("shop", at(complete), 0, {"churn": 1}, answers, options=options)
    return store.latest_run("shop")


def test_runs_are_judged_where_the_log_is_complete_however_far_events_over_http_have_come(store):
    run, bought = ahead(store, 40), log(BOUGHT + "45 | purchase | 1\n", JOURNEY, customer="a")
    assert (run.cutoff, run.complete_until) == (at(40), at(0))
    assert [one["run_id"] for one in estimates.of_runs(store, JOURNEY)] == [run.id]  # it is open, not unheard of
    for day, judged in ((41, {}), (67, {}), (68, {run.id})):  # the horizon of churn is 28 days
        later = JOURNEY.model_copy(update={"observed_until": to_datetime(at(day))})
        assert realise(store, bought, journey=later).keys() == set(judged)


def test_what_the_newest_run_may_be_expected_to_reach_stands_beside_it_until_its_horizon_is_over(store):
    run = ahead(store, 40, customers=60)
    told = newest(store)
    assert (told["run_id"], told["cutoff"], set(told["tasks"])) == (run.id, to_text(at(40)), {"churn"})
    churn = told["tasks"]["churn"]
    assert (churn["version"], churn["customers"], churn["open_until"]) == (1, 60, to_text(at(68)))
    assert churn["metrics"]["churn_rate"] == estimates.of_runs(store, JOURNEY)[0]["tasks"]["churn"]["churn_rate"]
    assert 0.15 < churn["metrics"]["churn_rate"]["low"] < 0.3 < churn["metrics"]["churn_rate"]["high"] < 0.45
    found = {(*one.labels.values(), one.value) for family in watched.figures(store, "shop") for one in family.samples}
    assert {("churn", "1", name, one["value"]) for name, one in churn["metrics"].items()} <= found
    later = JOURNEY.model_copy(update={"observed_until": to_datetime(at(68))})
    [(judged, report)] = realise(store, log(BOUGHT, JOURNEY, customer="c0"), journey=later).values()
    with store.transaction(writes=True) as connection:
        judged.keep(connection, report)
    assert newest(store) is None


def test_of_a_run_close_to_one_that_is_followed_up_and_of_a_model_that_knew_more_than_its_run(store):
    first, second = ahead(store, 40, customers=3), ahead(store, 41, customers=3)
    assert newest(store)["run_id"] == second.id
    assert [one["run_id"] for one in estimates.of_runs(store, JOURNEY)] == [second.id, first.id]
    ahead(store, 42, customers=3, knows=43)
    assert newest(store) is None


def newest(store):
    with store.transaction() as connection:
        return estimates.newest(connection, "shop")


def test_what_was_expected_is_kept_until_the_log_is_complete_for_it_however_late_that_is(store):
    """The longest horizon is 56 days; two of them after a horizon's end nobody asks any more."""
    first, second = ahead(store, 40).id, ahead(store, 400).id
    assert following(store) == {first: 1, second: 1}
    third = ahead(store, 450, complete=40 + 3 * 56 + 1).id
    assert following(store) == {first: 0, second: 1, third: 1}


def following(store):
    with store.transaction() as connection:
        followed = expectations.of_journey(connection, "shop")
        return {run.run_id: expectations.read(connection, run.run_id).height for run in followed}


def test_events_are_counted_by_day_and_type_in_parts_as_in_one():
    events = log("day | event\n-2 | visit\n-2 | visit\n-1 | purchase\n-0.5 | visit", JOURNEY)
    whole, parts = EventCounts(), EventCounts()
    whole.add(events)
    for row in range(events.height):
        parts.add(events[row : row + 1])
    assert whole.document() == parts.document()
    told = whole.document()
    assert told["days"] == ["2024-06-28", "2024-06-29", "2024-06-30"]
    assert {one["event"]: one["by_day"] for one in told["types"]} == {"visit": [2, 0, 1], "purchase": [0, 1, 0]}
    assert EventCounts().document()["events"] == 0


def test_rare_types_are_counted_together():
    names = [f"type{number:02}" for number in range(20)]
    events = pl.concat([log(f"day | event\n-1 | {name}", JOURNEY, customer=name) for name in names])
    counts = EventCounts()
    counts.add(events)
    told = counts.document()["types"]
    assert (len(told), told[-1]["event"], told[-1]["count"]) == (17, OTHERS, 4)


def test_one_decision_is_made_at_a_time_and_told_when_it_is_made():
    begun, go, after = Event(), Event(), Event()

    def promote(task, version):
        begun.set()
        assert go.wait(10)
        return f"{task} {version} promoted"

    steering = Steering(Helm(promote, lambda task: f"{task} rolled back"), after.set)
    steering.promote("churn", 2)
    assert begun.wait(10)
    with pytest.raises(InputError, match="being decided"):
        steering.rollback("churn")
    go.set()
    assert after.wait(10)
    assert steering.told == "churn 2 promoted"


def test_a_decision_that_cannot_be_made_is_told():
    with pytest.raises(InputError, match="cannot be steered"):
        Steering(None, lambda: None).promote("churn", 1)
    steering = Steering(Helm(lambda task, version: "", lambda task: "back"), lambda: None)
    assert steering.rollback("churn") == "back"
    assert steering.under_way is None


def test_a_drift_report_is_told_of_until_there_is_another_however_many_runs_come(store):
    def alarm():
        return [one.samples[0].value for one in watched.figures(store, "shop") if one.name == "journeycast_drift_alarm"]

    told = {"alarm": True, "signals": [], "moved": [], "unknown_types": [], "features": []}
    assert not watched.keep(store, "shop", told)
    for day in range(12):
        run_at(store, day * DAY, answer_of("c1"))
        if not day:
            assert watched.keep(store, "shop", told)
    assert alarm() == [1.0]
    watched.keep(store, "shop", told | {"alarm": False})
    run_at(store, 13 * DAY, answer_of("c1"))
    assert alarm() == [0.0]
