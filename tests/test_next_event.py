"""Vectors of single events against plain loops, and what must hold of them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from histories import histories
from hypothesis import given
from hypothesis import strategies as st
from oracle import moment
from spec import SHOP, changed, frame, log, same
from test_features_agree import examples

from features.journey import Journey
from features.next_event import END, KEYS, LAST, LOADS, columns, labels, vectors
from features.schema import CUSTOMER, DAY, EVENT, POSITION, TIME

CATEGORIES, NUMBERS = ["channel", "product"], ["value", "items", "stars", "nps"]


def by_hand(events: list[dict[str, Any]], place: int, every: list[dict[str, Any]], journey: Journey) -> dict[str, Any]:
    """The vector of one event of a history, by plain loops."""
    so_far, now = events[: place + 1], events[place]
    lately = so_far[::-1]
    run = 0
    while run < len(lately) and lately[run][EVENT] == now[EVENT]:
        run += 1
    found: dict[str, Any] = {
        "run_length": run,
        "events_count": len(so_far),
        "elapsed_days": (now[TIME] - so_far[0][TIME]) / DAY,
        "hour": (now[TIME] % DAY) / DAY * 24,
        "weekday": moment(now).weekday(),
        "log_days": (now[TIME] - min(e[TIME] for e in every)) / DAY,
    }
    for back in range(LAST):
        there = len(lately) > back
        found[f"step_{back + 1}_back"] = lately[back][EVENT] if there else None
        gap = (lately[back][TIME] - lately[back + 1][TIME]) / DAY if len(lately) > back + 1 else None
        found[f"step_{back + 1}_gap_days"] = gap
    for name in journey.types:
        found[f"{name}_count"] = len([e for e in so_far if e[EVENT] == name])
    for length in LOADS:
        start = now[TIME] - length // timedelta(microseconds=1)
        inside = [e for e in every if start <= e[TIME] < now[TIME] and e[CUSTOMER] != now[CUSTOMER]]
        hours = length // timedelta(hours=1)
        found["load_1h" if hours == 1 else f"load_{hours // 24}d"] = len(inside)
    for name in CATEGORIES:
        found |= category(name, [e.get(name) for e in so_far])
    for name in NUMBERS:
        known = [e[name] for e in so_far if e.get(name) is not None]
        found |= {f"{name}_last": known[-1] if known else None, f"{name}_first": known[0] if known else None}
    return found


def category(name: str, values: list[Any]) -> dict[str, Any]:
    lately, known = values[::-1], [value for value in values if value is not None]
    first = known[0] if known else None
    found = {f"{name}_{back + 1}_back": lately[back] if len(lately) > back else None for back in range(LAST)}
    for back in range(LAST - 1):
        pair = lately[back : back + 2]
        told = len(pair) == 2 and None not in pair
        found[f"{name}_{back + 1}_changed"] = int(pair[0] != pair[1]) if told else None
    moves = [a != b for a, b in pairwise(values) if a is not None and b is not None]
    return found | {
        f"{name}_first": first,
        f"{name}_is_first": None if values[-1] is None else int(values[-1] == first),
        f"{name}_kinds": len(set(known)),
        f"{name}_changes": sum(moves),
    }


@given(histories())
@examples(20)
def test_plain_loops_give_the_same_vectors(rows):
    events = frame(rows)
    every = events.to_dicts()
    found = vectors(events, SHOP).to_dicts()
    assert [(row[CUSTOMER], row[POSITION]) for row in found] == [(e[CUSTOMER], e[POSITION]) for e in every]
    for row, event in zip(found, every, strict=True):
        own = [e for e in every if e[CUSTOMER] == event[CUSTOMER]]
        wanted = by_hand(own, event[POSITION], every, SHOP)
        assert {name for name in row if name not in KEYS} == set(wanted)
        assert [n for n, value in wanted.items() if not same(row[n], value)] == [], (row, wanted)


@given(histories(), st.integers(0, 100))
@examples(8)
def test_later_events_change_nothing(rows, share):
    events = frame(rows)
    times = sorted(events[TIME])
    until = times[share * (len(times) - 1) // 100]
    before = events.filter(pl.col(TIME) <= until)
    kept = vectors(events, SHOP).filter(pl.col(TIME) <= until)
    assert kept.equals(vectors(before, SHOP))


@given(histories(), st.randoms(use_true_random=False))
@examples(10)
def test_the_order_of_rows_in_the_log_changes_nothing(rows, random):
    events = frame(rows)
    order = list(range(len(events)))
    random.shuffle(order)
    assert vectors(events[order], SHOP).equals(vectors(events, SHOP))
    assert labels(events[order]).equals(labels(events))


TABLE = """
    day | event    | product
    -9  | visit    | tea
    -7  | visit    |
    -6  | purchase | mug
    -6  | ticket   | mug
