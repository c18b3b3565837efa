"""A small shop for surface tests: its log, its definition and models really trained on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from features.definition import read as read_journey
from features.journey import Journey
from features.log import EventLog, read
from serving.scorer import Scorer, Served
from training.recipe import Recipe
from training.train import train

DEFINITION = """
journey: shop
currency: EUR
events:
  - file: events.csv
friction: [ticket]
properties: {rating: number}
stages:
  prospect: {}
  active: {any_of: [purchase], within: 56d}
  lapsed: {all_of: [{any_of: [purchase]}, {none_of: [purchase], within: 56d}]}
tasks:
  churn: {no: purchase, within: 28d}
  next_stage: {in: 28d}
  cltv: {sum: purchase, within: 56d}
windows: [28d, 84d]
"""


def write_log(path: Path, customers: int = 300, seed: int = 1) -> None:
    """Customers that buy at paces of their own until they leave, and complain before they do."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(customers):
        day, gap, leaves = rng.uniform(0, 120), rng.uniform(4, 25), rng.exponential(220)
        while day < min(365.0, leaves):
            rows.append((f"c{number:03}", day, "purchase", round(float(rng.gamma(3, 12)), 2), "store", None))
            if rng.random() < (0.4 if leaves - day < 40 else 0.05):
                rows.append((f"c{number:03}", day + 0.5, "ticket", None, "phone", float(rng.integers(1, 6))))
            day += rng.exponential(gap)
    names = ("customer_id", "day", "event", "value", "channel", "rating")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    start = pl.datetime(2024, 1, 1, time_unit="us")
    timed = frame.select("customer_id", (start + pl.duration(seconds=pl.col("day") * 86_400)).alias("time"), *names[2:])
    timed.sort("time").write_csv(path)


def read_shop(folder: Path) -> tuple[Journey, EventLog]:
    """The shop's resolved journey and log, written to `folder`."""
    write_log(folder / "events.csv")
    (folder / "shop.yml").write_text(DEFINITION)
    return read(*read_journey(folder / "shop.yml"), threads=1)


def train_scorer(journey: Journey, log: EventLog) -> Scorer:
    """A scorer of champions trained on the shop's log."""
    recipe = Recipe(rounds_at_most=15, rows_per_leaf=20, leaves=7)
    trained = train(journey, log, ["churn", "next_stage", "cltv"], recipe, 1, lambda _: None)
    return Scorer({found.task: Served(found.model, 1) for found in trained})
