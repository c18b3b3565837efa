from __future__ import annotations

import oracle
import polars as pl
import pytest
from histories import RULES, logs
from hypothesis import given, settings
from spec import SHOP, at, log, pairs

from features.eligibility import conditions, holds
from features.engine import build
from features.journey import Churn, Cltv, NextStage, Rule
from features.labels import eligible
from features.schema import CUSTOMER, CUTOFF


def answer(rule, table, **keys):
    return holds(Rule.model_validate(rule), log(table), pairs(["c"], [at()]), **keys)["holds"].item()


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, True),
        ({"any_of": ["visit"]}, True),
        ({"any_of": ["visit"], "within": "7d"}, True),
        ({"any_of": ["visit"], "within": "6d"}, False),
        ({"any_of": ["visit", "ticket"], "at_least": 3}, True),
        ({"any_of": ["visit", "ticket"], "at_least": 4}, False),
        ({"none_of": ["purchase"]}, True),
        ({"none_of": ["ticket"], "within": "8d"}, True),
        ({"none_of": ["ticket"], "within": "9d"}, False),
        ({"none_of": ["ticket"], "at_least": 2}, True),
        ({"all_of": [{"any_of": ["visit"]}, {}, {"none_of": ["purchase"]}]}, True),
        ({"all_of": [{"any_of": ["visit"]}, {"all_of": [{"any_of": ["purchase"]}]}]}, False),
    ],
)
def test_a_rule_counts_the_events_of_its_window(rule, wanted):
    assert answer(rule, "day | event\n-20 | visit\n-9 | ticket\n-7 | visit\n0 | purchase") is wanted


def test_an_event_known_too_late_counts_for_nobody():
    table = "day | event | known_at\n-9 | visit |\n-3 | purchase | {}"
    assert answer({"any_of": ["purchase"]}, table.format("0")) is False
    assert answer({"any_of": ["purchase"]}, table.format("0-1us")) is True


def test_a_customer_without_a_past_satisfies_only_what_asks_for_nothing():
    assert answer({"any_of": ["visit"]}, "day | event\n+3 | visit") is False
    assert answer({"none_of": ["visit"]}, "day | event\n+3 | visit") is True


@given(logs(), RULES)
@settings(max_examples=30)
def test_rules_hold_as_counting_by_hand_says(case, rule):
    events, cutoffs = case
    rule = Rule.model_validate(rule)
    asked = pairs(sorted(events[CUSTOMER].unique()), cutoffs)
    for row in holds(rule, events, asked).to_dicts():
        own = events.filter(pl.col(CUSTOMER) == row[CUSTOMER]).to_dicts()
        known = [event for event in own if event["known_at"] < row[CUTOFF]]
        assert row["holds"] == oracle.holds(rule, known, row[CUTOFF])


def test_several_rules_are_built_with_one_set_of_vectors():
    rules = {"bought": Rule(any_of=["purchase"]), "calm": Rule(none_of=["ticket"], within="7d")}
    both = {name: conditions(rule, name) for name, rule in rules.items()}
    counts = [feature for features, _ in both.values() for feature in features]
    events = log("day | event\n-9 | purchase\n-3 | ticket")
    built = build(events, pairs(["c"], [at()]), counts).select(**{name: expr for name, (_, expr) in both.items()})
    assert built.to_dicts() == [{"bought": True, "calm": False}]


@pytest.mark.parametrize(
    ("task", "days", "wanted"),
    [
        (Churn(no="purchase", within="28d"), -56, True),
        (Churn(no="purchase", within="28d"), -57, False),
        (Churn(does="purchase", within="28d"), -57, False),
        (Churn(does="ticket", within="28d"), -57, True),
        (Churn(no="purchase", within="28d", eligible=Rule(any_of=["purchase"], within="60d")), -57, True),
        (NextStage(within="28d"), -400, True),
        (Cltv(sum="purchase", within="28d"), -400, True),
        (Cltv(sum="purchase", within="28d", eligible=Rule(any_of=["purchase"], within="9d")), -10, False),
    ],
)
def test_who_is_asked_about(task, days, wanted):
    events = log(f"day | event\n{days} | purchase")
    assert eligible(task, events, pairs(["c"], [at()]))["eligible"].item() is wanted


def test_the_future_makes_nobody_eligible():
    before = "day | event\n-9 | visit"
    for task in (SHOP.tasks.churn, Churn(does="ticket", within="28d")):
        answers = [
            eligible(task, log(table), pairs(["c"], [at()]))["eligible"].item()
            for table in (before, before + "\n0 | purchase\n0 | ticket\n+3 | purchase")
        ]
        assert answers[0] == answers[1]
