"""Which cutoffs can be an origin of a backtest: enough history before them, and enough customers in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from features.errors import InputError
from features.journey import Journey, duration_text
from features.labels import tasks
from features.log import EventLog
from features.schema import CUSTOMER
from training.blocks import split
from training.examples import Examples, as_known_at
from training.grades import MIN_CUSTOMERS
from training.sufficiency import refuse_too_few


def fitting(cutoffs: Sequence[int], horizon: timedelta) -> list[int]:
    """The cutoffs, oldest first, before which the history suffices for the blocks that training needs."""
    found = []
    for number, cutoff in enumerate(cutoffs):
        try:
            split(cutoffs[: number + 1], horizon, held_out=1)
        except InputError:
            continue
        found.append(cutoff)
    return found


def carrying(journey: Journey, log: EventLog, data: Examples, count: int) -> list[int]:
    """Of the `fitting` cutoffs the newest `count`, oldest first, before and at which there are customers enough."""
    found: list[int] = []
    for instant in reversed(fitting(data.cutoffs, tasks(journey)[data.task].within)):
        if len(found) < count and _carries(journey, as_known_at(instant, data, journey, log.events)):
            found.insert(0, instant)
    return found


def _carries(journey: Journey, then: Examples) -> bool:
    """Whether what was known at an origin, the newest cutoff, suffices to learn from and to grade."""
    blocks = split(then.cutoffs, tasks(journey)[then.task].within, held_out=1)
    try:
        refuse_too_few(journey, then, blocks)
    except InputError:
        return False
    return then.rows.filter(then.at(blocks.test))[CUSTOMER].n_unique() >= MIN_CUSTOMERS


def refuse_too_many(journey: Journey, found: dict[str, Examples], origins: dict[str, list[int]], count: int) -> None:
    """Refuse more origins than every task carries.

    Raises
    ------
    InputError
        Says how many each task carries, and whether it is length or customers that is missing.
    """
    carried = {name: len(instants) for name, instants in origins.items()}
    if all(carries >= count for carries in carried.values()):
        return
    long_enough = {name: len(fitting(data.cutoffs, tasks(journey)[name].within)) for name, data in found.items()}
    thin = [name for name, fits in long_enough.items() if carried[name] < min(count, fits)]
    told = ", ".join(
        f"{name} {carried[name]} (horizon {duration_text(tasks(journey)[name].within)}"
        + (f"; at {long_enough[name] - carried[name]} more, too few customers of an outcome)" if name in thin else ")")
        for name in found
    )
    others = [name for name, carries in carried.items() if carries >= count]
    only = f"; --task {' --task '.join(others)} for those that carry {count}" if others else ""
    longer = "" if len(thin) == len(found) else ", a shorter horizon, or cutoffs more often (cutoffs.every)"
    raise InputError(
        "--origins",
        f"{count} origins are more than the history carries: {told}",
        f"--origins {min(carried.values())} at most" if min(carried.values()) else "a longer history",
        f"give a longer log{', more customers' if thin else ''}{longer}{only}",
    )
