"""Profile: columns that never change, or say when they became known. Presence is no feature."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import Value
from features.families.words import plain, slugs
from features.feature import PROFILE, Feature
from features.journey import Journey, ProfileColumn
from features.schema import CUTOFF


def features(journey: Journey) -> tuple[Feature, ...]:
    """One category per declared profile feature; null before it was known."""
    columns = journey.profile.features if journey.profile else {}
    return tuple(_column(name, slug, columns[name]) for name, slug in slugs(list(columns)).items())


def _column(name: str, slug: str, column: ProfileColumn) -> Feature:
    value = nw.col(name)
    if column.known_at:
        value = nw.when(nw.col(column.known_at) < nw.col(CUTOFF)).then(value)
    return Feature(
        f"profile_{slug}",
        plain(name),
        "category",
        "PROFILE",
        Value(lambda: value),
        of=PROFILE,
        says=f"{plain(name)}: {{value}}",
    )