"""


def test_each_event_sees_itself_and_what_came_before():
    rows = vectors(log(TABLE), SHOP)
    assert rows.select("step_1_back", "step_2_back", "step_1_gap_days", "run_length", "visit_count").rows() == [
        ("visit", None, None, 1, 1),
        ("visit", "visit", 2.0, 2, 2),
        ("purchase", "visit", 1.0, 1, 2),
        ("ticket", "purchase", 0.0, 1, 2),
    ]
    assert rows["elapsed_days"].to_list() == [0, 2, 3, 3]


def test_a_value_is_handed_over_where_two_events_in_a_row_know_it():
    rows = vectors(log(TABLE), SHOP)
    assert rows.select("product_1_changed", "product_first", "product_is_first", "product_kinds").rows() == [
        (None, "tea", 1, 1),
        (None, "tea", None, 1),
        (None, "tea", 0, 2),
        (0, "tea", 0, 2),
    ]


def test_the_label_is_the_next_event_and_the_end_of_a_history_a_class_of_its_own():
    events = pl.concat([log(TABLE), log("day | event\n-3 | refund", customer="d")])
    assert labels(events)["label"].to_list() == ["visit", "purchase", "ticket", END, END]


def test_a_history_that_is_not_over_is_censored_where_the_journey_marks_how_they_end():
    events = pl.concat([log(TABLE), log("day | event\n-3 | ticket\n-2 | refund", customer="d")])
    assert labels(events, ["refund"])["label"].to_list() == ["visit", "purchase", "ticket", None, "refund", END]


def test_load_counts_the_events_of_others_before_this_one():
    events = pl.concat(
        [
            log("day | event\n-9 | visit\n-2.5 | visit\n-2 | visit"),
            log("day | event\n-9 | visit\n-3 | visit\n-2.02 | visit\n-2 | visit", customer="d"),
        ]
    )
    found = vectors(events, SHOP).filter(pl.col(CUSTOMER) == "c").select("load_1h", "load_1d", "load_7d").rows()
    assert found == [(0, 0, 0), (0, 1, 2), (1, 2, 3)]


def test_load_may_be_that_of_other_rows_than_those_asked_about():
    events, others = log(TABLE), log("day | event\n-6.5 | visit", customer="d")
    both = pl.concat([events, others])
    assert vectors(events, SHOP)["load_1d"].to_list() == [0, 0, 0, 0]
    assert vectors(events, SHOP, others=both)["load_1d"].to_list() == [0, 0, 1, 1]


def test_the_place_in_the_log_and_its_load_can_be_left_out():
    names = {column.name for column in columns(SHOP)}
    fewer = {column.name for column in columns(SHOP, absolute=False, load=False)}
    assert names - fewer == {"log_days", "load_1h", "load_1d", "load_7d"}
    assert set(vectors(log(TABLE), SHOP, absolute=False, load=False).columns) == fewer | set(KEYS)


def test_every_column_is_told_in_words():
    found = columns(SHOP)
    assert len({column.name for column in found}) == len(found)
    assert all(column.description and column.unit for column in found)


def test_an_empty_log_has_no_vectors():
    empty = log(TABLE).clear()
    assert len(vectors(empty, SHOP)) == len(labels(empty)) == 0


def test_a_journey_may_ask_for_the_next_event():
    tasks = {"next_event": {"ends": ["refund"]}}
    assert changed(tasks=tasks).tasks.next_event.ends == ["refund"]
    assert changed(tasks=tasks).named_types()["tasks.next_event"] == {"refund"}
    with pytest.raises(ValueError, match="no task given; accepted: churn, next_stage, cltv, next_event"):
        changed(tasks={})
