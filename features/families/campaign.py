"""Campaigns: what the business sent, and whether the customer answered."""

from __future__ import annotations

from features.aggregates import count, ratio, since
from features.families.words import is_type, plain, spell, type_slugs
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Touches per window and type, days since, and the customer's events per touch.

    A touch is never a sign that the customer is active.
    """
    if not journey.business:
        return ()
    touch = is_type(*journey.business)
    found = [
        Feature(
            "touch_recency_days",
            "days since the business last contacted the customer",
            "days",
            "CAMPAIGN",
            since(touch),
            says="{value} since the last contact by the business",
        ),
        Feature(
            "purchases_per_touch",
            "purchases per contact by the business, over the whole history",
            "ratio",
            "CAMPAIGN",
            ratio(count(is_type(journey.conversion_event)), count(touch)),
            says="{value} purchases per contact",
        ),
    ]
    found += [
        Feature(
            f"touches_{duration_text(window)}",
            f"contacts by the business in the last {spell(window)}",
            "count",
            "CAMPAIGN",
            count(touch, Window(window)),
            empty=0.0,
            says=f"{{value}} contacts by the business in the last {spell(window)}",
        )
        for window in journey.windows
    ]
    for name, slug in type_slugs(journey).items():
        if name in journey.business and name not in journey.friction and len(journey.business) > 1:
            found.append(_per_type(name, slug, journey))
    return tuple(found)


def _per_type(name: str, slug: str, journey: Journey) -> Feature:
    window = journey.windows[-1]
    return Feature(
        f"{slug}_{duration_text(window)}",
        f"number of {plain(name)} contacts in the last {spell(window)}",
        "count",
        "CAMPAIGN",
        count(is_type(name), Window(window)),
        empty=0.0,
        says=f"{plain(name)}: {{value}} in the last {spell(window)}",
    )
