"""Checks of the tasks: is there enough history, and are there enough of each outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from features.findings import Finding, listed, share
from features.journey import Journey, Rule, duration_text
from features.schema import CUSTOMER, DAY, EVENT, KNOWN_AT, TIME, VALUE, to_text

if TYPE_CHECKING:
    from features.log import EventLog

ENOUGH = 100  # of each outcome
BLOCKS = 4  # trees, early stopping, calibration, test


def tasks(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Every task: history and cutoffs, then its outcomes at the newest cutoff whose horizon is over."""
    for name in ("churn", "next_stage", "cltv"):
        task = getattr(journey.tasks, name)
        if task is None:
            continue
        place = f"tasks.{name}"
        cutoffs = mature_cutoffs(journey, log.events, task.within)
        yield from _history(journey, log.events, task.within, cutoffs, place)
        if cutoffs:
            outcomes = {"churn": _churn, "next_stage": _stages, "cltv": _values}[name]
            yield from outcomes(journey, log.events, cutoffs[-1], place)


def mature_cutoffs(journey: Journey, events: pl.DataFrame, horizon: timedelta) -> list[int]:
    """Cutoffs from the first with enough history to the newest whose horizon is over, ascending."""
    every, end = _microseconds(journey.cutoffs.every), journey.observed_until_microseconds
    first = events[TIME].min()
    assert isinstance(first, int)  # noqa: S101 - the log has rows
    first += _microseconds(journey.cutoffs.history)
    newest = end - -(-_microseconds(horizon) // every) * every
    return list(range(newest, first - 1, -every))[::-1]


def holding(rule: Rule, events: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    """Customers with a known past at `cutoff` for whom the rule holds; one column, `customer_id`."""
    past = events.lazy().filter(pl.col(TIME) < cutoff, pl.col(KNOWN_AT) < cutoff)
    everyone = past.select(CUSTOMER).unique().collect()
    for inner in rule.all_of or []:
        everyone = everyone.join(holding(inner, events, cutoff), on=CUSTOMER, how="semi")
    named = rule.any_of or rule.none_of
    if named is None:
        return everyone
    start = cutoff - _microseconds(rule.within) if rule.within else None
    seen = past.filter(pl.col(EVENT).is_in(named), True if start is None else pl.col(TIME) >= start)
    many = seen.group_by(CUSTOMER).len().filter(pl.col("len") >= rule.at_least).select(CUSTOMER).collect()
    return everyone.join(many, on=CUSTOMER, how="semi" if rule.any_of else "anti")


def _history(
    journey: Journey, events: pl.DataFrame, horizon: timedelta, cutoffs: list[int], place: str
) -> Iterator[Finding]:
    length, first = _microseconds(horizon), events[TIME].min()
    assert isinstance(first, int)  # noqa: S101 - the log has rows
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


def _churn(journey: Journey, events: pl.DataFrame, cutoff: int, place: str) -> Iterator[Finding]:
    task = journey.tasks.churn
    assert task is not None  # noqa: S101
    eligible = holding(task.eligibility, events, cutoff)
    seen = _future(events, cutoff, task.within).filter(pl.col(EVENT) == task.event)
    doing = eligible.join(seen, on=CUSTOMER, how="semi").height
    churned = eligible.height - doing if task.no else doing
    stayed = eligible.height - churned
    said = f"at {to_text(cutoff)} {eligible.height:,} customers are eligible, {churned:,} of them "
    yield Finding("fact", place, f"{said}({share(churned, eligible.height)}) churn")
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
    if not isinstance(journey.stages, dict):
        return
    stage = holding(Rule(), events, cutoff).with_columns(stage=pl.lit(None, pl.String))
    for name, rule in journey.stages.items():
        held = holding(rule, events, cutoff).with_columns(held=pl.lit(name))
        stage = stage.join(held, on=CUSTOMER, how="left").select(CUSTOMER, stage=pl.coalesce("held", "stage"))
    counts = dict(stage["stage"].drop_nulls().value_counts().rows())
    shares = [f"{name} {share(counts.get(name, 0), stage.height)}" for name in journey.stages]
    yield Finding("fact", place, f"at {to_text(cutoff)}: {listed(shares, 20)}")
    empty = [name for name in journey.stages if name not in counts]
    if empty:
        yield Finding(
            "warning",
            "stages",
            f"nobody is in {listed(empty)} at {to_text(cutoff)}",
            "customers in every stage",
            "loosen the rule, or put the stage after one that hides it: the last rule that holds decides",
        )
    without = stage["stage"].null_count()
    if without:
        yield Finding(
            "warning",
            "stages",
            f"{without:,} of {stage.height:,} customers are in no stage at {to_text(cutoff)}",
            "a stage for everyone",
            "begin with a stage whose rule is {}",
        )


def _values(journey: Journey, events: pl.DataFrame, cutoff: int, place: str) -> Iterator[Finding]:
    task = journey.tasks.cltv
    assert task is not None  # noqa: S101
    named = events.filter(pl.col(EVENT) == task.event)
    if task.sum and named[VALUE].null_count() == named.height:
        yield Finding(
            "error",
            place,
            f"no event of type {task.event!r} has a value",
            "a value to sum",
            "map value under events: columns, or use count in place of sum",
        )
        return
    eligible = holding(task.eligibility, events, cutoff)
    future = _future(events, cutoff, task.within).filter(pl.col(EVENT) == task.event)
    amount = pl.col(VALUE).sum() if task.sum else pl.len()
    earned = eligible.join(future.group_by(CUSTOMER).agg(amount=amount), on=CUSTOMER, how="left").fill_null(0)
    positive = earned.filter(pl.col("amount") > 0).height
    unit = journey.currency if task.sum else "events"
    said = f"at {to_text(cutoff)} {positive:,} of {eligible.height:,} customers bring something"
    yield Finding("fact", place, f"{said}, on average {_mean(earned):,.2f} {unit} over the horizon")
    if positive < ENOUGH:
        yield Finding(
            "warning" if positive else "error",
            place,
            f"{positive:,} customers have a value above 0 at a typical cutoff",
            f"at least {ENOUGH}",
            "give a longer horizon, or gather more customers",
        )


def _mean(earned: pl.DataFrame) -> float:
    return float(earned["amount"].sum()) / max(1, earned.height)


def _future(events: pl.DataFrame, cutoff: int, horizon: timedelta) -> pl.DataFrame:
    return events.filter(pl.col(TIME) >= cutoff, pl.col(TIME) < cutoff + _microseconds(horizon))


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
