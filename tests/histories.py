"""What Hypothesis draws for the feature engine: logs with cutoffs, and rules."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st
from spec import SHOP, frame

from features.schema import CUSTOMER, DAY, EVENT, KNOWN_AT, MINUTE, TIME

TYPES = ["purchase", "visit", "ticket"]  # that rules speak of
WINDOWS = ["1d", "7d", "28d"]
YEARS = (1931, 1970, 2024, 2071)
STARTS = [(year - 1970) * 31_556_952_000_000 for year in YEARS]
# Differences at which something changes its side: the windows of the features and rules, and twice those;
# the end of a session; a year and a window more or less.
EDGES = [30 * MINUTE, *(days * DAY for days in (0, 0, 1, 7, 28, 56, 14, 112, 365, 337, 393))]
GAPS = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 90 * MINUTE),
    st.integers(0, 40 * DAY),
    st.builds(lambda edge, off: max(0, edge + off), st.sampled_from(EDGES), st.integers(-1, 1)),
)
NULLED = {
    "channel": st.sampled_from(["web", "store", "app", "post", None]),
    "value": st.one_of(st.none(), st.integers(-40, 200).map(lambda n: n / 4)),
    "items": st.sampled_from([None, None, 0.0, 1.0, 2.5, 7.0]),
    "product": st.sampled_from([None, "tea", "té", ""]),
    "stars": st.sampled_from([None, None, 1.0, 4.0, 5.0]),
    "nps": st.sampled_from([None, None, 0.0, 6.0, 7.0, 8.5, 9.0, 10.0]),
}
# After the event, or before it: an appointment is known before it happens.
LATE = st.sampled_from([0, 0, 0, 0, 1, DAY, 9 * DAY, 60 * DAY, -2 * DAY])
EVENTS = st.fixed_dictionaries({EVENT: st.sampled_from([*SHOP.types, "purchase", "rare"]), **NULLED})


@st.composite
def histories(draw: st.DrawFn, customers: int = 6) -> list[dict[str, Any]]:
    """Events of some customers: ties, one event, late news, nulls, any century."""
    found = []
    for number in range(draw(st.integers(1, customers))):
        time = draw(st.sampled_from(STARTS)) + draw(st.integers(-DAY, DAY))
        for event in draw(st.lists(EVENTS, min_size=1, max_size=14)):
            time += draw(GAPS)
            found.append({**event, CUSTOMER: f"c{number}", TIME: time, KNOWN_AT: time + draw(LATE)})
    return found


@st.composite
def logs(draw: st.DrawFn) -> tuple[pl.DataFrame, list[int]]:
    """A log and cutoffs on, beside and between the edges of its windows."""
    events = frame(draw(histories()))
    times = st.sampled_from(sorted(set(events[TIME]) | set(events[KNOWN_AT])))
    cutoffs = st.lists(st.builds(int.__add__, times, GAPS), min_size=1, max_size=5, unique=True)
    return events, draw(cutoffs)


def simple():
    form = st.sampled_from(["any_of", "none_of"])
    types = st.lists(st.sampled_from(TYPES), min_size=1, max_size=2, unique=True)
    window = st.sampled_from([None, *WINDOWS])
    return st.builds(
        lambda form, types, least, window: {form: types, "at_least": least} | ({"within": window} if window else {}),
        form,
        types,
        st.integers(1, 3),
        window,
    )


RULES = st.recursive(
    st.one_of(simple(), st.just({})),
    lambda inner: st.builds(lambda r: {"all_of": r}, st.lists(inner, min_size=1, max_size=3)),
)
