"""The simple rules each task's model is measured against, and the columns they need."""

from __future__ import annotations

import narwhals as nw
import polars as pl

from features.aggregates import (
    Value,
    age,
    age_of_first,
    combine,
    count,
    only_with,
    ratio,
    since,
    since_first,
    total,
)
from features.engine import build
from features.families.stage import features as stage
from features.families.tables import conversions
from features.feature import Feature
from features.instants import KEYS, Window, days
from features.journey import Churn, Cltv, Journey, duration_text
from features.labels import Task
from features.log import EventLog
from training.rules import (
    SimpleRule,
    base_rate,
    bg_nbd_gamma_gamma,
    logistic,
    markov_chain,
    mean_value,
    monthly_spend,
    no_purchase_rules,
    past_spend,
    scaled,
    stage_base_rate,
)

_DAY = 86_400.0


def rules(task: Task, journey: Journey) -> tuple[SimpleRule, ...]:
    """The rules of a task, on the columns of `columns`."""
    horizon = task.within.total_seconds() / _DAY
    if isinstance(task, Churn):
        counts = [
            logistic(f"purchase count in {duration_text(w)}", f"count_{duration_text(w)}") for w in journey.windows
        ]
        last = logistic("days since the last purchase", "since_days")
        return (base_rate(), *no_purchase_rules("since_days", horizon), last, *counts)
    if isinstance(task, Cltv):
        return _value_rules(journey, horizon)
    names = journey.stage_names
    first = markov_chain("first-order Markov chain", ["stage"], names)
    return stage_base_rate(names), first, markov_chain("second-order Markov chain", ["stage", "previous_stage"], names)


def _value_rules(journey: Journey, horizon: float) -> tuple[SimpleRule, ...]:
    past = [past_spend(f"sum_{duration_text(w)}", w.total_seconds() / _DAY, horizon) for w in journey.windows]
    drop_out = bg_nbd_gamma_gamma("repeat_days", "last_repeat_days", "age_days", "day_value", horizon)
    return (
        mean_value(),
        *past,
        *(scaled(rule) for rule in past),
        scaled(monthly_spend("sum_ever", "age_days", horizon)),
        drop_out,
        scaled(drop_out),
    )


def columns(task: Task, journey: Journey, log: EventLog, cutoffs: pl.DataFrame) -> pl.DataFrame:
    """The rows of `cutoffs` with the columns the task's rules look at, in the same order."""
    event = getattr(task, "event", "") or journey.conversion_event
    wanted = (
        _stages(journey) if not hasattr(task, "event") else _purchases(journey.model_copy(update={"conversion": event}))
    )
    built = build(log.events, cutoffs.select(KEYS), wanted)
    # In single precision, as the trees' matrix is: the last bits of a sum differ from run to run.
    single = built.with_columns(pl.col(pl.Float64).cast(pl.Float32).cast(pl.Float64))
    return cutoffs.select(KEYS).join(single, on=KEYS, how="left", maintain_order="left")


def _stages(journey: Journey) -> tuple[Feature, ...]:
    return tuple(f for f in stage(journey) if f.name in ("stage", "previous_stage"))


def _purchases(journey: Journey) -> tuple[Feature, ...]:
    """Counts, sums and the statistics of BG/NBD: purchase days after the first, their times, their value."""
    orders, day = conversions(journey), count(nw.col("new_day"))

    def column(name: str, value: Value, empty: float | None = None) -> Feature:
        return Feature(name, "a column of a simple rule", "number", "SPEND", value, empty=empty, of=orders)

    found = [
        column("since_days", since()),
        column("age_days", since_first()),
        column("last_repeat_days", combine(days, age_of_first() - age())),
        column("repeat_days", only_with(day, day - 1)),
        column("day_value", ratio(total("value"), day)),
        column("sum_ever", total("value"), 0.0),
    ]
    for window in journey.windows:
        inside, text = Window(window), duration_text(window)
        found.append(column(f"count_{text}", count(window=inside), 0.0))
        found.append(column(f"sum_{text}", total("value", window=inside), 0.0))
    return tuple(found)
