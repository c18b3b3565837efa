"""Friction: trouble the customer had, how much and how long ago."""

from __future__ import annotations

from features.aggregates import count, ratio, since
from features.families.words import is_type, plain, spell, type_slugs
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Counts per window, per type, per purchase, and days since; empty where nothing is friction."""
    if not journey.friction:
        return ()
    trouble = is_type(*journey.friction)
    found = [
        Feature(
            "friction_recency_days",
            "days since the last trouble",
            "days",
            "FRICTION",
            since(trouble),
            says="{value} since the last trouble",
        ),
        Feature(
            "friction_per_purchase",
            "troubles per purchase",
            "ratio",
            "FRICTION",
            ratio(count(trouble), count(is_type(journey.conversion_event))),
            says="{value} troubles per purchase",
        ),
    ]
    found += [
        Feature(
            f"friction_{duration_text(window)}",
            f"number of troubles in the last {spell(window)}",
            "count",
            "FRICTION",
            count(trouble, Window(window)),
            empty=0.0,
            says=f"{{value}} troubles in the last {spell(window)}",
        )
        for window in journey.windows
    ]
    for name, slug in type_slugs(journey).items():
        if name in journey.friction:
            found += _per_type(name, slug, journey)
    return tuple(found)


def _per_type(name: str, slug: str, journey: Journey) -> list[Feature]:
    window = journey.windows[-1]
    return [
        Feature(
            f"{slug}_{duration_text(window)}",
            f"number of {plain(name)} events in the last {spell(window)}",
            "count",
            "FRICTION",
            count(is_type(name), Window(window)),
            empty=0.0,
            says=f"{plain(name)}: {{value}} in the last {spell(window)}",
        ),
        Feature(
            f"{slug}_recency_days",
            f"days since the last {plain(name)}",
            "days",
            "FRICTION",
            since(is_type(name)),
            says=f"{{value}} since the last {plain(name)}",
        ),
    ]
