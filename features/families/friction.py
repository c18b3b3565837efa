"""Friction: trouble the customer had, how much and how long ago."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import Value, count, ratio, share, since
from features.families.tables import followed
from features.families.words import is_type, plain, spell, type_slugs
from features.feature import Feature
from features.instants import Window
from features.journey import Abandoned, Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Counts per window, per type, per purchase, and days since; what was left behind, where the journey says what."""
    return (*_troubles(journey), *(_left(journey.abandoned, journey) if journey.abandoned else ()))


def _troubles(journey: Journey) -> tuple[Feature, ...]:
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


def _left(rule: Abandoned, journey: Journey) -> tuple[Feature, ...]:
    """What was left behind; whether it was is known once `within` is over, and counted from that instant on."""
    table = followed("abandoned", [rule.started], [rule.finished], rule.within)
    what = f"{plain(rule.started)} events without a {plain(rule.finished)} within {spell(rule.within)}"
    behind = ~nw.col("followed")

    def left(name: str, description: str, unit: str, value: Value, says: str) -> Feature:
        empty = 0.0 if unit == "count" else None
        return Feature(f"abandoned_{name}", description, unit, "FRICTION", value, empty, table, says)

    return (
        *(
            left(
                duration_text(window),
                f"number of {what}, known as such in the last {spell(window)}",
                "count",
                count(behind, Window(window)),
                f"{{value}} {what} in the last {spell(window)}",
            )
            for window in journey.windows
        ),
        left("share", f"{what}, as a share of all of them", "share", share(behind), f"{{value}} {what}"),
        left("recency_days", f"days since the last of the {what}", "days", since(behind), f"{{value}} since: {what}"),
    )
