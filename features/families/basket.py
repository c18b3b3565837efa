"""Basket: what the events contain, by the journey's declared numbers and categories."""

from __future__ import annotations

import narwhals as nw

from features.aggregates import distinct, mean, newest, only_with
from features.families.words import plain, second, slugs, spell
from features.feature import Feature
from features.instants import Window
from features.journey import Journey, duration_text


def features(journey: Journey) -> tuple[Feature, ...]:
    """Per number: mean over a window and ever, and the last; per category: the last and how many."""
    found: list[Feature] = []
    for name, slug in slugs(list(journey.properties)).items():
        kind = journey.properties[name]
        if kind == "number":
            found += _number(name, slug, journey)
        elif kind == "category":
            found += _category(name, slug)
    return tuple(found)


def _number(name: str, slug: str, journey: Journey) -> list[Feature]:
    window = second(journey)
    text, usual = plain(name), f"{slug}_mean"
    return [
        Feature(usual, f"average {text}", "number", "BASKET", mean(name), says=f"average {text} {{value}}"),
        Feature(
            f"{slug}_mean_{duration_text(window)}",
            f"average {text} in the last {spell(window)}",
            "number",
            "BASKET",
            mean(name, window=Window(window)),
            says=f"average {text} {{value}} in the last {spell(window)}",
            usual=usual,
        ),
        Feature(
            f"last_{slug}",
            f"{text} of the newest event that has it",
            "number",
            "BASKET",
            newest(name, ~nw.col(name).is_null()),
            says=f"last {text} {{value}}",
            usual=usual,
        ),
    ]


def _category(name: str, slug: str) -> list[Feature]:
    text = plain(name)
    return [
        Feature(
            f"last_{slug}",
            f"{text} of the newest event that has it",
            "category",
            "BASKET",
            newest(name, ~nw.col(name).is_null()),
            says=f"last {text}: {{value}}",
        ),
        Feature(
            f"{slug}_kinds",
            f"number of different values of {text}",
            "number",
            "BASKET",
            only_with(distinct(name), distinct(name)),
            says=f"{{value}} different values of {text}",
        ),
    ]
