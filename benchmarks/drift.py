"""Drift counted on simulated businesses: alarms without a change, and changes found with their cause.

`python -m benchmarks.drift --seeds 20`. Each seed is a business of its own, looked at without a change, then with each
change in its last step. The champion is that of another business of the kind, trained a step before the newest
cutoff: all businesses live on the same days. Each seed is a line in a file of its own as soon as it is looked at: cut
off, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

from benchmarks.lines import Line, Lines, by_seed, progress
from benchmarks.quality.options import RESULTS
from features.definition import SHIPPED
from features.definition import read as read_journey
from features.journey import Journey
from features.log import EventLog, read
from features.schema import CHANNEL, DAY, EVENT, KNOWN_AT, TIME, VALUE, to_datetime
from features.simulator import simulate
from training.drift_report import DriftReport, drift_report
from training.model import Model
from training.recipe import Recipe
from training.signals import ALL
from training.train import train

START = date(2022, 3, 1)
STEP = 28 * DAY
LOOKS = Path(".journeycast/bench/drift.seeds.jsonl")
TRAINED = 1  # the seed of the business whose champion looks at all of them
RECIPE = Recipe(learning_rate=0.25, leaves=7, rounds_at_most=40)


class Change(NamedTuple):
    """Something that happens to a business: what it makes of its log from an instant on, and what it is of."""

    of: Callable[[pl.DataFrame, int], pl.DataFrame]
    causes: tuple[str, ...]


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


def late_feed(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """Carts come in two days after they happened."""
    late = (pl.col(EVENT) == "cart") & (pl.col(TIME) >= begins)
    return events.with_columns(pl.when(late).then(pl.col(TIME) + 2 * DAY).otherwise(KNOWN_AT).alias(KNOWN_AT))


def half_lost(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """Every other purchase does not come in."""
    return events.filter((pl.col(EVENT) != "purchase") | (pl.col(TIME) < begins) | (pl.col(TIME) // 1000 % 2 == 0))


def silence(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """Nothing at all comes in for the second half of the step."""
    return events.filter(pl.col(TIME) < begins + STEP // 2)


def no_value(events: pl.DataFrame, begins: int) -> pl.DataFrame:
    """Purchases come in without what was paid."""
    untold = (pl.col(EVENT) == "purchase") & (pl.col(TIME) >= begins)
    return events.with_columns(pl.when(untold).then(None).otherwise(VALUE).alias(VALUE))


CHANGES = {
    "purchases a quarter dearer": Change(price, ("purchase",)),
    "a third of the web's traffic by the app": Change(traffic, ("app", "web")),
    "no tickets come in": Change(broken_feed, ("ticket",)),
    "carts come in two days late": Change(late_feed, ("cart",)),
    "every other purchase is lost": Change(half_lost, ("purchase",)),
    "nothing comes in for two weeks": Change(silence, (ALL,)),
    "purchases come in without a value": Change(no_value, ("purchase",)),
}


def business(seed: int, customers: int, days: int) -> tuple[Journey, EventLog]:
    """A simulated business as the shipped definition reads it."""
    simulation = simulate(customers, days, seed, START)
    definition, base = read_journey(SHIPPED / "simulated.yml")
    until = datetime.combine(START + timedelta(days=days), time(), UTC)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "events.parquet"
        simulation.events.write_parquet(file)
        source = definition.events[0].model_copy(update={"file": str(file)})
        told = definition.model_copy(update={"events": [source], "observed_until": until})
        return read(told, base, 1)


def champions(journey: Journey, log: EventLog) -> dict[str, Model]:
    """The churn model of a step ago."""
    at = journey.observed_until_microseconds - STEP
    then = journey.model_copy(update={"observed_until": to_datetime(at)})
    seen = log.events.filter((pl.col(TIME) < at) & (pl.col(KNOWN_AT) < at))
    trained = train(then, EventLog(seen, log.profile), ["churn"], RECIPE, 1, lambda _: None)
    return {one.task: one.model for one in trained}


def named(report: DriftReport, causes: tuple[str, ...]) -> bool:
    """Whether the cause is among the first three."""
    return report.alarm and any(name == cause.of for cause in report.causes[:3] for name in causes)


Said = tuple[bool, str]


def look(seed: int, customers: int, days: int, models: dict[str, Model]) -> dict[str, Said]:
    """One business: whether there is an alarm without a change, whether each change is found; and what was said."""
    journey, log = business(seed, customers, days)
    plain = drift_report(journey, log, models)
    told = {"": (plain.alarm, plain.words)}
    for name, change in CHANGES.items():
        changed = EventLog(change.of(log.events, journey.observed_until_microseconds - STEP), log.profile)
        # Without the champion: signals come before what vectors tell, so they alone decide on the first three.
        report = drift_report(journey, changed, {})
        told[name] = (named(report, change.causes), report.words)
    return told


def run(file: Path, seeds: range, sizes: dict[str, int]) -> dict[int, dict[str, Said]]:
    """What was said of every seed; those of the same sizes that the file has are not looked at again."""
    models: dict[str, Model] = {}

    def made(seed: int) -> dict[str, Any]:
        if not models:
            models.update(champions(*business(TRAINED, **sizes)))
        said = look(seed, **sizes, models=models)
        progress(f"seed {seed}: {[found for found, _ in said.values()]}")
        return {"said": said}

    return {line["seed"]: line["said"] for line in by_seed(file, seeds, sizes, made)}


def lines_of(looks: dict[int, dict[str, Said]], sizes: dict[str, int]) -> list[Line]:
    """What all seeds say together."""
    alarms = {seed: told[""][1] for seed, told in looks.items() if told[""][0]}
    detail = {"seeds": len(looks), **sizes, **_if_any("said", alarms)}
    found = [Line("drift without a change: alarms", 100 * len(alarms) / len(looks), "%", "<= 5", detail)]
    for name in CHANGES:
        missed = {seed: told[name][1] for seed, told in looks.items() if not told[name][0]}
        detail = {"seeds": len(looks), **_if_any("missed", missed)}
        share = 100 * (1 - len(missed) / len(looks))
        found.append(Line(f"drift: {name}, cause among the first three", share, "%", ">= 95", detail))
    return found


def _if_any(name: str, seeds: dict[int, str]) -> dict[str, list[str]]:
    return {name: [f"seed {seed}: {words}" for seed, words in seeds.items()]} if seeds else {}


def main() -> None:
    """Look at every seed and write what all of them say."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seeds", 100), ("first", 200), ("customers", 1000), ("days", 540)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--looked", type=Path, default=LOOKS, help="the file with a line per seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "drift.jsonl", help="the file of JSON lines")
    asked = parser.parse_args()
    sizes = {"customers": asked.customers, "days": asked.days}
    looks = run(asked.looked, range(asked.first, asked.first + asked.seeds), sizes)
    lines = Lines(asked.out)
    for line in lines_of(looks, sizes):
        lines.add(line)


if __name__ == "__main__":
    main()
