"""Activity: how much the customer does per window, and its trend."""

from __future__ import annotations

from datetime import timedelta

from features.aggregates import count, distinct, ratio
from features.families.tables import activity
from features.families.words import is_type, plain, second, spell, type_slugs
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Counts per event type and window, active days, and each window against the one before."""
    own = activity(journey)
    found: list[Feature] = []
    for name, slug in type_slugs(journey).items():
        if name not in journey.business and name not in journey.friction:
            found += [_counted(name, slug, window) for window in journey.windows]
            found.append(_trend(name, slug, second(journey)))
    for window in journey.windows:
        found.append(
            Feature(
                f"active_days_{duration_text(window)}",
                f"days with any activity in the last {spell(window)}",
                "count",
                "ACTIVITY",
                distinct("day", window=Window(window)),
                empty=0.0,
                of=own,
                says=f"active on {{value}} of the last {spell(window)}",
            )
        )
    return tuple(found)


def _counted(name: str, slug: str, window: timedelta) -> Feature:
    return Feature(
        f"{slug}_{duration_text(window)}",
        f"number of {plain(name)} events in the last {spell(window)}",
        "count",
        "ACTIVITY",
        count(is_type(name), Window(window)),
        empty=0.0,
        says=f"{plain(name)}: {{value}} in the last {spell(window)}",
    )


def _trend(name: str, slug: str, window: timedelta) -> Feature:
    now, before = count(is_type(name), Window(window)), count(is_type(name), Window(window, before=window))
    return Feature(
        f"{slug}_trend_{duration_text(window)}",
        f"share of the {plain(name)} events of the last two {spell(window)} that fall in the later ones",
        "share",
        "TREND",
        ratio(now, now + before),
        says=f"{{value}} of the {plain(name)} events of the last {spell(2 * window)} fall in the later half",
    )
