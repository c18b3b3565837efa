"""What a campaign is expected to bring, and whether its hold-out will be able to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.errors import InputError
from features.journey import Campaign
from serving.cut import affordable_length, curve_lengths, held_out
from serving.proportions import SMALLEST_ARM, detectable, share_needed
from training.money import best_length, contact_expense, contact_profit

Array = NDArray[np.float64]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Point(_Part):
    """A list of this length with everyone on it contacted; profit is null where the run knows nobody's value."""

    length: int
    expected_profit: float | None
    expected_cost: float


class Power(_Part):
    """Whether the hold-out can tell what the campaign is expected to change, known before it begins.

    `detectable_difference` of the churn rates is told with 80 % power at the 5 % level, given the sizes
    of the groups; `holdout_needed` is a share to hold out that tells the expected difference, the least
    with a margin for the draw (null: even half would not do).
    """

    expected_churn_rate: float
    expected_difference: float
    detectable_difference: float
    can_tell: bool
    holdout_needed: float | None
    words: str


class Plan(_Part):
    """A list cut and drawn: `length` customers of `listed`, of whom `contacts` are to be contacted.

    `expected_profit` and `expected_cost` are those of the contacts; `forgone_profit` is what holding
    out the others costs. `best` is the most profitable length, whatever the cut was.
    """

    listed: int
    length: int
    contacts: int
    held_out: int
    expected_profit: float | None
    expected_cost: float
    forgone_profit: float | None
    best: Point | None
    curve: list[Point]
    power: Power
    warnings: list[str] = []


class Cut(NamedTuple):
    """How a list is cut: at a budget, at a capacity of contacts, or, both null, where it pays most."""

    budget: float | None = None
    capacity: int | None = None


class Drawn(NamedTuple):
    """The plan, and of each customer of the cut list whether they are held out and what a contact earns."""

    plan: Plan
    held: NDArray[np.bool_]
    profit: Array


def plan(
    customer_ids: Sequence[str], probability: Array, stake: Array, costs: Campaign, cut: Cut, holdout: float, seed: int
) -> Drawn:
    """Cut a ranked list and draw its hold-out.

    Parameters
    ----------
    customer_ids, probability, stake
        The whole list in its order; nan: what is at stake is unknown.

    Raises
    ------
    InputError
        Where nobody is left to contact.
    """
    profit, expense = contact_profit(probability, stake, costs), contact_expense(probability, costs)
    held = held_out(customer_ids, seed, holdout)
    best = best_length(profit) if np.isfinite(stake).any() else None
    length = _length(expense, held, cut, best)
    if held[:length].all():
        raise _nobody(len(customer_ids), length, cut)
    points = _points(profit, expense, curve_lengths(len(profit), length, *([best] if best is not None else [])))
    made, held = points[length], held[:length]
    found = Plan(
        listed=len(profit),
        length=length,
        contacts=int((~held).sum()),
        held_out=int(held.sum()),
        expected_profit=None if best is None else float(np.nansum(profit[:length][~held])),
        expected_cost=float(expense[:length][~held].sum()),
        forgone_profit=None if best is None else float(np.nansum(profit[:length][held])),
        best=None if best is None else points[best],
        curve=list(points.values()),
        power=power(probability[:length], held, costs),
        warnings=_warnings(made, None if best is None else points[best]),
    )
    return Drawn(found, held, profit[:length])


def _length(expense: Array, held: NDArray[np.bool_], cut: Cut, best: int | None) -> int:
    if cut.budget is not None:
        return affordable_length(expense, held, cut.budget)
    if cut.capacity is not None:
        return affordable_length(np.ones_like(expense), held, cut.capacity)
    return best or 0


def _points(profit: Array, expense: Array, lengths: list[int]) -> dict[int, Point]:
    known = bool(np.isfinite(profit).any())
    earned, spent = (np.concatenate([[0.0], np.cumsum(np.nan_to_num(amounts))]) for amounts in (profit, expense))
    return {
        n: Point(length=n, expected_profit=float(earned[n]) if known else None, expected_cost=float(spent[n]))
        for n in lengths
    }


def power(probability: Array, held: NDArray[np.bool_], costs: Campaign) -> Power:
    """What the two groups will be able to tell: of those who would leave, the accept rate stays."""
    contacts, holdout = int((~held).sum()), int(held.sum())
    rate = float(probability.mean())
    lowered = rate * (1 - costs.accept_rate)
    expected = rate - lowered
    told = detectable(rate, lowered, holdout, contacts)
    needed = share_needed(rate, lowered, len(held))
    can_tell = min(contacts, holdout) >= SMALLEST_ARM and 0 < told <= expected
    expects = f"the campaign is expected to lower churn by {100 * expected:.2f} points of {100 * rate:.1f} %"
    if can_tell:
        words = f"{expects}; differences from {100 * told:.2f} points on can be told"
    else:
        points = f"only differences from {100 * told:.2f} points on can be told"
        more = f"hold out {100 * needed:.1f} %" if needed is not None else "even a hold-out of half would not do"
        few = f"; fewer than {SMALLEST_ARM} in an arm tell nothing" if min(contacts, holdout) < SMALLEST_ARM else ""
        words = f"cannot tell: {expects}, and {points}{few} ({more})"
    return Power(
        expected_churn_rate=rate,
        expected_difference=expected,
        detectable_difference=told,
        can_tell=can_tell,
        holdout_needed=needed,
        words=words,
    )


def _warnings(made: Point, best: Point | None) -> list[str]:
    if best is None or best.expected_profit is None or made.expected_profit is None or made.length <= best.length:
        return []
    lost = best.expected_profit - made.expected_profit
    return [
        f"the last {made.length - best.length:,} of {made.length:,} customers are expected to lose {lost:,.2f}:"
        f" the list pays most at a length of {best.length:,}"
    ]


def _nobody(listed: int, length: int, cut: Cut) -> InputError:
    if not listed:
        return InputError("filters", "nobody is on this list", "filters that someone passes", "loosen the filters")
    if length:
        return InputError("holdout", f"all {length} customers of the cut list are held out", "a longer list")
    if cut.budget is not None:
        return InputError("budget", f"{cut.budget:g} pays for no contact", "the cost of a contact or more")
    return InputError(
        "campaign",
        f"none of {listed:,} contacts is expected to pay",
        "costs at which one does, or a budget or capacity",
        "look at contact_cost, incentive_cost and accept_rate",
    )
