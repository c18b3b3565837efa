"""Sequence: the last steps, the gaps before them, how long the present run is, and how often each type comes."""

from __future__ import annotations

from features.aggregates import at_least, combine, count, newest, since_first
from features.families.tables import activity
from features.families.words import is_type, plain, type_slugs
from features.feature import Feature, Table
from features.instants import days
from features.journey import Journey
from features.schema import EVENT

LAST = 3  # steps looked back


def features(journey: Journey) -> tuple[Feature, ...]:
    """The types of the last events the customer caused, newest first, the gaps before them, and each type's rate."""
    own = activity(journey)
    found: list[Feature] = []
    for back in range(LAST):
        found += [_step(back, own, journey), _gap(back, own)]
    run = Feature(
        "run_length",
        "number of events of the same type in a row, up to now",
        "count",
        "SEQUENCE",
        newest("run_length"),
        empty=0.0,
        of=own,
        says="{value} of the same in a row",
    )
    rates = [_rate(name, slug, journey) for name, slug in type_slugs(journey).items() if name not in journey.business]
    if len(journey.customer_types) == 1:
        return (*(step for step in found if step.unit != "category"), *rates)
    return (*found, run, *rates)


def _rate(name: str, slug: str, journey: Journey) -> Feature:
    """Events so far as a rate: their number only grows with the calendar."""
    return Feature(
        f"{slug}_per_28d",
        f"{plain(name)} events per 28 days since the first known event (at least 28 days)",
        "number",
        "FRICTION" if name in journey.friction else "ACTIVITY",
        count(is_type(name)) * 28.0 / at_least(since_first(), 28.0),
        says=f"{plain(name)}: {{value}} in 28 days over the whole history",
    )


def _words(back: int) -> str:
    return "the newest event" if back == 0 else f"the event {back} before the newest"


def _step(back: int, own: Table, journey: Journey) -> Feature:
    return Feature(
        f"step_{back + 1}_back",
        f"type of {_words(back)} of the customer",
        "category",
        "SEQUENCE",
        newest(EVENT, back=back),
        of=own,
        says=f"{_words(back)}: {{value}}",
        categories=tuple(journey.customer_types),
    )


def _gap(back: int, own: Table) -> Feature:
    return Feature(
        f"step_{back + 1}_gap_days",
        f"days between {_words(back)} and the one before it",
        "days",
        "SEQUENCE",
        combine(days, newest("gap", back=back)),
        of=own,
        says=f"{{value}} before {_words(back)}",
        usual="active_gap_days_median",
    )
