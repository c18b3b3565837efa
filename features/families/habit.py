"""Habit: the days and hours the customer keeps, on the clock of UTC."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import newest, share
from features.families.tables import activity
from features.feature import Feature
from features.journey import Journey

THURSDAY = 3  # 1970-01-01, counting from Monday


def features(journey: Journey) -> tuple[Feature, ...]:
    """Shares of weekends, evenings and mornings, and the weekday of the newest event (all UTC)."""
    own = activity(journey)
    weekday, hour = (nw.col("day") + THURSDAY) % 7, nw.col("hour") % 24

    def habit(name: str, what: str, condition: nw.Expr) -> Feature:
        says = f"{{value}} of the events {what}"
        return Feature(name, f"share of the events {what}", "share", "HABIT", share(condition), of=own, says=says)

    return (
        habit("weekend_share", "on Saturday or Sunday (UTC)", weekday >= 5),
        habit("evening_share", "from 18 to 24 hours (UTC)", hour >= 18),
        habit("morning_share", "from 6 to 12 hours (UTC)", (hour >= 6) & (hour < 12)),
        Feature(
            "last_weekday",
            "weekday of the newest event (0: Monday, UTC)",
            "number",
            "HABIT",
            newest(weekday),
            of=own,
            says="newest event on weekday {value}",
        ),
    )
