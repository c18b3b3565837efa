"""Drift counted on simulated businesses: alarms without a change, and changes found with their cause.

`python -m benchmarks.drift --seeds 20` without a change, then each change in its last step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from features.definition import SHIPPED
from features.definition import read as read_journey
from features.journey import Journey
from features.log import EventLog
from features.schema import CHANNEL, DAY, EVENT, TIME, VALUE
from features.simulator import simulate
from training.drift_report import DriftReport, drift_report
from training.model import Model

START = date(2022, 3, 1)
STEP = 28 * DAY


def price(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """Every purchase a quarter dearer."""
    dearer = (pl.col(EVENT) == "purchase") & (pl.col(TIME) >= begins)
    return events.with_columns(pl.when(dearer).then(pl.col(VALUE) * 1.25).otherwise(VALUE).alias(VALUE))


def traffic(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """A third of what came by the web comes by the app."""
    moves = (pl.col(CHANNEL) == "web") & (pl.col(TIME) >= begins) & (pl.col(TIME) // 1000 % 3 == 0)
    return events.with_columns(pl.when(moves).then(pl.lit("app")).otherwise(CHANNEL).alias(CHANNEL))


def broken_feed(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """No tickets come in any more."""
    return events.filter((pl.col(EVENT) != "ticket") | (pl.col(TIME) < begins))


CHANGES: dict[str, tuple[Callable[[pl.DataFrame, int], pl.DataFrame], tuple[str, ...]]] = {
    "price": (price, ("purchase",)),
    "traffic mix": (traffic, ("app", "web")),
    "broken feed": (broken_feed, ("ticket",)),
}


def business(seed: int, customers: int, days: int) -> tuple[Journey, EventLog]:
    """A simulated business as the shipped definition reads it."""
    from features.log import read

    simulation = simulate(customers, days, seed, START)
    definition, base = read_journey(SHIPPED / "simulated.yml")
    until = datetime.combine(START + timedelta(days=days), time(), UTC)
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        file = Path(folder) / "events.parquet"
        simulation.events.write_parquet(file)
        source = definition.events[0].model_copy(update={"file": str(file)})
        told = definition.model_copy(update={"events": [source], "observed_until": until})
        return read(told, base, 1)


def found(report: DriftReport, causes: tuple[str, ...]) -> bool:
    """Whether the cause is named among the first three."""
    return report.alarm and any(name in cause.of for cause in report.causes[:3] for name in causes)


def run(seed: int, customers: int, days: int, models: dict[str, Model]) -> dict[str, object]:
    """One business: alarm without a change, and what is said of each change."""
    journey, log = business(seed, customers, days)
    told: dict[str, object] = {"seed": seed}
    plain = drift_report(journey, log, models)
    told["false_alarm"], told["words"] = plain.alarm, plain.words
    for name, (change, causes) in CHANGES.items():
        changed = EventLog(change(log.events, journey.observed_until_microseconds - STEP), log.profile)
        # Signals come before what vectors tell: where they name the cause, it is among the first three.
        report = drift_report(journey, changed, {})
        told[name] = found(report, causes)
        if not told[name]:
            told[f"{name}_words"] = report.words
    return told


def models_of(seed: int, customers: int, days: int) -> dict[str, Model]:
    """The churn model of one business: what matters to it is asked of all."""
    from training.recipe import Recipe
    from training.train import train

    journey, log = business(seed, customers, days)
    trained = train(journey, log, ["churn"], Recipe(learning_rate=0.25, leaves=7, rounds_at_most=40), 1, lambda _: None)
    return {one.task: one.model for one in trained}


def main() -> None:
    """Print one line of JSON per seed and the counts."""
    parser = argparse.ArgumentParser()
    for name, default in (("seeds", 20), ("customers", 1500), ("days", 540), ("first", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    models = models_of(1, asked.customers, asked.days)
    rows = []
    for seed in range(asked.first, asked.first + asked.seeds):
        rows.append(run(seed, asked.customers, asked.days, models))
        print(json.dumps(rows[-1]), flush=True)
    counts = {name: sum(bool(row[name]) for row in rows) for name in ("false_alarm", *CHANGES)}
    print(json.dumps({"seeds": len(rows), **counts}))


if __name__ == "__main__":
    main()
