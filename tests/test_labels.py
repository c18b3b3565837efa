from __future__ import annotations

import oracle
import polars as pl
import pytest
from histories import logs
from hypothesis import given, settings
from spec import SHOP, approx, at, changed, frame, log, pairs

from features.catalogue import catalogue
from features.engine import build
from features.journey import Churn, Cltv, NextStage
from features.labels import label, population, tasks
from features.schema import CUSTOMER, CUTOFF, DAY, EVENT, KNOWN_AT, TIME

WITHIN = {"within": "28d"}


def answer(task, table, journey=SHOP):
    return label(task, journey, log(table, journey), pairs(["c"], [at()]))["label"].item()


@pytest.mark.parametrize(
    ("day", "happens"), [("-0-1us", False), ("0", True), ("+28-1us", True), ("+28", False), ("+28+1us", False)]
)
def test_the_future_is_the_cutoff_and_all_instants_before_its_horizon_ends(day, happens):
    table = f"day | event | value\n-9 | visit |\n{day} | purchase | 7"
    assert answer(Churn(no="purchase", **WITHIN), table) == float(not happens)
    assert answer(Churn(does="purchase", **WITHIN), table) == float(happens)
    assert answer(Cltv(sum="purchase", **WITHIN), table) == 7.0 * happens
    assert answer(Cltv(count="purchase", **WITHIN), table) == float(happens)
    assert answer(NextStage(**WITHIN), table) == ("prospect" if day in ("+28", "+28+1us") else "buyer")


def test_churn_without_a_contract_is_the_absence_of_an_event():
    table = "day | event\n-9 | purchase\n+3 | visit\n+4 | ticket"
    assert answer(Churn(no="purchase", **WITHIN), table) == 1
    assert answer(Churn(no="visit", **WITHIN), table) == 0


def test_churn_of_a_contract_is_the_event_itself():
    table = "day | event\n-9 | purchase\n+3 | ticket\n+4 | ticket"
    assert answer(Churn(does="ticket", **WITHIN), table) == 1
    assert answer(Churn(does="refund", **WITHIN), table) == 0


def test_the_value_is_a_sum_or_a_count_times_the_margin():
    table = """
        day | event    | value
        -9  | purchase | 99
        +1  | purchase | 20
        +2  | purchase | -5
        +3  | purchase |
        +4  | visit    | 7
    """
    assert answer(Cltv(sum="purchase", **WITHIN), table) == 15
    assert answer(Cltv(sum="purchase", margin=0.2, **WITHIN), table) == pytest.approx(3)
    assert answer(Cltv(count="purchase", **WITHIN), table) == 3
    assert answer(Cltv(count="purchase", margin=0.5, **WITHIN), table) == pytest.approx(1.5)


def test_nothing_in_the_future_is_worth_nothing():
    assert answer(Cltv(sum="purchase", **WITHIN), "day | event | value\n-9 | purchase | 9") == 0
    assert answer(Cltv(sum="purchase", **WITHIN), "day | event | value\n-9 | visit |\n+2 | purchase |") == 0


def test_what_happened_counts_whenever_the_business_learned_of_it():
    table = "day | event | value | known_at\n-9 | visit | |\n+2 | purchase | 5 | +90"
    assert answer(Churn(no="purchase", **WITHIN), table) == 0
    assert answer(Cltv(sum="purchase", **WITHIN), table) == 5
    assert answer(NextStage(**WITHIN), table) == "buyer"


def test_an_event_before_the_cutoff_that_became_known_after_it_is_in_neither():
    table = "day | event | value | known_at\n-9 | visit | |\n-2 | purchase | 5 | +2"
    assert answer(Cltv(sum="purchase", **WITHIN), table) == 0
    (row,) = build(log(table), pairs(["c"], [at()]), catalogue(SHOP)).to_dicts()
    assert row == approx(spend_7d=0.0, purchase_7d=0.0)


