"""A year of lists, seed by seed: by the models with retraining, by the best simple rules, and without any.

`python -m benchmarks.loop --seeds 10`. The three worlds of a seed have the same customers with the same luck, so that
they differ by the contacts alone. Money is what customers are expected to spend in the year, less what contacts cost.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from features.simulator.live import World
from serving.live import HISTORY, MONTH, Business, by_rule, place_at
from training.recipe import Recipe

RECIPE = Recipe(learning_rate=0.15, leaves=7, rounds_at_most=80, patience=10)


def year(seed: int, customers: int, months: int, capacity: int, folder: Path) -> dict[str, Any]:
    """One seed: what was kept by each list, in the journey's currency."""
    worlds = [World(customers, HISTORY + months * MONTH, seed) for _ in range(3)]
    none, rule, model = worlds
    none.advance(HISTORY + months * MONTH)
    paid = list(by_rule(rule, folder, capacity, months))
    with closing(place_at(folder, 1, RECIPE, figures=False)) as place:
        told = list(Business(model, place, capacity).live(months, lambda _: None))
    spent = [float(np.sum(world.value[HISTORY:])) for world in worlds]
    cost = {"rule": sum(cost for _, cost in paid), "model": sum(month.cost for month in told)}
    nets = [month.saved["net"]["value"] for month in told if month.saved and month.saved["net"]]
    trained = sum(bool(month.decisions) for month in told)
    return {
        "seed": seed,
        "spent_without_list": spent[0],
        "kept_by_rule": spent[1] - spent[0] - cost["rule"],
        "kept_by_model": spent[2] - spent[0] - cost["model"],
        "net_against_holdout": float(np.sum(nets)) if nets else None,
        "measured": len(nets),
        "accepted": {"rule": sum(taken for taken, _ in paid), "model": sum(month.accepted for month in told)},
        "contacted": sum(month.contacted for month in told),
        "trained": trained,
        "promoted": sum(": promoted:" in words for month in told for words in month.decisions),
        "rolled_back": sum(len(month.rolled_back) for month in told),
    }


def interval(values: list[float]) -> dict[str, float]:
    """Mean over seeds with its 95 % interval by Student's t."""
    from scipy import stats

    found = np.array(values)
    reach = float(stats.t.isf(0.025, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else 0
    return {"mean": float(found.mean()), "low": float(found.mean() - reach), "high": float(found.mean() + reach)}


def main() -> None:
    """Print one line of JSON per seed, and the means with their intervals."""
    parser = argparse.ArgumentParser()
    for name, default in (("seeds", 10), ("first", 1), ("customers", 1500), ("months", 12), ("capacity", 75)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.first, asked.first + asked.seeds):
        with TemporaryDirectory() as folder:
            rows.append(year(seed, asked.customers, asked.months, asked.capacity, Path(folder)))
        print(json.dumps(rows[-1]), flush=True)
    told = {name: interval([row[name] for row in rows]) for name in ("kept_by_rule", "kept_by_model")}
    told["model_less_rule"] = interval([row["kept_by_model"] - row["kept_by_rule"] for row in rows])
    held = [row["net_against_holdout"] for row in rows if row["net_against_holdout"] is not None]
    if held:
        told["net_against_holdout"] = interval(held)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
