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
from features.histories import Histories, Rows
from features.instants import microseconds
from features.journey import Journey, Rule
from features.schema import EVENT, POSITION, TIME

Condition = tuple[frozenset[str], int | None]  # event types, window in microseconds (None: ever)


def _conditions(rules: Sequence[Rule]) -> dict[Condition, int]:
    """The distinct (types, window) pairs whose counts decide the rules, each with the largest count asked for."""
    found: dict[Condition, int] = {}
    for rule in rules:
        if rule.all_of is not None:
            asked = _conditions(rule.all_of)
        elif types := rule.any_of or rule.none_of:
            asked = {_condition(rule, types): rule.at_least}
        else:
            continue
        found |= {condition: max(least, found.get(condition, 0)) for condition, least in asked.items()}
    return found


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


def _counts(events: Rows, here: Histories, columns: dict[Condition, str], most: dict[Condition, int]) -> Rows:
    """One row per history and instant at which a count changes: all counts as they are then.

    A count that only grows is followed no further than to the largest number a rule asks for.
    """
    keys = [*here.keys, TIME]
    zero = {name: nw.lit(0) for name in columns.values()}
    parts = [_first(events, here).select(*keys, **zero)]
    for condition, name in columns.items():
        types, window = condition
        rows = events.filter(nw.col(EVENT).is_in(sorted(types)))
        if window is None and most[condition] == 1:
            rows = _first(rows, here)
        elif window is None:
            counted = here.running(rows.with_columns(one=nw.lit(1)), number="one")
            rows = counted.filter(nw.col("number") <= most[condition])
        parts.append(rows.select(*keys, **{**zero, name: nw.lit(1)}))
        if window is not None:
            left = rows.with_columns((nw.col(TIME) + window).alias(TIME))
            parts.append(left.select(*keys, **{**zero, name: nw.lit(-1)}))
    return here.running_at_instants(nw.concat(parts), *columns.values())


def _first(rows: Rows, here: Histories) -> Rows:
    """The first row of each history."""
    return here.before(rows, earlier=TIME).filter(nw.col("earlier").is_null())


def _by_rules(events: Rows, here: Histories, rules: Sequence[Rule]) -> Rows:
    """Rows (history, time, stage index) at every instant at which the stage may change."""
    most = _conditions(rules)
    columns = {condition: f"count_{i}" for i, condition in enumerate(most)}
    counts = _counts(events, here, columns, most)
    stage: nw.Expr = nw.lit(0)
    for index, rule in enumerate(rules):
        stage = nw.when(_holds(rule, columns)).then(nw.lit(index)).otherwise(stage)
    return counts.select(*here.keys, TIME, stage=stage)


def _by_event(events: Rows, here: Histories, names: Sequence[str]) -> Rows:
    """The stage is the type of the last event; of several at one instant, the one that came last."""
    known = events.filter(nw.col(EVENT).is_in(list(names)))
    newest = known.group_by(*here.keys, TIME).agg(nw.col(POSITION).max())
    last = here.in_order(known.join(newest, on=[*here.keys, TIME, POSITION], how="inner"), TIME)
    stage: nw.Expr = nw.lit(0)
    for index, name in enumerate(names):
        stage = nw.when(nw.col(EVENT) == name).then(nw.lit(index)).otherwise(stage)
    return last.select(*here.keys, TIME, stage=stage)


def stage_changes(journey: Journey) -> Table:
    """The table of a customer's stage changes.

    Columns: `time` (after which the stage holds), `stage` and `previous` (indices into
    `journey.stage_names`; `previous` is null at the first). Changes by time alone stand in it at the
    instant they happen, which may lie after the newest event.
    """
    rules = None if journey.stages == "by_event" else list(journey.stages.values())

    def derive(events: Rows, here: Histories) -> Rows:
        rows = _by_event(events, here, journey.stage_names) if rules is None else _by_rules(events, here, rules)
        rows = here.before(rows, order_by=TIME, previous="stage")
        return rows.filter(nw.col("previous").is_null() | (nw.col("stage") != nw.col("previous")))

    return Table("stages", derive, order_by=TIME)
