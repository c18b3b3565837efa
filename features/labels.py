"""Labels: what a task predicts, read from the future of a cutoff, and who is asked about.

A label counts what happened, whenever the business learned of it; who is eligible depends only on
what was known before the cutoff.
"""

from __future__ import annotations

import narwhals as nw
import polars as pl

from features.eligibility import holds
from features.families.stage import present
from features.feature import build
from features.instants import KEYS, future, microseconds
from features.journey import Churn, Cltv, Journey, NextStage
from features.schema import CUSTOMER, CUTOFF, EVENT, KNOWN_AT, TIME, VALUE

Task = Churn | NextStage | Cltv
TASKS = ("churn", "next_stage", "cltv")
LABEL = "label"


def tasks(journey: Journey) -> dict[str, Task]:
    """The tasks the journey asks for, by name."""
    found = {name: getattr(journey.tasks, name) for name in TASKS}
    return {name: task for name, task in found.items() if task is not None}


def population(events: pl.LazyFrame, cutoffs: list[int]) -> pl.LazyFrame:
    """Every (customer, cutoff) with at least one event known before the cutoff."""
    known = pl.max_horizontal(TIME, KNOWN_AT)
    first = events.group_by(CUSTOMER).agg(known.min().alias("first"))
    grid = pl.LazyFrame({CUTOFF: pl.Series(sorted(cutoffs), dtype=pl.Int64)})
    rows = first.join(grid, how="cross").filter(pl.col("first") < pl.col(CUTOFF))
    return rows.select(KEYS).sort(KEYS)


def label(task: Task, journey: Journey, events: pl.LazyFrame, cutoffs: pl.LazyFrame) -> pl.LazyFrame:
    """`customer_id`, `cutoff`, `label`: 0 or 1 (churn), the stage's name, or the value (CLTV).

    Only meaningful for cutoffs whose horizon is over (`features.instants.mature`).
    """
    if isinstance(task, NextStage):
        return _stage_ahead(task, journey, events, cutoffs)
    rows = future(nw.from_native(events), nw.from_native(cutoffs), task.within)
    rows = rows.filter(nw.col(EVENT) == task.event)
    if isinstance(task, Cltv):
        found = nw.col(VALUE).sum() * task.margin if task.sum else nw.col(TIME).count() * task.margin
    else:
        found = nw.col(TIME).count()
    sums = rows.group_by(*KEYS).agg(found.alias(LABEL)).to_native()
    joined = (
        cutoffs.select(KEYS).join(sums, on=KEYS, how="left").with_columns(pl.col(LABEL).fill_null(0).cast(pl.Float64))
    )
    if isinstance(task, Churn):
        happened = pl.col(LABEL) > 0
        return joined.with_columns((happened if task.does else ~happened).cast(pl.Float64).alias(LABEL))
    return joined


def _stage_ahead(task: NextStage, journey: Journey, events: pl.LazyFrame, cutoffs: pl.LazyFrame) -> pl.LazyFrame:
    """The stage at cutoff + horizon, by the function that gives the present stage."""
    length = microseconds(task.within)
    ahead = cutoffs.select(CUSTOMER, (pl.col(CUTOFF) + length).alias(CUTOFF))
    happened = events.with_columns(pl.col(TIME).alias(KNOWN_AT))
    found = build(happened, ahead, present(journey)[:1])
    return found.select(CUSTOMER, (pl.col(CUTOFF) - length).alias(CUTOFF), pl.col("stage").alias(LABEL))


def eligible(task: Task, events: pl.LazyFrame, cutoffs: pl.LazyFrame) -> pl.LazyFrame:
    """`customer_id`, `cutoff`, `eligible`: whether the task's question is asked."""
    return holds(task.eligibility, events, cutoffs, "eligible")
