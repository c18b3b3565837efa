"""What lists truly gain: by models and by simple rules, ranked by risk, by value and by both, beside the best list.

`python -m benchmarks.gains --first 101 --seeds 4`. Twice in each simulated year models are trained and lists are made;
the simulator says what their contacts gain until the year is over (`features/simulator/gain.py`), costs off.
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.loop import RECIPE, TASKS
from features.catalogue import catalogue
from features.engine import build
from features.instants import KEYS
from features.journey import Journey
from features.log import EventLog
from features.schema import CUSTOMER
from features.simulator.gain import net_gains
from features.simulator.live import World
from serving.live import Business, place_at
from serving.live_definition import HISTORY, MONTH
from serving.rule_list import WORTH, askable
from training.hindsight import rule_answers
from training.money import at_stake, contact_profit
from training.train import train

Array = NDArray[np.float64]
MONTHS, LOOKS = 12, (1, 6)  # months passed when a list is made


def looks(seed: int, customers: int, capacity: int) -> list[dict[str, tuple[float, float]]]:
    """Per moment and list: the true gain of its contacts, and the share of them who are still customers."""
    world, found = World(customers, HISTORY + MONTHS * MONTH, seed), []
    with TemporaryDirectory() as folder, closing(place_at(Path(folder), 1, RECIPE, figures=False)) as place:
        business = Business(world, place, capacity, changed=TASKS)
        for month in LOOKS:
            world.advance(HISTORY + month * MONTH - world.day)
            journey, log = business.read()
            asked = askable(journey, log)
            mine = world.names.is_in(asked[CUSTOMER].implode()).to_numpy()
            gains = net_gains(world, (MONTHS - month) * MONTH, journey.campaign)[mine]
            ranked = _models(journey, log, asked) | _rules(journey, log, asked) | {"true gain": gains}
            chosen = {name: np.argsort(-rank, kind="stable")[:capacity] for name, rank in ranked.items()}
            here = world.state.alive[mine]
            found.append({name: (float(gains[who].sum()), float(here[who].mean())) for name, who in chosen.items()})
    return found


def _models(journey: Journey, log: EventLog, asked: pl.DataFrame) -> dict[str, Array]:
    built = build(log.events, asked, catalogue(journey), log.profile)
    vectors = asked.join(built, on=list(KEYS), how="left", maintain_order="left")
    trained = {one.task: one.model for one in train(journey, log, ["churn", "cltv"], RECIPE, 1, lambda _: None)}
    chance, value = (trained[task].predict(vectors)[:, 0] for task in ("churn", "cltv"))
    stake = at_stake(value, chance, trained["cltv"].about["churned_value_share"])
    profit = contact_profit(chance, stake, journey.campaign)
    return {
        "models, churn probability": chance,
        "models, expected profit, of everyone": profit,
        "models, expected profit, of the most valuable third": _of_third(profit, value),
        "models, value alone": value,
    }


def _rules(journey: Journey, log: EventLog, asked: pl.DataFrame) -> dict[str, Array]:
    chance, value = (rule_answers(journey, log, task, asked) for task in ("churn", "cltv"))
    return {
        "rules, probability times value, of everyone": chance * value,
        "rules, probability times value, of the most valuable third": _of_third(chance * value, value),
        "rules, value alone": value,
    }


def _of_third(rank: Array, value: Array) -> Array:
    return np.where(value >= np.quantile(value, 1 - WORTH), rank, -np.inf)


def main() -> None:
    """Look, and print every list's mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("first", 101), ("seeds", 4), ("customers", 800), ("capacity", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    every = [look for seed in seeds for look in looks(seed, asked.customers, asked.capacity)]
    for name in every[0]:
        gain, here = np.mean([look[name] for look in every], axis=0)
        print(f"{name}: {gain:,.0f} USD; {100 * here:.0f} % are still customers")


if __name__ == "__main__":
    main()
