"""What runs tell beside their answers: realised outcomes, event counts; and models steered from the pages."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from threading import Event

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec import SHOP, at, changed, log
from sqlalchemy import select
from stores import answer_of
from test_stored_histories import came_in

from features.errors import InputError
from features.event_counts import OTHERS, EventCounts
from features.schema import DAY, to_datetime, to_text
from serving import documented, events
from serving.beginning import begin
from serving.documented import REALISED, Document
from serving.realised import Realised
from serving.retention import APART, thinned
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
    return store.write_run("shop", cutoff, cutoff, {"churn": 1}, answers)


def realise(store, *parts):
    found = Realised(store, JOURNEY)
    for part in parts:
        found.add(part)
    return {document.run_id: document.content for document in found.documents()}


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
    assert found[over]["cutoff"] == to_text(at(-56))
    high, low = found[over]["bands"]
    assert (high["risk"], high["customers"], high["churned"]) == ("high", 2, 1)
    assert high["expected_churn_rate"] == pytest.approx(0.8)
    assert (high["expected_value"], high["value"]) == (pytest.approx(30.0), pytest.approx(15.0))
    assert (low["churn_rate"], low["value"]) == (1.0, 0.0)


def test_value_is_told_only_when_its_own_longer_horizon_is_over_and_then_anew(store):
    run_id = run_at(store, at(-40), answer_of("a", probability=0.9))
    events = log(BOUGHT, JOURNEY, customer="a")
    (content,) = realise(store, events).values()
    assert [(band["churned"], band["valued"], band["value"]) for band in content["bands"]] == [(1, 0, None)]
    with store.transaction(writes=True) as connection:
        documented.write(connection, run_id, [Document(REALISED, content)])
    assert realise(store, events) == {}
    later = JOURNEY.model_copy(update={"observed_until": to_datetime(at(0) + 20 * DAY)})
    found = Realised(store, later)
    found.add(events)
    (document,) = found.documents()
    assert document.content["bands"][0]["valued"] == 1


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


def test_what_daily_runs_expected_is_compared_though_ten_runs_are_kept(url):
    horizon, day = 28 * DAY, at(0)
    with closing(Store(url, keep=3)) as store:
        for number in range(45):
            cutoff = day + number * DAY
            now_journey = JOURNEY.model_copy(update={"observed_until": to_datetime(cutoff)})
            found = Realised(store, now_journey)
            found.add(log(BOUGHT, JOURNEY, customer="a"))
            answers = [answer_of("a", probability=0.9)]
            options = Options(documents=found.documents, horizon=horizon)
            store.write_run("shop", cutoff, cutoff, {"churn": 1}, answers, options=options)
        with store.transaction() as connection:
            told = documented.realised(connection, "shop", 100)
            kept = connection.execute(select(runs.c.id).order_by(runs.c.id)).scalars().all()
    assert [run_id for run_id, _ in told] == [15, 8, 1]  # one a week; run 1 is gone, and what came of it is not
    assert kept == [8, 15, 22, 29, 36, 43, 44, 45]
    assert {content["bands"][0]["churned"] for _, content in told} == {1}


def test_runs_wait_for_the_log_to_be_complete_however_far_events_over_http_have_come(url):
    with closing(Store(url, keep=1)) as store:
        for day in (60, 120, 180):
            with store.transaction(writes=True) as connection:
                events.add(connection, [came_in("a", day * DAY - 1, f"{day}")])
            options = Options(horizon=28 * DAY, begun=begin(store, "shop", DAY))
            store.write_run("shop", day * DAY, 0, {"churn": 1}, [answer_of("a")], options=options)
        with store.transaction() as connection:
            kept = connection.execute(select(runs.c.cutoff, runs.c.observed_until).order_by(runs.c.id)).all()
    assert [tuple(row) for row in kept] == [(60 * DAY, DAY), (120 * DAY, DAY), (180 * DAY, DAY)]


@given(st.lists(st.integers(0, 100), max_size=60))
def test_of_older_runs_those_kept_are_a_week_apart_and_stay_kept(days):
    cutoffs = [(number, day * DAY) for number, day in enumerate(sorted(days), 1)]
    kept = thinned(cutoffs, 20 * DAY)
    chosen = [cutoff for number, cutoff in cutoffs if number in kept]
    assert all(later - earlier >= APART for earlier, later in pairwise(chosen))
    assert all(cutoff >= 20 * DAY for cutoff in chosen)
    assert thinned([one for one in cutoffs if one[0] in kept], 20 * DAY) == kept
    assert bool(kept) == any(cutoff >= 20 * DAY for _, cutoff in cutoffs)


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
