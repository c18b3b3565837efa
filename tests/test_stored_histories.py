"""Stored histories: what the log had and what came in since, one customer at a time."""

from __future__ import annotations

from contextlib import closing

import polars as pl
import pytest
from histories import logs
from hypothesis import given, settings
from polars.testing import assert_frame_equal
from sqlalchemy import select
from stores import answer_of
from stores import write as write_run

from features.canonical import ordered, without_repeated_ids
from features.schema import CHANNEL, CUSTOMER, DAY, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE
from serving import events
from serving.histories import history, write
from serving.store import Store
from serving.tables import histories

HARD_IDS = ["a/b", "'\"; DROP TABLE runs", "näme 😀", " ", "NA", "x" * 1000]


def log(*rows: tuple) -> pl.DataFrame:
    names = [CUSTOMER, TIME, EVENT, VALUE, CHANNEL, KNOWN_AT, EVENT_ID, "stars", "product"]
    kinds = dict(zip(names, (pl.String, pl.Int64, pl.String, pl.Float64, pl.String, pl.Int64), strict=False))
    kinds |= {EVENT_ID: pl.String, "stars": pl.Float64, "product": pl.String}
    return ordered(pl.DataFrame(rows, schema=kinds, orient="row"))


def bought(customer, time, event_id=None, **fields):
    row = {CUSTOMER: customer, TIME: time, EVENT: "purchase", VALUE: 0.1 + 0.2, CHANNEL: None, KNOWN_AT: time}
    row |= {EVENT_ID: event_id, "stars": None, "product": None} | fields
    return tuple(row.values())


def came_in(customer, time, event_id, **fields):
    row = dict.fromkeys((VALUE, CHANNEL, "properties")) | {"journey": "shop", CUSTOMER: customer, TIME: time}
    return row | {EVENT: "purchase", KNOWN_AT: time, EVENT_ID: event_id, "received_at": 0} | fields


def add(store, *rows):
    with store.transaction(writes=True) as connection:
        events.add(connection, rows)


def told(store, customer, *columns):
    return history(store, "shop", customer).select(columns).rows()


def written(store):
    """When each stored history was written."""
    with store.transaction() as connection:
        rows = connection.execute(select(histories.c.customer_id, histories.c.until)).all()
    return {customer: until for customer, until in rows}  # noqa: C416


@pytest.mark.parametrize("customer", HARD_IDS)
def test_a_history_is_what_the_log_had_whatever_the_id(store, customer):
    rows = log(
        bought(customer, 5, "e1", stars=4.0, product="té 😀"),
        bought(customer, -(2**60), None, **{CHANNEL: "web"}),
        bought(customer, 5, "e2", **{KNOWN_AT: 9, VALUE: None}),
        bought("z" * 1001, 1),
    )
    write(store, "shop", DAY, rows)
    mine = rows.filter(pl.col(CUSTOMER) == customer)
    assert_frame_equal(history(store, "shop", customer), mine, check_column_order=False)
    assert history(store, "other", customer).is_empty()


def test_of_a_customer_nobody_knows_nothing_is_told(store):
    for customer in ("nobody", "a\x00b"):
        found = history(store, "shop", customer)
        assert (found.height, found.columns[:3]) == (0, [CUSTOMER, TIME, EVENT])


def test_events_that_came_in_stand_among_those_of_the_log(store):
    write(store, "shop", DAY, log(bought("c", 1, "e1"), bought("c", 9, "e9")))
    add(store, came_in("c", 5, "e5", properties={"stars": 3}), came_in("d", 6, "e6"))
    assert told(store, "c", EVENT_ID, "position", "stars") == [("e1", 0, None), ("e5", 1, 3.0), ("e9", 2, None)]
    assert told(store, "d", EVENT_ID, "position") == [("e6", 0)]


def test_an_event_that_the_log_has_by_now_counts_once_as_the_log_has_it(store):
    add(store, came_in("c", 5, "e5", value=1.0))
    assert told(store, "c", EVENT_ID, VALUE) == [("e5", 1.0)]
    write(store, "shop", DAY, log(bought("c", 5, "e5", **{VALUE: 2.0})))
    assert told(store, "c", EVENT_ID, VALUE) == [("e5", 2.0)]


def test_what_did_not_change_is_not_written_again(store):
    first, second = bought("a", 1, "e1"), bought("b", 2)
    write(store, "shop", DAY, log(first, second))
    write(store, "shop", 2 * DAY, log(first, bought("b", 2, stars=1.0)))
    assert written(store) == {"a": DAY, "b": 2 * DAY}
    assert told(store, "b", "stars") == [(1.0,)]


def test_histories_of_customers_whom_the_log_lost_go_with_the_next_run(store):
    write(store, "shop", DAY, log(bought("a", 1), bought("b", 2)))
    write(store, "other", DAY, log(bought("b", 2)))
    write_run(store, answer_of("a"))
    assert [len(told(store, name, TIME)) for name in "ab"] == [1, 0]
    assert history(store, "other", "b").height == 1


def test_many_customers_are_written_in_parts(store, monkeypatch):
    monkeypatch.setattr("serving.histories.AT_ONCE", 3)
    rows = log(*(bought(f"c{number}", time) for number in range(8) for time in range(number + 1)))
    write(store, "shop", DAY, rows)
    assert [len(told(store, f"c{number}", TIME)) for number in range(8)] == list(range(1, 9))


@settings(max_examples=20)
@given(logs())
def test_any_history_comes_back_to_the_last_bit(tmp_path_factory, drawn):
    rows = ordered(without_repeated_ids(drawn[0].drop("position")))
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('histories')}/scores.db")) as store:
        write(store, "shop", 0, rows)
        for mine in rows.partition_by(CUSTOMER):
            found = history(store, "shop", mine[CUSTOMER][0])
            there = [name for name in mine.columns if name in found.columns]
            assert all(mine[name].null_count() == mine.height for name in set(mine.columns) - set(there))
            assert_frame_equal(found[there], mine[there], check_exact=True)


def test_a_run_stores_the_history_of_everyone_it_scores(business, champions, tmp_path):
    from serving.batch import score

    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        score(business.journey, business.log, champions.scorer, store, lambda done, of: None)
        customers = business.log.events[CUSTOMER].unique(maintain_order=True)[::200]
        for customer in customers:
            mine = business.log.events.filter(pl.col(CUSTOMER) == customer)
            found = history(store, "simulated", customer)
            assert_frame_equal(found.select(TIME, EVENT, VALUE, KNOWN_AT), mine.select(TIME, EVENT, VALUE, KNOWN_AT))
        assert set(written(store).values()) == {business.journey.observed_until_microseconds}
