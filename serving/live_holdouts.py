"""What a business can see of its lists' worth: who was contacted beside who was held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from serving.proportions import COVERAGE, SMALLEST_ARM, Estimate

Places = NDArray[np.intp]
Floats = NDArray[np.float64]


class Arms(NamedTuple):
    """Those whom a list named for the first time, as places in the world, and what everybody was worth before."""

    contacted: Places
    held_out: Places
    before: Floats


class Named:
    """Whom lists named, from the first one that did."""

    def __init__(self, names: pl.Series) -> None:
        self._names = names
        self._arms: list[Arms] = []

    def note(self, contacted: list[str], held_out: list[str], worth: Floats) -> None:
        """Keep who is named for the first time, and what they were worth before."""
        every = [np.flatnonzero(np.isin(self._names.to_numpy(), arm)) for arm in (contacted, held_out)]
        known = np.concatenate([np.empty(0, np.intp), *(part for one in self._arms for part in one[:2])])
        new = [np.setdiff1d(places, known) for places in every]
        self._arms.append(Arms(new[0], new[1], worth.copy()))

    def against(self, worth: Floats) -> Estimate | None:
        """What those contacted spent more than those held out since a list first named them; null: too few to tell.

        By intention to treat, with a 95 % interval. A customer who is held out once is held out of every
        list: the draw is by their id.
        """
        spent = [
            [(worth - arms.before)[places] for places in arms[:2]]
            for arms in self._arms
            if len(arms.contacted) and len(arms.held_out)
        ]
        if not spent or min(sum(map(len, arms)) for arms in zip(*spent, strict=True)) < SMALLEST_ARM:
            return None
        freedom = sum(len(part) - 1 for arms in spent for part in arms)
        spread = sum(float(((part - part.mean()) ** 2).sum()) for arms in spent for part in arms) / freedom
        more = sum(len(one) * float(one.mean() - other.mean()) for one, other in spent)
        variance = sum(spread * len(one) ** 2 * (1 / len(one) + 1 / len(other)) for one, other in spent)
        reach = float(stats.t.isf((1 - COVERAGE) / 2, freedom)) * float(np.sqrt(variance))
        return Estimate(more, more - reach, more + reach)
