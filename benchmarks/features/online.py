"""One customer online: the vector of so many events, from a canonical log and from raw records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl

from benchmarks.lines import Line, Lines
from features.feature import Feature
from features.journey import Journey
from features.plan import Plan
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, POSITION, TIME

EVENTS = (20, 200, 1000)
CUSTOMERS = 20  # among which the requests go round
WARM = 5


def online(journey: Journey, events: pl.DataFrame, features: tuple[Feature, ...], requests: int, lines: Lines) -> None:
    """p50 and p99 of requests for customers with 20, 200 and 1,000 events."""
    plan = Plan(journey, features)
    for number in EVENTS:
        logs = list(histories(events, number))
        cutoffs = [_cutoff(log) for log in logs]
        records = [_records(log) for log in logs]

        def canonical(turn: int, logs=logs, cutoffs=cutoffs) -> None:  # type: ignore[no-untyped-def]
            plan.run(logs[turn], cutoffs[turn])

        def raw(turn: int, records=records, cutoffs=cutoffs) -> None:  # type: ignore[no-untyped-def]
            plan.run(from_records(records[turn], journey)[0], cutoffs[turn])

        for run, name in ((canonical, ", from a canonical log"), (raw, ", from raw events")):
            took = timed(run, requests)
            what = f"one customer online, {number:,} events{name}"
            detail = {"requests": requests, "features": len(features)}
            target = "<= 10" if number == 200 and run is raw else None
            lines.add(Line(f"{what}: p50", float(np.percentile(took, 50)), "ms", target, detail))
            lines.add(Line(f"{what}: p99", float(np.percentile(took, 99)), "ms", None, {}))


def timed(run: Callable[[int], None], requests: int) -> list[float]:
    """Milliseconds of each request, one after another."""
    for turn in range(WARM):
        run(turn % CUSTOMERS)
    took = []
    for turn in range(requests):
        start = time.perf_counter()
        run(turn % CUSTOMERS)
        took.append((time.perf_counter() - start) * 1000)
    return took


def histories(events: pl.DataFrame, number: int) -> Iterator[pl.DataFrame]:
    """Customers with that many events: real histories, the shorter ones put one after another."""
    found = events.partition_by(CUSTOMER, maintain_order=True)
    place = 0
    for _ in range(CUSTOMERS):
        parts: list[pl.DataFrame] = []
        while sum(map(len, parts)) < number:
            parts.append(found[place % len(found)])
            place += 1
        yield _joined(parts).head(number)


def _joined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Several histories as one customer's, in the order of time."""
    rows = pl.concat(parts).sort(TIME, POSITION)
    position = pl.int_range(pl.len(), dtype=pl.Int64).alias(POSITION)
    return rows.with_columns(pl.lit(parts[0][CUSTOMER][0]).alias(CUSTOMER), position)


def _cutoff(log: pl.DataFrame) -> pl.DataFrame:
    end = int(log.select(pl.max_horizontal(TIME, KNOWN_AT).max()).item()) + 1
    return pl.DataFrame({CUSTOMER: log[CUSTOMER][:1], CUTOFF: pl.Series([end], dtype=pl.Int64)})


def _records(log: pl.DataFrame) -> list[dict[str, Any]]:
    """The events as a client sends them: texts for times, nothing where there is nothing."""
    written = log.drop(POSITION).with_columns(pl.col(TIME, KNOWN_AT).cast(pl.Datetime("us")).dt.to_string("iso:strict"))
    return [{name: value for name, value in row.items() if value is not None} for row in written.to_dicts()]
