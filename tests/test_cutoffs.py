import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from spec import SHOP, at, changed, utc

from features.cutoffs import grid, usable
from features.instants import microseconds
from features.journey import Churn
from features.schema import DAY, to_microseconds

END = utc(2024, 6, 30)
JOURNEY = changed(observed_until=END.isoformat(), cutoffs={"every": "10d", "history": "30d"})


def days_before_end(cutoffs):
    return [(to_microseconds(END) - cutoff) / DAY for cutoff in cutoffs]


def test_the_grid_counts_back_from_the_end_to_the_shortest_history():
    assert days_before_end(grid(JOURNEY, at(-70, now=END))) == [40, 30, 20, 10, 0]
    assert days_before_end(grid(JOURNEY, at(-70, now=END) + 1)) == [30, 20, 10, 0]


def test_a_log_shorter_than_the_history_has_no_cutoff():
    assert grid(JOURNEY, at(-29, now=END)) == []
    assert days_before_end(grid(JOURNEY, at(-30, now=END))) == [0]


def test_a_cutoff_is_usable_once_its_horizon_is_over():
    assert days_before_end(usable(JOURNEY, Churn(no="purchase", within="20d"), at(-70, now=END))) == [40, 30, 20]
    assert days_before_end(usable(JOURNEY, Churn(no="purchase", within="21d"), at(-70, now=END))) == [40, 30]
    assert usable(JOURNEY, Churn(no="purchase", within="41d"), at(-70, now=END)) == []


def test_the_same_grid_serves_every_task():
    first = at(-200, now=END)
    every = grid(SHOP.model_copy(update={"observed_until": END}), first)
    for task in (SHOP.tasks.churn, SHOP.tasks.next_stage, SHOP.tasks.cltv):
        assert set(usable(SHOP.model_copy(update={"observed_until": END}), task, first)) <= set(every)


@given(st.integers(1, 60), st.integers(1, 400), st.integers(0, 1000), st.integers(-60, 90))
def test_cutoffs_are_evenly_spaced_and_keep_history_and_horizon(every, history, span, year):
    end = END.replace(year=2024 + year)
    journey = changed(observed_until=end.isoformat(), cutoffs={"every": f"{every}d", "history": f"{history}d"})
    first, task = at(-span, now=end), Churn(no="purchase", within="28d")
    found = usable(journey, task, first)
    assert all(later - earlier == every * DAY for earlier, later in itertools.pairwise(found))
    assert all(cutoff - first >= history * DAY for cutoff in found)
    assert all(cutoff + microseconds(timedelta(days=28)) <= to_microseconds(end) for cutoff in found)
    assert bool(found) == (span >= history + -(-28 // every) * every)
