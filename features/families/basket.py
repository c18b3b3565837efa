"""What the events contain: the journey's declared numbers and categories."""

from __future__ import annotations

import narwhals as nw

from features.families.tables import latest
from features.families.words import plain, slugs, spell
from features.feature import EVENTS, Feature, Table
from features.instants import within
from features.journey import Journey, duration_text
from features.schema import CUSTOMER


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


def _known(name: str) -> Table:
    return latest(f"property {name}", name, ~nw.col(CUSTOMER).is_null())


def _number(name: str, slug: str, journey: Journey) -> list[Feature]:
    window, value = journey.windows[min(1, len(journey.windows) - 1)], nw.col(name)
    recent = nw.when(within(window)).then(value).mean()
    text, usual = plain(name), f"{slug}_mean"
    return [
        Feature(
            usual, f"average {text}", "number", "BASKET", value.mean(), of=EVENTS, says=f"average {text} {{value}}"
        ),
        Feature(
            f"{slug}_mean_{duration_text(window)}",
            f"average {text} in the last {spell(window)}",
            "number",
            "BASKET",
            recent,
            of=EVENTS,
            says=f"average {text} {{value}} in the last {spell(window)}",
            usual=usual,
        ),
        Feature(
            f"last_{slug}",
            f"{text} of the newest event that has it",
            "number",
            "BASKET",
            nw.when(nw.col("last")).then(value).max(),
            of=_known(name),
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
            nw.when(nw.col("last")).then(nw.col(name)).max(),
            of=_known(name),
            says=f"last {text}: {{value}}",
        ),
        Feature(
            f"{slug}_kinds",
            f"number of different values of {text}",
            "number",
            "BASKET",
            nw.col(name).n_unique(),
            of=_known(name),
            says=f"{{value}} different values of {text}",
        ),
    ]
