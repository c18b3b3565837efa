"""Some of very many customers, the same on every run."""

import polars as pl

from features.some_customers import is_drawn, of_some

EVENTS = pl.DataFrame({"customer_id": [f"c{n % 1000}" for n in range(3000)], "time": range(3000)})


def test_of_very_many_customers_some_are_drawn_with_all_of_their_rows_in_their_order():
    some = of_some(EVENTS, 100)
    assert 60 < some["customer_id"].n_unique() < 150
    assert set(some["customer_id"].value_counts()["count"]) == {3}
    assert some["time"].is_sorted()
    assert some["customer_id"].unique().sort().head(3).to_list() == ["c122", "c126", "c132"]  # on every machine


def test_where_no_more_are_wanted_the_rows_are_the_very_same():
    assert of_some(EVENTS, 1000) is EVENTS
    assert all(is_drawn(f"c{n}", 1000, 1000) for n in range(1000))


def test_who_is_drawn_of_many_is_drawn_of_fewer_too_whatever_the_order_of_the_rows():
    few, more = (set(of_some(EVENTS.reverse(), most)["customer_id"]) for most in (100, 300))
    assert few < more
    assert few == set(of_some(EVENTS, 100)["customer_id"])
