"""Recency and tenure: how long since, and since when."""

from __future__ import annotations

from features.aggregates import age_of_first, combine, since, since_first
from features.families.tables import activity
from features.families.words import is_type, plain, type_slugs
from features.feature import Feature
from features.instants import days
from features.journey import Journey


def features(journey: Journey) -> tuple[Feature, ...]:
    """Days since the last event of each kind the customer causes, and days known."""
    found = [
        Feature(
            "recency_days",
            "days since the customer last did anything",
            "days",
            "INACTIVE",
            since(),
            of=activity(journey),
            says="{value} since the last sign of life",
            usual="active_gap_days_median",
        ),
        Feature(
            "tenure_days",
            "days since the first known event",
            "days",
            "TENURE",
            since_first(),
            says="known for {value}",
        ),
    ]
    for name, slug in type_slugs(journey).items():
        if name in journey.business or name in journey.friction:
            continue
        bought = name == journey.conversion_event
        found.append(
            Feature(
                f"{slug}_recency_days",
                f"days since the last {plain(name)}",
                "days",
                "OVERDUE" if bought else "INACTIVE",
                since(is_type(name)),
                says=f"{{value}} since the last {plain(name)}",
                usual="purchase_gap_days_median" if bought else None,
            )
        )
    return (*found, *_first_purchase(journey))


def _first_purchase(journey: Journey) -> tuple[Feature, ...]:
    bought = is_type(journey.conversion_event)
    return (
        Feature(
            "purchase_tenure_days",
            "days since the first purchase",
            "days",
            "TENURE",
            since_first(bought),
            says="{value} since the first purchase",
        ),
        Feature(
            "first_conversion_days",
            "days from the first known event to the first purchase",
            "days",
            "STAGE",
            combine(days, age_of_first() - age_of_first(bought)),
            says="{value} from first contact to first purchase",
        ),
    )
