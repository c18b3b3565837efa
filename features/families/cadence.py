"""Cadence: the customer's own rhythm of buying, and the present gap against it."""

from __future__ import annotations

import narwhals as nw

from features.families.tables import activity, conversions
from features.families.words import ratio
from features.feature import Feature
from features.instants import days
from features.journey import Journey


def features(journey: Journey) -> tuple[Feature, ...]:
    """Gaps between purchase days (several purchases of a day count as one) and between events."""
    orders, gap = conversions(journey), nw.col("gap_days")
    since = days(nw.col("age").min())

    def cadence(name: str, description: str, unit: str, expr: nw.Expr, says: str) -> Feature:
        return Feature(f"purchase_{name}", description, unit, "CADENCE", expr, of=orders, says=says)

    return (
        cadence("gap_days_mean", "average days between purchases", "days", gap.mean(), "buys every {value} on average"),
        cadence(
            "gap_days_median",
            "usual (median) days between purchases",
            "days",
            gap.median(),
            "usually buys every {value}",
        ),
        cadence("gap_days_std", "how much the days between purchases vary", "days", gap.std(), "gaps vary by {value}"),
        cadence("gap_days_max", "the longest gap between purchases", "days", gap.max(), "longest gap {value}"),
        cadence(
            "gap_days_last",
            "days between the last two purchase days",
            "days",
            nw.when(nw.col("last_gap")).then(gap).max(),
            "last gap {value}",
        ),
        cadence(
            "regularity",
            "variation of the gaps relative to their mean (0: like clockwork)",
            "ratio",
            ratio(gap.std(), gap.mean()),
            "gaps vary by {value} of their mean",
        ),
        Feature(
            "purchase_overdue",
            "days since the last purchase relative to the usual gap (above 1: overdue)",
            "ratio",
            "OVERDUE",
            ratio(since, gap.median()),
            of=orders,
            says="{value} times the usual gap since the last purchase",
        ),
        Feature(
            "purchase_past_longest",
            "days since the last purchase relative to the longest gap ever",
            "ratio",
            "OVERDUE",
            ratio(since, gap.max()),
            of=orders,
            says="{value} times the longest gap ever since the last purchase",
        ),
        Feature(
            "purchase_days",
            "days with a purchase per 28 days since the first one (at least 28 days)",
            "number",
            "CADENCE",
            28.0 * nw.col("new_day").sum() / days(nw.col("age").max()).clip(lower_bound=28.0),
            of=orders,
            says="buys on {value} days in 28",
        ),
        Feature(
            "active_gap_days_median",
            "usual (median) days between two days with any activity",
            "days",
            "CADENCE",
            nw.col("gap_days").median(),
            of=activity(journey),
            says="usually active every {value}",
        ),
    )
