"""Feedback: what the customer answered when asked."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import Value, lowest, mean, newest, since
from features.families.words import plain, slugs
from features.feature import Feature
from features.journey import Journey


def features(journey: Journey) -> tuple[Feature, ...]:
    """Last and mean answer, the lowest, and days since, for every property of kind `rating`."""
    found: list[Feature] = []
    for name, slug in slugs(list(journey.properties)).items():
        if journey.properties[name] == "rating":
            found += _rating(name, slug)
    return tuple(found)


def _rating(name: str, slug: str) -> list[Feature]:
    answered, text = ~nw.col(name).is_null(), plain(name)

    def feature(
        column: str, description: str, value: Value, says: str, unit: str = "number", usual: str | None = None
    ) -> Feature:
        return Feature(column, description, unit, "FEEDBACK", value, says=says, usual=usual)

    return [
        feature(f"{slug}_mean", f"average {text} given", mean(name), f"average {text} {{value}}"),
        feature(
            f"{slug}_last",
            f"newest {text} given",
            newest(name, answered),
            f"last {text} {{value}}",
            usual=f"{slug}_mean",
        ),
        feature(f"{slug}_min", f"lowest {text} given", lowest(name), f"lowest {text} {{value}}"),
        feature(
            f"{slug}_answer_recency_days",  # an event type may have the property's name
            f"days since the newest {text}",
            since(answered),
            f"{{value}} since the last {text}",
            unit="days",
        ),
    ]
