"""What a vector sees and a label counts, to the microsecond."""

import pytest
from spec import SHOP, at, frame, log, pairs, vector

from features.aggregates import Window, count, newest
from features.engine import build
from features.feature import Feature
from features.labels import label

SEEN = Feature("seen", "events", "count", "ACTIVITY", count())


def seen(table):
    return vector(table, [SEEN])["seen"]


@pytest.mark.parametrize(("day", "wanted"), [("-9", 1), ("-0-1us", 1), ("0", 0), ("+0+1us", 0), ("+9", 0)])
def test_the_past_ends_before_the_cutoff(day, wanted):
    assert seen(f"day | event\n{day} | visit") == wanted


def test_every_customers_past_ends_before_their_own_cutoff():
    days = {"a": [-3, 0], "b": [-2, -1, 5], "c": [0, 1]}
    events = frame(
        {"customer_id": who, "time": at(day), "known_at": at(day), "event": "visit"}
        for who in days
        for day in days[who]
    )
    found = build(events, pairs(days, [at(-2), at(), at(1)]), [SEEN])
    assert found["seen"].to_list() == [1, 0, 0, 1, 2, 0, 2, 2, 1]


@pytest.mark.parametrize(("known", "wanted"), [("", 1), ("-20", 1), ("-0-1us", 1), ("0", 0), ("+9", 0)])
def test_the_past_holds_what_was_known_before_the_cutoff(known, wanted):
    assert seen(f"day | event | known_at\n-9 | visit | {known}") == wanted


def test_late_news_of_one_event_hides_no_other():
    assert seen("day | event | known_at\n-9 | visit |\n-8 | visit | +1\n-7 | visit |") == 2


def test_nobody_asked_about_gives_no_rows():
    late = log("day | event | known_at\n-9 | visit | +1")
    assert build(late, pairs([], []), [SEEN]).columns == ["customer_id", "cutoff", "seen"]


@pytest.mark.parametrize(
    ("day", "now", "earlier"),
    [("-14-1us", 0, 0), ("-14", 0, 1), ("-7-1us", 0, 1), ("-7", 1, 0), ("-0-1us", 1, 0)],
)
def test_a_window_holds_its_first_instant_and_not_its_end(day, now, earlier):
    week = SHOP.windows[0]
    windows = {"now": Window(week), "earlier": Window(week, before=week)}
    features = [Feature(name, "events", "count", "ACTIVITY", count(window=w)) for name, w in windows.items()]
    assert vector(f"day | event\n{day} | visit", features) == {"now": now, "earlier": earlier}


@pytest.mark.parametrize(("day", "wanted"), [("-0-1us", 1), ("0", 0), ("+28-1us", 0), ("+28", 1)])
def test_a_horizon_holds_its_first_instant_and_not_its_end(day, wanted):
    found = label(SHOP.tasks.churn, SHOP, log(f"day | event\n{day} | purchase"), pairs(["c"], [at()]))
    assert found["label"].item() == wanted


def test_of_events_at_one_instant_the_one_that_came_last_is_the_newest():
    last = Feature("last", "its type", "category", "SEQUENCE", newest("event"))
    assert vector("day | event\n-9 | visit\n-9 | ticket", [last]) == {"last": "ticket"}
