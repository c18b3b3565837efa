"""A simulated year by lists that no model made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.journey import Journey
from features.log import EventLog, read
from features.schema import CUSTOMER
from features.simulator.gain import net_gains
from features.simulator.live import World
from serving.live_definition import HISTORY, MONTH, SEED, SHARE, cost, written
from serving.rule_list import By, askable, rule_list


@dataclass(frozen=True, slots=True)
class ListMonth:
    """What the contacts of a month meant."""

    contacted: int
    accepted: int
    cost: float


def by_rule(
    world: World, folder: Path, capacity: int, months: int, *, by: By = "worth", holdout: float = SHARE
) -> Iterator[ListMonth]:
    """The same year by a list of the best simple rules month by month; the hold-out is that of the models' lists."""

    def chosen(journey: Journey, log: EventLog, _: int) -> list[str]:
        return rule_list(journey, log, capacity, by, holdout, SEED)

    return _year(world, folder / "by_rule", months, chosen)


def by_oracle(world: World, folder: Path, capacity: int, months: int, *, holdout: float = SHARE) -> Iterator[ListMonth]:
    """The same year by a list of those whom a contact truly gains most of until the year is over."""

    def chosen(journey: Journey, log: EventLog, left: int) -> list[str]:
        asked = askable(journey, log, holdout, SEED)[CUSTOMER]
        gains = net_gains(world, left * MONTH, journey.campaign)[world.names.is_in(asked.implode()).to_numpy()]
        return asked.gather(np.argsort(-gains, kind="stable")[:capacity]).to_list()

    return _year(world, folder / "by_oracle", months, chosen)


def _year(
    world: World, folder: Path, months: int, chosen: Callable[[Journey, EventLog, int], list[str]]
) -> Iterator[ListMonth]:
    """A year by lists without models; `chosen` names whom to contact with so many months left."""
    world.advance(HISTORY - world.day)
    for month in range(months):
        journey, log = read(*written(world, folder / "simulated.yml", (), contacts=True), threads=1)
        named = chosen(journey, log, months - month)
        taken = int(world.contact(named).sum())
        world.advance(MONTH)
        yield ListMonth(len(named), taken, cost(journey, len(named), taken))
