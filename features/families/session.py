"""Sessions: how often the customer comes by, for how long, and for what.

What a running total says of a session's newest row is not known before the next session begins, so
nothing here asks for the last row of a session: sessions are counted by their first rows, those of one
event by the second rows that are missing, and time is the sum of the gaps within sessions. All of it
is true at any cutoff, in the middle of a session too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import narwhals as nw

from features.aggregates import (
    Value,
    age,
    age_of_first,
    combine,
    count,
    highest,
    newest,
    ratio,
    since,
    total,
)
from features.families.tables import sessions
from features.families.words import second, spell
from features.feature import Feature
from features.instants import Window, days, minutes
from features.journey import Journey, duration_text

BEGINS = nw.col("first") == 1


def features(journey: Journey) -> tuple[Feature, ...]:
    """Sessions per window, their pace, duration and size; how many end at once, and in a purchase.

    Empty where the journey has no sessions.
    """
    if journey.session_gap is None:
        return ()
    table, window = sessions(journey, journey.session_gap), second(journey)

    def session(
        name: str,
        description: str,
        unit: str,
        value: Value,
        says: str,
        *,
        usual: str | None = None,
        empty: float | None = None,
    ) -> Feature:
        empty = 0.0 if unit == "count" else empty
        return Feature(name, description, unit, "SESSION", value, empty, table, says, usual)

    now, before = count(BEGINS, Window(window)), count(BEGINS, Window(window, before=window))
    return (
        *(
            session(
                f"sessions_{duration_text(length)}",
                f"number of sessions begun in the last {spell(length)}",
                "count",
                count(BEGINS, Window(length)),
                f"sessions in the last {spell(length)}: {{value}}",
            )
            for length in journey.windows
        ),
        session(
            f"sessions_trend_{duration_text(window)}",
            f"share of the sessions of the last two {spell(window)} that fall in the later ones",
            "share",
            ratio(now, now + before),
            f"{{value}} of the sessions of the last {spell(2 * window)} fall in the later half",
        ),
        session(
            "session_recency_days",
            "days since the newest session began",
            "days",
            since(BEGINS),
            "{value} since the newest session began",
            usual="session_gap_days_mean",
        ),
        session(
            "session_gap_days_mean",
            "average days from one session to the next",
            "days",
            ratio(combine(days, age_of_first(BEGINS) - age(BEGINS)), count(BEGINS) - 1),
            "a session every {value} on average",
        ),
        *_durations(session, window),
        *_sizes(session),
        session(
            "session_bounce_share",
            "share of the sessions with a single event",
            "share",
            ratio(count(BEGINS) - count(nw.col("nth") == 2), count(BEGINS)),
            "{value} of the sessions end with their first event",
        ),
        session(
            "session_purchase_share",
            "share of the sessions with a purchase",
            "share",
            ratio(count((nw.col("sale") == 1) & (nw.col("sales") == 1)), count(BEGINS)),
            "{value} of the sessions bring a purchase",
        ),
    )


def _durations(session: Callable[..., Feature], window: timedelta) -> tuple[Feature, ...]:
    usual = "session_minutes_mean"
    return (
        session(
            usual,
            "average minutes from the first to the last event of a session",
            "minutes",
            combine(minutes, ratio(total("spent"), count(BEGINS))),
            "sessions of {value} on average",
        ),
        session(
            "session_minutes_last",
            "minutes from the first to the last event of the newest session",
            "minutes",
            combine(minutes, newest("lasted")),
            "last session of {value}",
            usual=usual,
        ),
        session(
            "session_minutes_max",
            "minutes of the longest session",
            "minutes",
            combine(minutes, highest("lasted")),
            "longest session {value}",
        ),
        session(
            f"session_minutes_{duration_text(window)}",
            f"minutes spent in sessions in the last {spell(window)}",
            "minutes",
            combine(minutes, total("spent", window=Window(window))),
            f"{{value}} in sessions in the last {spell(window)}",
            empty=0.0,
        ),
    )


def _sizes(session: Callable[..., Feature]) -> tuple[Feature, ...]:
    return (
        session(
            "session_events_mean",
            "average number of events of a session",
            "number",
            ratio(count(), count(BEGINS)),
            "events a session: {value}",
        ),
        session(
            "session_events_last",
            "number of events of the newest session",
            "count",
            newest("nth"),
            "events in the last session: {value}",
        ),
        session(
            "session_events_max",
            "number of events of the largest session",
            "count",
            highest("nth"),
            "events in the largest session: {value}",
        ),
    )
