from datetime import timedelta

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec import at, log, pairs

from features import instants
from features.instants import Window, days, inside, mature, microseconds, past
from features.schema import CUTOFF, DAY, TIME

AROUND = """
    day    | event | known_at
    -7-1us | visit |
    -7     | visit |
    -0-1us | visit |
    -0-1us | visit | 0
    0      | visit | -1
    +7-1us | visit | +9
    +7     | visit |
"""


def test_the_past_ends_before_the_cutoff_and_holds_what_was_known():
    events, cutoffs = nw.from_native(log(AROUND).lazy()), nw.from_native(pairs(["c"], [at()]).lazy())
    rows = past(events, cutoffs).collect().to_native()
    assert (rows[TIME] - rows[CUTOFF]).to_list() == [-7 * DAY - 1, -7 * DAY, -1]


@pytest.mark.parametrize(
    ("ages", "before", "kept"),
    [
        ([1, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1], 0, [1, 7 * DAY - 1, 7 * DAY]),
        ([7 * DAY, 7 * DAY + 1, 14 * DAY, 14 * DAY + 1], 7, [7 * DAY + 1, 14 * DAY]),
    ],
)
def test_a_window_holds_its_first_instant_and_not_its_end(ages, before, kept):
    rows = nw.from_native(pl.DataFrame({"age": ages}))
    window = inside(Window(timedelta(days=7), before=timedelta(days=before)))
    assert rows.filter(window)["age"].to_list() == kept


def test_windows_that_follow_each_other_share_no_age_and_leave_none_out():
    rows = nw.from_native(pl.DataFrame({"age": range(1, 31)}).with_columns(pl.col("age") * DAY // 2))
    week = timedelta(days=7)
    now, before = inside(Window(week)), inside(Window(week, before=week))
    both = inside(Window(2 * week))
    assert rows.filter(now & before).is_empty()
    assert rows.filter(now | before).to_native().equals(rows.filter(both).to_native())


def test_a_cutoff_is_mature_when_its_last_instant_was_observed():
    week = timedelta(days=7)
    assert mature(at(), week, at(7))
    assert not mature(at(), week, at(7) - 1)


def test_durations_are_microseconds_and_microseconds_are_days():
    assert microseconds(timedelta(days=1, microseconds=1)) == DAY + 1
    rows = nw.from_native(pl.DataFrame({"age": [DAY // 4, 3 * DAY]}))
    assert rows.select(days(nw.col("age")))["age"].to_list() == [0.25, 3.0]


@pytest.mark.parametrize("searched", [0, 10**9], ids=["searched", "counted"])
@given(
    histories=st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=2, max_size=4),
    asked=st.lists(st.integers(-1, 10), min_size=2, max_size=6),
)
def test_an_edge_is_the_first_row_that_is_not_before_the_instant(searched, histories, asked):
    sizes = np.array([len(one) for one in histories])
    ends = np.cumsum(sizes)
    times = np.array([time for one in histories for time in sorted(one)], dtype=np.int64)
    of = np.array([number % len(histories) for number in range(len(asked))])
    starts, stops = (ends - sizes)[of], ends[of]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instants, "SEARCHED", searched)
        found = instants.first_at_or_after(times, starts, stops, np.array(asked))
    wanted = [s + sum(time < a for time in histories[h]) for s, a, h in zip(starts, asked, of, strict=True)]
    assert found.tolist() == wanted
