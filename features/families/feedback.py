"""Feedback: what the customer answered when asked."""

from __future__ import annotations

import narwhals as nw

from features.families.tables import latest
from features.families.words import plain, slugs
from features.feature import Feature
from features.instants import days
from features.journey import Journey
from features.schema import CUSTOMER


def features(journey: Journey) -> tuple[Feature, ...]:
    """Last and mean answer, the lowest, and days since, for every property of kind `rating`."""
    found: list[Feature] = []
    for name, slug in slugs(list(journey.properties)).items():
        if journey.properties[name] == "rating":
            found += _rating(name, slug)
    return tuple(found)


def _rating(name: str, slug: str) -> list[Feature]:
    answers, text = latest(f"answers {name}", name, ~nw.col(CUSTOMER).is_null()), plain(name)

    def feature(
        column: str, description: str, expr: nw.Expr, says: str, unit: str = "number", usual: str | None = None
    ) -> Feature:
        return Feature(column, description, unit, "FEEDBACK", expr, of=answers, says=says, usual=usual)

    return [
        feature(f"{slug}_mean", f"average {text} given", nw.col(name).mean(), f"average {text} {{value}}"),
        feature(
            f"{slug}_last",
            f"newest {text} given",
            nw.when(nw.col("last")).then(nw.col(name)).max(),
            f"last {text} {{value}}",
            usual=f"{slug}_mean",
        ),
        feature(f"{slug}_min", f"lowest {text} given", nw.col(name).min(), f"lowest {text} {{value}}"),
        feature(
            f"{slug}_answer_recency_days",  # an event type may have the property's name
            f"days since the newest {text}",
            days(nw.col("age").min()),
            f"{{value}} since the last {text}",
            unit="days",
        ),
    ]
