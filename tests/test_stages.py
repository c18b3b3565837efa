"""The stage table against the rules themselves, asked one instant at a time."""

from __future__ import annotations

import oracle
import pytest
from histories import RULES, TYPES
from hypothesis import given, settings
from hypothesis import strategies as st
from spec import SHOP, at, changed, frame, log, pairs

from features.engine import build
from features.families.stage import present
from features.schema import CUSTOMER, DAY, EVENT, KNOWN_AT, TIME

STEPS = [days * DAY for days in (0, 1, 6, 7, 21, 28)]


def journey(rules):
    return changed(stages=rules)


def stages_at(journey, events, instants):
    """The present stage and its `since` with each instant as the cutoff."""
    asked = pairs(["c"], instants)
    built = build(events, asked, present(journey))
    return list(zip(built["stage"], built["since"], strict=True))


@st.composite
def histories(draw):
    time = draw(st.sampled_from([at(), -100 * 365 * DAY]))
    rows = []
    for event in draw(st.lists(st.sampled_from([*TYPES, "other"]), min_size=1, max_size=8)):
        time += draw(st.sampled_from(STEPS)) + draw(st.sampled_from([0, 0, 0, 1, DAY // 3]))
        rows.append({CUSTOMER: "c", TIME: time, KNOWN_AT: time, EVENT: event})
    return rows


@given(histories(), st.lists(RULES, min_size=1, max_size=4))
@settings(max_examples=40)
def test_the_stage_at_any_instant_is_the_last_rule_that_holds_then(rows, rules):
    asked = journey({f"stage {number}": rule for number, rule in enumerate(rules)})
    edges = {row[TIME] + step for row in rows for step in (0, DAY, 7 * DAY, 28 * DAY)}
    instants = sorted({edge + off for edge in edges for off in (0, 1, 2)})
    found = stages_at(asked, frame(rows), instants)
    assert [stage for stage, _ in found] == [oracle.stage_at(rows, instant, asked) for instant in instants]


@given(histories(), st.lists(RULES, min_size=1, max_size=4), st.integers(1, 60 * DAY))
@settings(max_examples=20)
def test_since_is_the_last_instant_before_the_present_stage(rows, rules, after):
    asked = journey({f"stage {number}": rule for number, rule in enumerate(rules)})
    first, cutoff = rows[0][TIME], rows[-1][TIME] + after
    ((stage, since),) = stages_at(asked, frame(rows), [cutoff])
    since = int(since)
    edges = {row[TIME] + step for row in rows for step in (0, DAY, 7 * DAY, 28 * DAY)}
    later = {instant for edge in edges for instant in (edge, edge + 1) if since < instant <= cutoff} | {
        cutoff,
        since + 1,
    }
    assert {oracle.stage_at(rows, instant, asked) for instant in later} == {stage}
    assert since == first or oracle.stage_at(rows, since, asked) != stage


def test_the_stage_holds_after_the_event_that_brings_it():
    events = log("day | event\n-3 | visit\n-2 | purchase")
    assert stages_at(SHOP, events, [at(-3), at(-3) + 1, at(-2), at(-2) + 1]) == [
        (None, None),
        ("prospect", at(-3)),
        ("prospect", at(-3)),
        ("buyer", at(-2)),
    ]


def test_a_window_that_empties_changes_the_stage_an_instant_after_its_length():
    events = log("day | event\n-60 | purchase\n-60 | purchase")
    assert stages_at(SHOP, events, [at(-32), at(-32) + 1, at(-4), at(-4) + 1]) == [
        ("regular", at(-60)),
        ("buyer", at(-32)),
        ("buyer", at(-32)),
        ("lapsed", at(-4)),
    ]


def test_another_event_before_the_window_empties_keeps_the_stage():
    events = log("day | event\n-60 | purchase\n-20 | purchase")
    assert stages_at(SHOP, events, [at()]) == [("buyer", at(-60))]


def test_a_rule_of_rules_holds_where_all_of_them_do():
    nested = journey(
        {
            "new": {},
            "loyal": {
                "all_of": [
                    {"any_of": ["purchase"], "at_least": 2},
                    {"all_of": [{"none_of": ["ticket"], "within": "7d"}, {"any_of": ["visit"], "within": "28d"}]},
                ]
            },
        }
    )
    loyal = "day | event\n-40 | purchase\n-20 | visit\n-9 | ticket\n-8 | purchase"
    assert stages_at(nested, log(loyal), [at(-8), at(-8) + 1, at(-2), at(-2) + 1, at(8), at(8) + 1]) == [
        ("new", at(-40)),
        ("new", at(-40)),
        ("new", at(-40)),
        ("loyal", at(-2)),
        ("loyal", at(-2)),
        ("new", at(8)),
    ]


def test_where_no_rule_holds_the_customer_is_in_the_first_stage():
    asked = journey({"buyer": {"any_of": ["purchase"], "at_least": 2}, "troubled": {"any_of": ["ticket"]}})
    assert stages_at(asked, log("day | event\n-3 | visit"), [at()]) == [("buyer", at(-3))]


def test_rules_without_events_hold_from_the_first_event_on():
    assert stages_at(journey({"one": {}, "two": {}}), log("day | event\n-3 | visit"), [at()]) == [("two", at(-3))]


def test_what_becomes_known_later_rewrites_the_past_only_for_later_cutoffs():
    events = log("day | event | known_at\n-9 | visit |\n-8 | purchase | -2")
    assert stages_at(SHOP, events, [at(-2), at(-2) + 1]) == [("prospect", at(-9)), ("buyer", at(-8))]


@pytest.mark.parametrize("order", [("visit", "ticket"), ("ticket", "visit")])
def test_by_event_the_stage_is_the_type_that_came_last(order):
    asked = changed(stages="by_event")
    table = "day | event\n-3 | purchase\n" + "\n".join(f"-2 | {event}" for event in order)
    assert stages_at(asked, log(table), [at(-2), at()]) == [("purchase", at(-3)), (order[1], at(-2))]


@given(histories())
@settings(max_examples=20)
def test_by_event_a_run_of_one_type_is_one_stage(rows):
    asked = changed(stages="by_event", types=TYPES, business=[], friction=[])
    instants = sorted({row[TIME] + off for row in rows for off in (0, 1)})
    found = stages_at(asked, frame(rows), instants)
    assert [stage for stage, _ in found] == [oracle.stage_at(rows, instant, asked) for instant in instants]
