"""Models really trained on a small bazaar whose names are hard: other scripts, `$`, `|`, brackets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from features.definition import read as read_journey
from features.log import read
from training.recipe import Recipe
from training.train import Trained, train

DEFINITION = """
journey: bazaar
description: Simulated visits of a bazaar
currency: JPY
events:
  - file: events.csv
stages:
  prospect: {}
  "active $x^2_$ | 常連": {any_of: [購入], within: 56d}
  lapsed: {all_of: [{any_of: [購入]}, {none_of: [購入], within: 56d}]}
tasks:
  churn: {no: 購入, within: 28d}
  next_stage: {in: 28d}
  cltv: {sum: 購入, within: 56d}
windows: [28d, 84d]
"""


@cache
def trained() -> dict[str, Trained]:
    """The three tasks, trained once per session."""
    with TemporaryDirectory() as folder:
        _write_log(Path(folder) / "events.csv")
        (Path(folder) / "bazaar.yml").write_text(DEFINITION, encoding="utf-8")
        journey, log = read(*read_journey(Path(folder) / "bazaar.yml"), threads=1)
    recipe = Recipe(rounds_at_most=15, rows_per_leaf=20, leaves=7)
    return {found.task: found for found in train(journey, log, ["churn", "next_stage", "cltv"], recipe, 1, _silent)}


def _silent(_: str) -> None:
    """Training reports its steps; nobody listens here."""


def _write_log(path: Path, customers: int = 300) -> None:
    """Customers that buy at paces of their own until they leave."""
    rng, rows = np.random.default_rng(1), []
    for number in range(customers):
        day, gap, leaves = rng.uniform(0, 120), rng.uniform(4, 25), rng.exponential(220)
        while day < min(365.0, leaves):
            channel = "市場 [$2 | $3]" if rng.random() < 0.3 else "web"
            rows.append((f"c{number:03}", day, "購入", round(float(rng.gamma(3, 1200)), 2), channel))
            if rng.random() < 0.2:
                rows.append((f"c{number:03}", day + 0.5, 'said "é: 🎉"', None, "phone"))
            day += rng.exponential(gap)
    frame = pl.DataFrame(rows, schema=["customer_id", "day", "event", "value", "channel"], orient="row")
    time = pl.datetime(2024, 1, 1, time_unit="us") + pl.duration(seconds=pl.col("day") * 86_400)
    frame.select("customer_id", time.alias("time"), "event", "value", "channel").sort("time").write_csv(path)
