"""Cadence: the customer's own rhythm of buying, and the present gap against it."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import (
    Value,
    at_least,
    count,
    deviation,
    highest,
    mean,
    median,
    newest,
    ratio,
    since,
    since_first,
)
from features.families.tables import activity, conversions
from features.feature import Feature
from features.journey import Journey


def features(journey: Journey) -> tuple[Feature, ...]:
    """Gaps between purchase days (several purchases of a day count as one) and between events."""
    orders, gap = conversions(journey), "gap_days"

    def cadence(name: str, description: str, unit: str, value: Value, says: str) -> Feature:
        return Feature(f"purchase_{name}", description, unit, "CADENCE", value, of=orders, says=says)

    return (
        cadence("gap_days_mean", "average days between purchases", "days", mean(gap), "buys every {value} on average"),
        cadence(
            "gap_days_median",
            "usual (median) days between purchases",
            "days",
            median(gap),
            "usually buys every {value}",
        ),
        cadence(
            "gap_days_std", "how much the days between purchases vary", "days", deviation(gap), "gaps vary by {value}"
        ),
        cadence("gap_days_max", "the longest gap between purchases", "days", highest(gap), "longest gap {value}"),
        cadence(
            "gap_days_last",
            "days between the last two purchase days",
            "days",
            newest(gap, ~nw.col(gap).is_null()),
            "last gap {value}",
        ),
        cadence(
            "regularity",
            "variation of the gaps relative to their mean (0: like clockwork)",
            "ratio",
            ratio(deviation(gap), mean(gap)),
            "gaps vary by {value} of their mean",
        ),
        Feature(
            "purchase_overdue",
            "days since the last purchase relative to the usual gap (above 1: overdue)",
            "ratio",
            "OVERDUE",
            ratio(since(), median(gap)),
            of=orders,
            says="{value} times the usual gap since the last purchase",
        ),
        Feature(
            "purchase_past_longest",
            "days since the last purchase relative to the longest gap ever",
            "ratio",
            "OVERDUE",
            ratio(since(), highest(gap)),
            of=orders,
            says="{value} times the longest gap ever since the last purchase",
        ),
        Feature(
            "purchase_days",
            "days with a purchase per 28 days since the first one (at least 28 days)",
            "number",
            "CADENCE",
            count(nw.col("new_day")) * 28.0 / at_least(since_first(), 28.0),
            of=orders,
            says="buys on {value} days in 28",
        ),
        Feature(
            "active_gap_days_median",
            "usual (median) days between two days with any activity",
            "days",
            "CADENCE",
            median(gap),
            of=activity(journey),
            says="usually active every {value}",
        ),
    )
