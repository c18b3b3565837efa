"""Something of all customers together at the newest cutoff, beside what it was at earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.instants import KEYS, mature, microseconds
from features.journey import Journey
from features.labels import LABEL, eligible, label, population, tasks
from features.log import EventLog
from features.schema import CUTOFF, TIME
from training.examples import known, labels_as_numbers

Array = NDArray[np.float64]
CUTOFFS = 8  # earlier cutoffs that outcomes are compared with, at most
ALARM = 0.005  # the chance of calling any of them unusual in a world without change; few cutoffs say what is usual
EARLIER = 3  # of which what is usual can be told
LEAST, LARGE = 0.05, 0.25  # of a PSI: below the first nothing is called unusual; the second is a large shift by custom


@dataclass(frozen=True, slots=True)
class Moved:
    """Something of all customers at the newest cutoff beside the earlier ones.

    `past` are the earlier values, the newest first, `limit` what more than chance lies beyond.
    """

    what: str
    value: float
    past: tuple[float, ...]
    limit: float

    @property
    def unusual(self) -> bool:
        """Whether it is more than chance."""
        return bool(self.value > self.limit)


def unusual_beyond(what: str, each: Array, chance: float) -> Moved:
    """The newest of several distances (the first) beside the earlier ones, as logarithms alike.

    Parameters
    ----------
    chance
        That a world without change comes out as unusual.
    """
    past = np.log(each[1:] + 0.01)
    n = len(past)
    spread = max(float(past.std(ddof=1)), 0.2) * np.sqrt(1 + 1 / n)
    limit = float(np.exp(past.mean() + stats.t.isf(chance, n - 1) * spread) - 0.01)
    # A few earlier distances would allow for anything: twice what was ever seen is enough of a large one.
    limit = min(limit, max(LARGE, 2 * float(each[1:].max())))
    return Moved(what, float(each[0]), tuple(float(value) for value in each[1:]), max(limit, LEAST))


def _means(told: pl.DataFrame) -> Array:
    """The mean label of each cutoff, oldest first: the same from run to run, whatever order the labels come in."""
    told = told.sort(KEYS).with_columns(pl.col(LABEL).round(4))  # the last bits of a sum differ from run to run
    return np.array([part[LABEL].to_numpy().mean() for _, part in told.group_by(CUTOFF, maintain_order=True)])


def outcomes_moved(journey: Journey, log: EventLog, at: int) -> Iterator[Moved]:
    """The newest outcomes that are known beside earlier ones: how far their mean lies from these, in their spread."""
    step = microseconds(journey.cutoffs.every)
    first = int(str(log.events[TIME].min())) + microseconds(journey.cutoffs.history)
    for name, task in tasks(journey).items():
        cutoffs = [at - n * step for n in range(3 * CUTOFFS, 0, -1)]
        cutoffs = [c for c in cutoffs if c >= first and mature(c, task.within, at)][-CUTOFFS - 1 :]
        if name == "next_stage" or len(cutoffs) <= EARLIER:
            continue
        everyone = population(log.events, cutoffs)
        asked = eligible(task, log.events, everyone).filter("eligible").select(KEYS)
        told = label(task, journey, known(log.events, at), asked)
        means = _means(told.with_columns(pl.Series(LABEL, labels_as_numbers(name, journey, told[LABEL]))))
        past = means[:-1]
        apart = np.abs(means - past.mean()) / max(float(past.std(ddof=1)), 0.02 * abs(float(past.mean())), 1e-9)
        limit = float(stats.t.isf(ALARM / 8, len(past) - 1) * np.sqrt(1 + 1 / len(past)))
        yield Moved(
            f"outcomes of {name}, in the spread of earlier ones",
            float(apart[-1]),
            tuple(float(v) for v in apart[-2::-1]),
            limit,
        )
