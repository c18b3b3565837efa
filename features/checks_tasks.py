"""Checks of the tasks: is there enough history, and are there enough of each outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from features.cutoffs import usable
from features.engine import build
from features.families.stage import present
from features.findings import Finding, listed, share
from features.instants import microseconds
from features.journey import Cltv, Journey, Rule, duration_text
from features.labels import LABEL, Task, eligible, label, population, tasks
from features.schema import DAY, EVENT, TIME, VALUE, to_text

if TYPE_CHECKING:
    from features.log import EventLog

ENOUGH = 100  # of each outcome
BLOCKS = 4  # trees, early stopping, calibration, test


def outcomes(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Every task: history and cutoffs, then its outcomes at the newest cutoff whose horizon is over."""
    first = log.events[TIME].min()
    assert isinstance(first, int)  # noqa: S101 - the log has rows
    for name, task in tasks(journey).items():
        place = f"tasks.{name}"
        cutoffs = usable(journey, task, first)
        yield from _history(journey, first, task.within, cutoffs, place)
        if cutoffs:
            told = {"churn": _churn, "next_stage": _stages, "cltv": _values}[name]
            yield from told(journey, log.events, cutoffs[-1], place)


def _history(journey: Journey, first: int, horizon: timedelta, cutoffs: list[int], place: str) -> Iterator[Finding]:
    length = microseconds(horizon)
    span = journey.observed_until_microseconds - first
    shown = duration_text(horizon)
    if span < 2 * length:
        yield Finding(
            "error",
            place,
            f"the log spans {span / DAY:.0f} days, the horizon is {shown}",
            "a history of at least twice the horizon",
            "give a shorter horizon or a longer log",
        )
    if not cutoffs:
        yield Finding(
            "error",
            place,
            f"no cutoff has {duration_text(journey.cutoffs.history)} of log before it and {shown} after it",
            "at least one cutoff whose horizon is over",
            "shorten cutoffs: history or the horizon, or read a longer log",
        )
        return
    blocks = 1 + (cutoffs[-1] - cutoffs[0]) // length
    every = duration_text(journey.cutoffs.every)
    found = f"{len(cutoffs)} cutoffs, one every {every}, {to_text(cutoffs[0])} to {to_text(cutoffs[-1])}"
    yield Finding("fact", place, found)
    if blocks < BLOCKS:
        yield Finding(
            "warning" if blocks > 1 else "error",
            place,
            f"the cutoffs leave room for {blocks} time blocks that lie a horizon of {shown} apart",
            f"{BLOCKS}: trees, early stopping, calibration, test; at least 2",
            "read a longer log, or shorten the horizon or cutoffs: history",
        )


def _asked(task: Task, journey: Journey, events: pl.DataFrame, cutoff: int) -> pl.Series:
    """The labels of those the task asks about at a cutoff: the ones that training sees."""
    rows = population(events, [cutoff])
    who = eligible(task, events, rows).filter(pl.col("eligible"))
    return label(task, journey, events, who)[LABEL]


def _churn(journey: Journey, events: pl.DataFrame, cutoff: int, place: str) -> Iterator[Finding]:
    task = journey.tasks.churn
    assert task is not None  # noqa: S101
    labels = _asked(task, journey, events, cutoff)
    churned = int(labels.sum())
    stayed = labels.len() - churned
    said = f"at {to_text(cutoff)} {labels.len():,} customers are eligible, {churned:,} of them "
    yield Finding("fact", place, f"{said}({share(churned, labels.len())}) churn")
    if min(churned, stayed) < ENOUGH:
        one_class = "; there is one class only" if min(churned, stayed) == 0 else ""
        yield Finding(
            "warning" if min(churned, stayed) else "error",
            place,
            f"{churned:,} customers churn and {stayed:,} stay at a typical cutoff{one_class}",
            f"at least {ENOUGH} of each",
            "change within or eligible, or gather more customers",
        )


def _stages(journey: Journey, events: pl.DataFrame, cutoff: int, place: str) -> Iterator[Finding]:
    rows = population(events, [cutoff])
    stage = build(events, rows, present(journey)[:1])["stage"]
    counts = dict(stage.drop_nulls().value_counts().rows())
    shares = [f"{name} {share(counts.get(name, 0), stage.len())}" for name in journey.stage_names]
    yield Finding("fact", place, f"at {to_text(cutoff)}: {listed(shares, 20)}")
    empty = [name for name in journey.stage_names if name not in counts]
    if empty:
        yield Finding(
            "recommendation",
            "stages",
            f"nobody is in {listed(empty)} at {to_text(cutoff)}",
            "customers in every stage",
            "leave it if it is rare by nature; else loosen its rule, or put it after a stage that hides it",
        )
    rules = journey.stages if isinstance(journey.stages, dict) else {}
    if rules and next(iter(rules.values())) != Rule():
        yield Finding(
            "recommendation",
            "stages",
            f"a customer for whom no rule holds counts as {next(iter(rules))}",
            "a first stage that holds for everyone",
            "begin with a stage whose rule is {}",
        )


def _values(journey: Journey, events: pl.DataFrame, cutoff: int, place: str) -> Iterator[Finding]:
    task = journey.tasks.cltv
    assert task is not None  # noqa: S101
    if _lacks_values(task, events):
        yield Finding(
            "error",
            place,
            f"no event of type {task.event!r} has a value",
            "a value to sum",
            "map value under events: columns, or use count in place of sum",
        )
        return
    labels = _asked(task, journey, events, cutoff)
    positive = int((labels > 0).sum())
    unit = journey.currency if task.sum else "events"
    said = f"at {to_text(cutoff)} {positive:,} of {labels.len():,} customers bring something"
    yield Finding("fact", place, f"{said}, on average {labels.sum() / max(1, labels.len()):,.2f} {unit} each")
    if positive < ENOUGH:
        yield Finding(
            "warning" if positive else "error",
            place,
            f"{positive:,} customers have a value above 0 at a typical cutoff",
            f"at least {ENOUGH}",
            "give a longer horizon, or gather more customers",
        )


def _lacks_values(task: Cltv, events: pl.DataFrame) -> bool:
    values = events.filter(pl.col(EVENT) == task.event)[VALUE]
    return bool(task.sum) and values.null_count() == values.len()
