"""Sequence: the last steps, the gaps before them, and how long the present run is."""

from __future__ import annotations

from features.aggregates import combine, newest
from features.families.tables import activity
from features.feature import Feature, Table
from features.instants import days
from features.journey import Journey
from features.schema import EVENT

LAST = 3  # steps looked back


def features(journey: Journey) -> tuple[Feature, ...]:
    """The types of the last events the customer caused, newest first, and the gaps before them."""
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
    return (*found, run) if len(journey.customer_types) > 1 else tuple(f for f in found if f.unit != "category")


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