def test_staying_is_an_outcome_of_the_next_stage():
    assert answer(NextStage(**WITHIN), "day | event\n-9 | visit") == "prospect"
    assert answer(NextStage(**WITHIN), "day | event\n-29 | purchase") == "lapsed"
    assert answer(NextStage(**WITHIN), "day | event\n-28 | purchase") == "buyer"


def test_by_event_the_next_stage_is_the_type_at_the_end_of_the_horizon():
    journey = changed(stages="by_event")
    table = "day | event\n-9 | visit\n+2 | ticket\n+20 | purchase\n+28 | refund"
    assert answer(NextStage(**WITHIN), table, journey) == "purchase"


@given(logs())
@settings(max_examples=12)
def test_labels_are_what_counting_by_hand_gives(case):
    events, cutoffs = case
    asked = pairs(sorted(events[CUSTOMER].unique()), cutoffs)
    found = {name: label(task, SHOP, events, asked) for name, task in tasks(SHOP).items()}
    for row in asked.to_dicts():
        own = events.filter(pl.col(CUSTOMER) == row[CUSTOMER]).to_dicts()
        got = {
            name: labels.filter(pl.all_horizontal(pl.col(key) == row[key] for key in row))["label"].item()
            for name, labels in found.items()
        }
        assert got == by_hand(own, row[CUTOFF])


def by_hand(events, cutoff):
    bought = [event for event in events if event[EVENT] == "purchase" and event[TIME] >= cutoff]
    return {
        "churn": float(not [event for event in bought if event[TIME] < cutoff + 28 * DAY]),
        "next_stage": oracle.stage_at(events, cutoff + 28 * DAY, SHOP),
        "cltv": sum(event["value"] or 0.0 for event in bought if event[TIME] < cutoff + 56 * DAY),
    }


@given(logs())
@settings(max_examples=4)
def test_no_event_stands_in_both_a_vector_and_its_label(case):
    """Moving every event of the future to another value moves labels and no vector; the past, the reverse."""
    events, (cutoff, *_) = case
    asked, value = pairs(sorted(events[CUSTOMER].unique()), [cutoff]), pl.col("value")
    ahead = pl.col(TIME) >= cutoff

    def both(log):
        vectors = build(log, asked, catalogue(SHOP))
        return vectors, label(SHOP.tasks.cltv, SHOP, log, asked)

    vectors, labels = both(events)
    other_future = both(events.with_columns(pl.when(ahead).then(value + 1000).otherwise(value)))
    other_past = both(events.with_columns(pl.when(~ahead).then(value + 1000).otherwise(value)))
    assert other_future[0].equals(vectors)
    assert other_past[1].equals(labels)


def test_the_population_is_who_was_known_before_the_cutoff():
    rows = [("a", -2, -2), ("b", 0, 0), ("c", -2, 0), ("c", 1, 1), ("d", -3, 5), ("d", -2, -1)]
    events = frame({CUSTOMER: who, TIME: at(time), KNOWN_AT: at(known), EVENT: "visit"} for who, time, known in rows)
    found = population(events, [at(2), at()])
    assert found.rows() == [("a", at()), ("a", at(2)), ("b", at(2)), ("c", at(2)), ("d", at()), ("d", at(2))]


@given(logs())
@settings(max_examples=12)
def test_whoever_is_in_the_population_has_a_past(case):
    events, cutoffs = case
    found = set(population(events, cutoffs).rows())
    every = pairs(events[CUSTOMER].unique(), cutoffs).rows()
    for who, cutoff in every:
        own = events.filter(pl.col(CUSTOMER) == who, pl.col(TIME) < cutoff, pl.col(KNOWN_AT) < cutoff)
        assert ((who, cutoff) in found) == (own.height > 0)


def test_the_tasks_are_those_the_journey_asks_for():
    assert list(tasks(SHOP)) == ["churn", "next_stage", "cltv"]
    assert list(tasks(changed(tasks={"cltv": {"count": "visit", "within": "7d"}}))) == ["cltv"]
