import pytest
from spec import SHOP, approx, changed
from spec import vector as told

from features.families import session

MINUTE = 60 * 1_000_000


def vector(table, journey=SHOP, **keys):
    return told(table, session.features(journey), journey, **keys)


def visits(*instants, event="visit"):
    """A table of visits at these (days, minutes after)."""
    rows = [f"{day}{minutes * MINUTE:+d}us | {event}" for day, minutes in instants]
    return "\n".join(["day | event", *rows])


def test_a_session_ends_where_nothing_follows_within_half_an_hour():
    assert vector(visits((-3, 0), (-3, 30), (-3, 60), (-1, 0), (-1, 31))) == approx(
        sessions_7d=3,
        session_events_mean=5 / 3,
        session_events_last=1,
        session_events_max=3,
        session_minutes_mean=20,
        session_minutes_last=0,
        session_minutes_max=60,
        session_bounce_share=2 / 3,
    )


def test_the_gap_that_ends_a_session_is_the_journeys():
    table = visits((-3, 0), (-3, 30), (-3, 60))
    assert vector(table, changed(session_gap="29m")) == approx(sessions_7d=3, session_bounce_share=1)
    assert vector(table, changed(session_gap="2h")) == approx(sessions_7d=1, session_bounce_share=0)


def test_a_gap_that_is_no_duration_is_refused():
    with pytest.raises(ValueError, match="'soon' is not a duration"):
        changed(session_gap="soon")


def test_a_journey_may_have_no_sessions():
    assert session.features(SHOP.model_copy(update={"session_gap": None})) == ()


def test_sessions_are_counted_in_the_window_in_which_they_begin():
    assert vector(visits((-28, -10), (-28, 10), (-7, 0), (-7, 20), (-2, 0))) == approx(
        sessions_7d=2, sessions_28d=2, sessions_56d=3, session_minutes_28d=40, sessions_trend_28d=2 / 3
    )


def test_days_between_sessions_and_since_the_newest_began():
    assert vector(visits((-9, 0), (-9, 20), (-5, 0), (-2, 0), (-2, 15))) == approx(
        session_gap_days_mean=3.5, session_recency_days=2
    )


def test_what_the_business_sends_opens_no_session_and_prolongs_none():
    assert vector("""
        day              | event
        -3               | visit
        -3+1200000000us  | email
        -3+2400000000us  | visit
        -1               | flyer
    """) == approx(sessions_7d=2, session_recency_days=3 - 40 / 1440, session_minutes_max=0)


def test_a_session_that_is_not_over_counts_as_far_as_it_has_come():
    assert vector("day | event\n0-1200000000us | visit\n0-1us | visit\n0 | visit") == approx(
        session_events_last=2, session_minutes_last=20 - 1 / 60e6, session_bounce_share=0
    )


def test_sessions_with_a_purchase_are_counted_once():
    assert vector("""
        day            | event
        -5             | visit
        -5+60000000us  | purchase
        -5+90000000us  | purchase
        -3             | visit
    """) == approx(session_purchase_share=0.5)


def test_an_empty_past_has_no_session():
    assert vector("day | event\n0 | visit") == approx(
        sessions_7d=0,
        session_events_last=0,
        session_events_max=0,
        session_minutes_28d=0,
        session_minutes_mean=None,
        session_bounce_share=None,
        session_recency_days=None,
        session_gap_days_mean=None,
    )


def test_one_session_has_no_gap():
    assert vector("day | event\n-1 | visit") == approx(session_gap_days_mean=None, session_bounce_share=1)


def test_an_event_known_too_late_joins_no_session():
    assert vector("""
        day             | event | known_at
        -1              | visit |
        -1+1500000000us | visit | 0
        -1+3000000000us | visit |
    """) == approx(sessions_7d=2, session_events_max=1)
