"""Feedback: what the customer answered when asked."""

from __future__ import annotations

from typing import Any

import narwhals as nw

from features.aggregates import Value, combine, lowest, mean, named, newest, since
from features.families.words import plain, slugs
from features.feature import Feature
from features.journey import Journey
from features.numbers import only_where

GROUPS = ("detractor", "passive", "promoter")  # 0 to 6, 7 and 8, 9 and 10 (Reichheld 2003)


def features(journey: Journey) -> tuple[Feature, ...]:
    """Last and mean answer, the lowest, and days since, for every `rating` and `nps`; the group of an `nps`."""
    found: list[Feature] = []
    for name, slug in slugs(list(journey.properties)).items():
        if journey.properties[name] in ("rating", "nps"):
            found += _rating(name, slug)
        if journey.properties[name] == "nps":
            found.append(_group(name, slug))
    return tuple(found)


def _group(name: str, slug: str) -> Feature:
    def group(answer: Any) -> Any:
        return only_where(answer >= 9, 2, only_where(answer >= 7, 1, only_where(answer < 7, 0)))

    return Feature(
        f"{slug}_group",
        f"group of the newest {plain(name)}: detractor (to 6), passive (7, 8) or promoter (from 9)",
        "category",
        "FEEDBACK",
        named(combine(group, newest(name, ~nw.col(name).is_null())), GROUPS),
        says=f"a {{value}} by the newest {plain(name)}",
        categories=GROUPS,
    )


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
