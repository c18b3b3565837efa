"""A year of lists, seed by seed: by the models with retraining, by the best simple rules, and without any.

`python -m benchmarks.loop --seeds 10`. The worlds of a seed have the same customers with the same luck, so that
they differ by the contacts alone. Money is what customers are expected to spend in the year, less what contacts cost.
Each seed is a line in a file of its own as soon as it is done: cut off, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.lines import Line, Lines, by_seed, progress
from benchmarks.quality.options import RESULTS
from features.simulator.live import World
from serving.live import Business, Month, place_at
from serving.live_definition import HISTORY, MONTH
from serving.live_lists import ListMonth, by_oracle, by_rule
from serving.rule_list import By
from training.recipe import Recipe

RECIPE = Recipe(learning_rate=0.15, leaves=7, rounds_at_most=80, patience=10)
HOLDOUT = 0.2  # of every list, the models' and the rules', and the same customers
RULES: dict[str, By] = {"rule": "worth", "rule_everyone": "loss", "rule_value": "value"}
WORDS = {
    "model": "the list of the models",
    "rule": "the same list by the best simple rules",
    "rule_everyone": "churn probability times value of everyone, by the best simple rules",
    "rule_value": "the customers of the largest value, by the best simple rule",
    "oracle": "a list that knows whom a contact gains most of",
}
TASKS = [("  next_stage: {in: 28d}\n", "")]  # a list asks for churn and value: the third task would only take time
SEEDS = Path(".journeycast/bench/loop.seeds.jsonl")


def year(seed: int, customers: int, months: int, capacity: int, folder: Path) -> dict[str, Any]:
    """One seed: what was kept by each list, in the journey's currency."""
    days = HISTORY + months * MONTH
    worlds = {name: World(customers, days, seed) for name in ("none", *RULES, "oracle", "model")}
    worlds["none"].advance(days)
    lived: dict[str, Sequence[ListMonth | Month]] = {
        name: list(by_rule(worlds[name], folder, capacity, months, by=by, holdout=HOLDOUT))
        for name, by in RULES.items()
    }
    lived["oracle"] = list(by_oracle(worlds["oracle"], folder, capacity, months, holdout=HOLDOUT))
    with closing(place_at(folder, 1, RECIPE, figures=False, pages=False)) as place:
        business = Business(worlds["model"], place, capacity, HOLDOUT, TASKS)
        told = list(business.live(months, lambda words: progress(f"seed {seed}, {words}")))
    lived["model"] = told
    spent = {name: float(np.sum(world.value[HISTORY:])) for name, world in worlds.items()}
    cost = {name: sum(month.cost for month in year) for name, year in lived.items()}
    more = business.against_holdouts()
    return {
        "spent_without_list": spent["none"],
        "kept": {name: spent[name] - spent["none"] - cost[name] for name in lived},
        "cost": cost,
        "kept_against_holdouts": None if more is None else more.value - cost["model"],
        "held_out": sum(month.held_out for month in told),
        "accepted": {name: sum(month.accepted for month in year) for name, year in lived.items()},
        "contacted": {name: sum(month.contacted for month in year) for name, year in lived.items()},
        "months_without_list": sum(not month.versions for month in told),
        "trained": sum(bool(month.decisions) for month in told),
        "promoted": sum(": promoted:" in words for month in told for words in month.decisions),
        "rolled_back": sum(len(month.rolled_back) for month in told),
    }


def run(file: Path, seeds: range, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Every seed's line; those of the same sizes that the file has are not done again."""

    def made(seed: int) -> dict[str, Any]:
        began = perf_counter()
        with TemporaryDirectory() as folder:
            found = year(seed, **sizes, folder=Path(folder))
        return {**found, "seconds": round(perf_counter() - began)}

    return by_seed(file, seeds, sizes, made)


def interval(values: list[float]) -> dict[str, float]:
    """Mean over seeds with its 95 % interval by Student's t; of one seed, no interval."""
    found = np.array(values)
    mean = float(found.mean())
    if len(found) < 2:
        return {"mean": mean}
    reach = float(stats.t.isf(0.025, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def lines_of(rows: list[dict[str, Any]]) -> list[Line]:
    """What the seeds say together."""
    kept = {name: [row["kept"][name] for row in rows] for name in WORDS}
    asked = {f"money kept against no list: {words}": kept[name] for name, words in WORDS.items()}
    asked |= {
        f"the models' list ahead of: {WORDS[name]}": [
            ours - theirs for ours, theirs in zip(kept["model"], kept[name], strict=True)
        ]
        for name in RULES
    }
    held = [row["kept_against_holdouts"] for row in rows if row["kept_against_holdouts"] is not None]
    if held:
        asked["money kept by the list of the models, against its hold-outs"] = held
    found = []
    for name, values in asked.items():
        told = interval(values)
        detail: dict[str, Any] = {"seeds": len(values), "each": [round(value) for value in values]}
        detail |= {"from": round(told["low"]), "to": round(told["high"])} if "low" in told else {}
        found.append(Line(f"a year in the simulator: {name}", told["mean"], "USD", None, detail))
    found[0].detail.update(_counts(rows))
    return found


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sizes, and what was done in a year in the mean."""
    told = {
        name: float(np.mean([row[name] for row in rows])) for name in ("trained", "promoted", "rolled_back", "held_out")
    }
    told["spent_without_list"] = float(np.mean([row["spent_without_list"] for row in rows]))
    for name in ("contacted", "accepted", "cost"):
        told[f"{name}_by_models"], told[f"{name}_by_rules"] = (
            float(np.mean([row[name][by] for row in rows])) for by in ("model", "rule")
        )
    return {**rows[0]["sizes"], **told}


def main() -> None:
    """Live the seeds that are still to be lived, and write what all of them say."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("seeds", 10), ("first", 1), ("customers", 800), ("months", 12), ("capacity", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lived", type=Path, default=SEEDS, help="the file with a line per seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "loop.jsonl", help="the file of JSON lines")
    asked = parser.parse_args()
    sizes = {"customers": asked.customers, "months": asked.months, "capacity": asked.capacity}
    rows = run(asked.lived, range(asked.first, asked.first + asked.seeds), sizes)
    lines = Lines(asked.out)
    for line in lines_of(rows):
        lines.add(line)


if __name__ == "__main__":
    main()
