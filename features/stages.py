"""The stage of a customer as a step function of time, computed from the journey's rules.

A rule looks at the events in `[instant - within, instant)`, so its answer changes at two kinds of
instants only: just after an event, and when an event leaves the window. Both become rows with a
step of +1 or -1 per condition; their running sums are the windowed counts at every instant at
which anything can change. The stage at an instant t is that of the last row before t, so the
instant of change `since` is the first instant *after* which the new stage holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_

import narwhals as nw

from features.feature import Table
from features.instants import KEYS, Frame, microseconds
from features.journey import Journey, Rule
from features.schema import CUTOFF, EVENT, POSITION, TIME

Condition = tuple[frozenset[str], int | None]  # event types, window in microseconds (None: ever)


def _conditions(rules: Sequence[Rule]) -> list[Condition]:
    """The distinct (types, window) pairs whose counts decide the rules."""
    found: dict[Condition, None] = {}
    for rule in rules:
        if rule.all_of is not None:
            found |= dict.fromkeys(_conditions(rule.all_of))
        elif types := rule.any_of or rule.none_of:
            found[_condition(rule, types)] = None
    return list(found)


def _condition(rule: Rule, types: list[str]) -> Condition:
    return frozenset(types), microseconds(rule.within) if rule.within else None


def _holds(rule: Rule, columns: dict[Condition, str]) -> nw.Expr:
    """Whether the rule holds, from the count columns of its conditions."""
    if rule.all_of is not None:
        return reduce(and_, (_holds(inner, columns) for inner in rule.all_of))
    if rule.any_of is not None:
        return nw.col(columns[_condition(rule, rule.any_of)]) >= rule.at_least
    if rule.none_of is not None:
        return nw.col(columns[_condition(rule, rule.none_of)]) < rule.at_least
    return nw.lit(True)


def _steps(past: Frame, columns: dict[Condition, str]) -> Frame:
    """One row per (customer, cutoff, instant) at which a count changes, with its steps."""
    keys = [*KEYS, TIME]
    zero = {name: nw.lit(0) for name in columns.values()}
    start = past.group_by(*KEYS).agg(nw.col(TIME).min())
    parts = [start.select(*keys, **zero)]
    for (types, window), name in columns.items():
        rows = past.filter(nw.col(EVENT).is_in(sorted(types)))
        parts.append(rows.select(*keys, **{**zero, name: nw.lit(1)}))
        if window is not None:
            left = rows.with_columns((nw.col(TIME) + window).alias(TIME)).filter(nw.col(TIME) < nw.col(CUTOFF))
            parts.append(left.select(*keys, **{**zero, name: nw.lit(-1)}))
    return nw.concat(parts).group_by(*keys).agg(*(nw.col(name).sum() for name in columns.values()))


def _by_rules(past: Frame, rules: Sequence[Rule]) -> Frame:
    """Rows (customer, cutoff, time, stage index) at every instant at which the stage may change."""
    columns = {condition: f"count_{i}" for i, condition in enumerate(_conditions(rules))}
    steps = _steps(past, columns)
    counts = steps.with_columns(nw.col(name).cum_sum().over(*KEYS, order_by=TIME) for name in columns.values())
    stage: nw.Expr = nw.lit(0)
    for index, rule in enumerate(rules):
        stage = nw.when(_holds(rule, columns)).then(nw.lit(index)).otherwise(stage)
    return counts.select(*KEYS, TIME, stage=stage)


def _by_event(past: Frame, names: Sequence[str]) -> Frame:
    """The stage is the type of the last event; of several at one instant, the one that came last."""
    known = past.filter(nw.col(EVENT).is_in(list(names)))
    last = known.with_columns(last=nw.col(POSITION).max().over(*KEYS, TIME)).filter(nw.col(POSITION) == nw.col("last"))
    stage: nw.Expr = nw.lit(0)
    for index, name in enumerate(names):
        stage = nw.when(nw.col(EVENT) == name).then(nw.lit(index)).otherwise(stage)
    return last.select(*KEYS, TIME, stage=stage)


def stage_changes(journey: Journey) -> Table:
    """The table of a customer's stage changes.

    Columns: `time` (after which the stage holds), `stage` and `previous` (indices into
    `journey.stage_names`; `previous` is null at the first), `latest` (true on the present stage), `age`.
    """
    rules = None if journey.stages == "by_event" else list(journey.stages.values())

    def derive(past: Frame) -> Frame:
        rows = _by_event(past, journey.stage_names) if rules is None else _by_rules(past, rules)
        rows = rows.with_columns(previous=nw.col("stage").shift(1).over(*KEYS, order_by=TIME))
        rows = rows.filter(nw.col("previous").is_null() | (nw.col("stage") != nw.col("previous")))
        following = nw.col(TIME).shift(-1).over(*KEYS, order_by=TIME)
        return rows.with_columns(latest=following.is_null(), age=nw.col(CUTOFF) - nw.col(TIME))

    return Table("stages", derive)
