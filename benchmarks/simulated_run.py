"""A whole run of simulated customers, from a log in Parquet to explained answers in the store."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import polars as pl

from benchmarks.lines import Line, Lines, progress
from features.definition import SHIPPED
from features.definition import read as read_journey
from features.labels import TASKS
from features.log import read
from features.schema import CUSTOMER, EVENT, EVENT_ID
from features.simulator import simulate
from training.cpus import usable_cpus
from training.recipe import Recipe
from training.train import train

TRAINED, TRAINED_DAYS = 2_000, 392
SCORED_DAYS, PART = 60, 50_000


def whole_run(customers: int, folder: Path, lines: Lines) -> Path:
    """From a log of simulated customers in Parquet to the store in `folder`, in a process of its own.

    Gives the journey's definition.
    """
    progress("training the simulated business's models")
    journey, log = read(*read_journey(_simulated(folder / "trained", TRAINED, TRAINED_DAYS)))
    for one in train(journey, log, list(TASKS), Recipe(), usable_cpus(), progress):
        one.model.save(folder / "models" / one.task)
    progress(f"simulating {customers:,} customers")
    definition = _simulated(folder / "scored", customers, SCORED_DAYS)
    progress("scoring")
    command = [sys.executable, "-m", "benchmarks.whole_run", str(definition), str(folder)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    name = f"{customers:,} customers scored and explained, from events to the store"
    lines.add(Line(name, found["read_s"] + found["score_s"], "s", None, found))
    lines.add(Line(f"{name}: peak memory", found["peak_gib"], "GiB", "<= 8", {}))
    lines.add(Line("bytes stored per customer and run", found["stored_bytes"] / customers, "bytes", None, {}))
    return definition


def _simulated(folder: Path, customers: int, days: int) -> Path:
    """The shipped definition over a simulated log of this size, with horizons that fit it.

    Visits are left out: a million customers have some 18 million events.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True)
    for number, first in enumerate(range(0, customers, PART)):
        events = simulate(min(PART, customers - first), days, seed=number).events.filter(pl.col(EVENT) != "visit")
        named = events.with_columns(pl.col(CUSTOMER, EVENT_ID) + f"-{number}")
        named.write_parquet(parts / f"{number:04d}.parquet")
    until = datetime.combine(date(2023, 1, 1) + timedelta(days=days), clock(), UTC)
    text = (SHIPPED / "simulated.yml").read_text(encoding="utf-8")
    for before, after in (
        ("../.journeycast/simulated.parquet", "parts/*.parquet"),
        ("2024-06-24T00:00:00Z", until.isoformat()),
        ("[visit, cart]", "[cart]"),
        ("within: 84d", "within: 56d"),
        ("history: 112d", "history: 84d"),
    ):
        text = text.replace(before, after)
    (folder / "simulated.yml").write_text(text, encoding="utf-8")
    return folder / "simulated.yml"
