"""Sequence: the last steps, the gaps before them, and how long the present run is."""

from __future__ import annotations

import narwhals as nw

from features.families.tables import activity
from features.families.words import count
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
        count(nw.col("run") == nw.col("last_run")),
        empty=0.0,
        of=own,
        says="{value} of the same in a row",
    )
    return (*found, run) if len(journey.customer_types) > 1 else tuple(f for f in found if f.unit != "category")


def _when_back(back: int, value: nw.Expr) -> nw.Expr:
    return nw.when(nw.col("back") == back).then(value).max()


def _words(back: int) -> str:
    return "the newest event" if back == 0 else f"the event {back} before the newest"


def _step(back: int, own: Table, journey: Journey) -> Feature:
    return Feature(
        f"step_{back + 1}_back",
        f"type of {_words(back)} of the customer",
        "category",
        "SEQUENCE",
        _when_back(back, nw.col(EVENT)),
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
        days(_when_back(back, nw.col("gap"))),
        of=own,
        says=f"{{value}} before {_words(back)}",
        usual="active_gap_days_median",
    )
