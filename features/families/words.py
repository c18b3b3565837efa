"""How the families name windows, event types and counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

import narwhals as nw

from features.journey import Journey, duration_text
from features.resolution import MOST_TYPES
from features.schema import EVENT

TYPES_AT_MOST = MOST_TYPES  # event types with features of their own: the most frequent, or the first declared


def slugs(names: Sequence[str]) -> dict[str, str]:
    """Each name as part of a column name: word characters only, in any script, and unique.

    LightGBM refuses `"`, `[`, `]`, `{`, `}`, `:` and `,` in feature names.
    """
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"\W+", "_", name.lower()).strip("_") or "event"
        slug, number = plain, 2
        while slug in taken.values():
            slug, number = f"{plain}_{number}", number + 1
        taken[name] = slug
    return taken


def type_slugs(journey: Journey) -> dict[str, str]:
    """The slug of every event type that has features of its own."""
    everyone = slugs(journey.types)
    return {name: everyone[name] for name in journey.types[:TYPES_AT_MOST]}


def plain(name: str) -> str:
    """An event type or property as read in a sentence."""
    return name.replace("_", " ")


def spell(window: timedelta) -> str:
    """A window in words: `28 days`, `6 hours`."""
    text = duration_text(window)
    number, unit = text[:-1], {"d": "day", "h": "hour", "m": "minute", "s": "second"}[text[-1]]
    return f"{number} {unit}" + ("" if number == "1" else "s")


def second(journey: Journey) -> timedelta:
    """The window in which a trend is told: the second, or the only one."""
    return journey.windows[min(1, len(journey.windows) - 1)]


def is_type(*names: str) -> nw.Expr:
    """Whether the row is an event of one of these types."""
    return nw.col(EVENT) == names[0] if len(names) == 1 else nw.col(EVENT).is_in(list(names))
