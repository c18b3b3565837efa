"""A simulated year, told month by month."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from commands.terminal import out, progress
from features.errors import InputError

if TYPE_CHECKING:
    from serving.live import Month


def live_year(folder: Path, customers: int, months: int, seed: int, capacity: int) -> None:
    """Run the business in a home of its own and say what its lists were worth."""
    from features.simulator.live import World
    from serving.live import HISTORY, MONTH, Business, place_at
    from training.cpus import usable_cpus
    from training.recipe import Recipe

    if (folder / "scores.db").exists():
        raise InputError("--output", f"{folder} has a simulated year already", "a new folder", "-o another")
    days = HISTORY + months * MONTH
    world, alone, cost = World(customers, days, seed), World(customers, days, seed), 0.0
    with closing(place_at(folder, usable_cpus(), Recipe())) as place, progress(None) as report:
        for month in Business(world, place, capacity).live(months, report):
            _tell(month)
            cost += month.cost
    alone.advance(days)
    more = sum(world.value[HISTORY:]) - sum(alone.value[HISTORY:])
    out.print(
        f"The same year without a list: customers spend {more:,.0f} less; the contacts cost {cost:,.0f}: "
        f"{more - cost:+,.0f} in all."
    )
    out.print(f"Look at it: JOURNEYCAST_HOME={folder} journeycast serve {folder / 'simulated.yml'}")


def _tell(month: Month) -> None:
    versions = ", ".join(f"{task} {number}" for task, number in month.versions.items())
    out.print(f"[bold]{month.day}[/bold]  versions {versions}; customers spend {month.value:,.0f}")
    out.print(f"  list: {month.contacted} contacted, {month.accepted} took the offer, cost {month.cost:,.0f}")
    if month.saved:
        out.print(f"  the list before: {month.saved['verdict']}: {month.saved['why']}")
    for words in (*month.rolled_back, *month.decisions):
        out.print(f"  {words}")
    if not month.decisions:
        out.print(f"  nothing trained: {'; '.join(month.why)}")
