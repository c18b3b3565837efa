"""Labels: what a task predicts, read from the future of a cutoff, and who is asked about.

A label counts what happened, whenever the business learned of it; who is eligible depends only on
what was known before the cutoff.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from features.aggregates import combine, count, total
from features.eligibility import holds
from features.engine import build
from features.families.stage import present
from features.families.words import is_type
from features.feature import Feature
from features.instants import KEYS, Window, microseconds
from features.journey import Churn, Cltv, Journey, NextStage
from features.numbers import only_where
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, TIME, VALUE

Task = Churn | NextStage | Cltv
TASKS = ("churn", "next_stage", "cltv")
LABEL = "label"


def tasks(journey: Journey) -> dict[str, Task]:
    """The tasks the journey asks for, by name."""
    found = {name: getattr(journey.tasks, name) for name in TASKS}
    return {name: task for name, task in found.items() if task is not None}


def population(events: pl.DataFrame, cutoffs: list[int]) -> pl.DataFrame:
    """Every (customer, cutoff) with at least one event known before the cutoff, sorted by both."""
    known = pl.max_horizontal(TIME, KNOWN_AT)
    first = events.lazy().group_by(CUSTOMER).agg(known.min().alias("first"))
    grid = pl.LazyFrame({CUTOFF: pl.Series(sorted(cutoffs), dtype=pl.Int64)})
    rows = first.join(grid, how="cross").filter(pl.col("first") < pl.col(CUTOFF))
    return rows.select(KEYS).sort(KEYS).collect()


def label(task: Task, journey: Journey, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """`customer_id`, `cutoff`, `label`: 0 or 1 (churn), the stage's name, or the value (CLTV).

    The horizon `[cutoff, cutoff + length)` is the window before its end, so a label is a feature seen
    from there, by the functions that build all others. Only meaningful for cutoffs whose horizon is
    over (`features.instants.mature`).
    """
    length = microseconds(task.within)
    ahead = cutoffs.select(CUSTOMER, (pl.col(CUTOFF) + length).alias(CUTOFF))
    happened = events.with_columns(pl.col(TIME).alias(KNOWN_AT))
    found = build(happened, ahead, [_future(task, journey)])
    return found.select(CUSTOMER, (pl.col(CUTOFF) - length).alias(CUTOFF), LABEL)


def _future(task: Task, journey: Journey) -> Feature:
    """The label as a feature of the instant at which the horizon ends."""
    if isinstance(task, NextStage):
        return replace(present(journey)[0], name=LABEL)
    inside, event = Window(task.within), is_type(task.event)
    if isinstance(task, Cltv):
        value = (total(VALUE, event, inside) if task.sum else count(event, inside)) * task.margin
    else:
        happened, absent = (1.0, 0.0) if task.does else (0.0, 1.0)
        value = combine(lambda n: only_where(n > 0, happened, absent), count(event, inside))
    return Feature(LABEL, "what the task predicts", "number", "ACTIVITY", value)


def eligible(task: Task, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """`customer_id`, `cutoff`, `eligible`: whether the task's question is asked."""
    return holds(task.eligibility, events, cutoffs, "eligible")
