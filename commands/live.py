"""A simulated year, told month by month."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from commands.terminal import out, progress
from features.errors import InputError

if TYPE_CHECKING:
    from features.simulator.live import World
    from serving.live import Business, Month

_WIDTH = 12


def live_year(folder: Path, customers: int, months: int, seed: int, capacity: int) -> None:
    """Run the business in a home of its own and say what its lists were worth."""
    from features.simulator.live import World
    from serving.live import Business, place_at
    from serving.live_definition import HISTORY, MONTH
    from training.cpus import usable_cpus
    from training.recipe import Recipe

    if folder.is_file():
        raise InputError("--output", f"{folder} is a file", "a new folder", "-o another")
    if (folder / "scores.db").exists():
        raise InputError("--output", f"{folder} has a simulated year already", "a new folder", "-o another")
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # which tells how it makes its tables
    days = HISTORY + months * MONTH
    worlds = [World(customers, days, seed) for _ in range(3)]
    out.print(
        f"{customers:,} simulated customers in {folder}: {HISTORY} days of history, then {months} months of "
        f"{MONTH} days, {capacity} contacts in each. Amounts are USD.\n",
        markup=False,
        soft_wrap=True,
    )
    with closing(place_at(folder, usable_cpus(), Recipe(), figures=False)) as place, progress(None) as report:
        business, cost = Business(worlds[0], place, capacity), 0.0
        for month in business.live(months, report):
            _tell(month)
            cost += month.cost
        _sum_up(business, cost, worlds, capacity, months, report)
    out.print(
        f"\nLook at it: JOURNEYCAST_HOME={folder} journeycast serve {business.file}", markup=False, soft_wrap=True
    )


def _tell(month: Month) -> None:
    """A month: what came of earlier ones, what changed, what was trained, what the list did."""
    out.print(f"[bold]{month.day}[/bold]")
    _rows("outcomes", (_graded(words) for words in month.rules if words.startswith("grade of ")))
    _rows("drift", (words.removeprefix("drift: ") for words in month.rules if words.startswith("drift: ")))
    _rows("rolled back", month.rolled_back)
    _rows("training", [f"due: {words}" for words in month.why] + month.decisions or ["nothing is due"])
    told = (
        f"{month.contacted:,} contacted, {month.held_out:,} held out, {month.accepted:,} took the offer; "
        f"cost {month.cost:,.0f}"
    )
    _rows("list", [told if month.versions else "none: no model has passed the gate yet"])
    if month.saved:
        _rows("campaign", [f"of {month.saved['begins'][:10]}: {month.saved['verdict']}: {month.saved['why']}"])
    _rows("spending", [f"{month.value:,.0f} in the 28 days that follow"])


def _graded(words: str) -> str:
    """What a rule says of a grade, without what it asks for."""
    return words.removeprefix("grade of ").removesuffix(" is asked for").removesuffix("; C")


def _rows(title: str, lines: Iterable[str]) -> None:
    for number, words in enumerate(lines):
        out.print(f"  {title if number == 0 else '':<{_WIDTH}}{words}", markup=False, soft_wrap=True)


def _sum_up(
    business: Business, cost: float, worlds: list[World], capacity: int, months: int, report: Callable[[str], None]
) -> None:
    """What the lists of the year were worth, beside the hold-outs, a list by simple rules, and no list."""
    from serving.live_definition import HISTORY
    from serving.live_lists import by_rule

    own, ruled, alone = worlds
    report("the same year by simple rules, and without a list")
    paid = sum(month.cost for month in by_rule(ruled, business.file.parent, capacity, months))
    alone.advance(own.day)
    spent = [sum(world.value[HISTORY:]) for world in worlds]
    out.print("\n[bold]What the lists of the year brought, less what they cost[/bold]")
    lines = {
        "by the models": f"{spent[0] - spent[2] - cost:+,.0f} (cost {cost:,.0f}) beside the same year without a list",
        "by simple rules": f"{spent[1] - spent[2] - paid:+,.0f} (cost {paid:,.0f}), the same list by rules",
    }
    more = business.against_holdouts()
    if more is not None:
        value, low, high = (f"{part - cost:+,.0f}" for part in more)
        lines["by the hold-outs"] = f"{value} (95 %: {low} to {high}), all that a business itself can see of it"
    for title, words in lines.items():
        out.print(f"  {title:<18}{words}", markup=False, soft_wrap=True)
