"""What the test block speaks against: probabilities and intervals that did not come true, in words."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np

from training.assess import Assessment
from training.metrics import equal_mass_bins
from training.segments import said_and_came

Frequencies = Literal["came true", "cannot be told", "did not come true"]

_ABOUT = 0.1  # of the rarer outcome: 27 to 33 in 100 are about 30
_CLOSE = 0.05  # mean distance: farther off, true or not, 30 in 100 need not be about 30
_CHANCE = 1.2  # of ten groups' mean standard error: true probabilities lie farther off in 2 of 100 samples
_OFF = 0.05  # of coverage: what a stated 80 % may miss overall
_OFF_IN_A_FIFTH = 0.1  # intervals promise nothing of a fifth, but who reads them leans on it
_ERRORS = 2.6  # standard errors: one in a hundred by chance, as six shares are looked at


def frequencies(found: Assessment) -> Frequencies:
    """Whether probabilities came true as frequencies, by the mean distance over ten groups (ECE).

    Probabilities that are true lie off as well, by 0.8 of the groups' standard errors (the mean of a
    half-normal variable); rows of one customer count as one.
    """
    said, came = said_and_came(found)
    groups = equal_mass_bins(came, said)
    predicted, true, rows = (groups[name].to_numpy() for name in ("predicted", "true", "rows"))
    share = rows / len(came)
    errors = np.sqrt(predicted * (1 - predicted) / (share * len(np.unique(found.customers))))
    rarer, distance = min(came.mean(), 1 - came.mean()), share @ np.abs(predicted - true)
    if distance > _CHANCE * (share @ errors) + _ABOUT * rarer:
        return "did not come true"
    return "came true" if distance <= _CLOSE else "cannot be told"


def doubts(task: str, found: Assessment, coverage: float | None) -> list[str]:
    """Warnings of what was said and did not come true; `coverage` is what intervals state, null without any."""
    if task == "cltv":
        return _of_intervals(found, coverage) if coverage is not None else []
    if frequencies(found) != "did not come true":
        return []
    whose = "the likeliest stage's probability" if task == "next_stage" else "probabilities"
    return [
        f"{whose} and what came true lie {100 * found.metrics['ece']:.1f} points apart on average over ten groups, "
        "more than chance explains: lean on their order, not on their level"
    ]


def _of_intervals(found: Assessment, stated: float) -> list[str]:
    held = found.metrics.get("coverage")
    if held is None or np.isnan(held):
        return []
    customers, told = len(np.unique(found.customers)), []
    if _missed(held, stated, customers, _OFF):
        told.append(f"intervals that state {_percent(stated)} held {_percent(held)} of the values")
    fifths = {number: found.metrics[f"coverage_fifth_{number}"] for number in range(1, 6)}
    off = [n for n, share in fifths.items() if _missed(share, stated, customers / 5, _OFF_IN_A_FIFTH)]
    if off:
        which = ", ".join(f"{_percent(fifths[n])} in fifth {n}" for n in off)
        told.append(f"intervals that state {_percent(stated)} held {which} of the expected value (1 is the lowest)")
    return told


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _missed(held: float, stated: float, customers: float, tolerance: float) -> bool:
    """Whether a share of customers lies off by more than is tolerated and more than chance explains."""
    if np.isnan(held) or not customers:
        return False
    return abs(held - stated) > max(tolerance, _ERRORS * sqrt(stated * (1 - stated) / customers))
