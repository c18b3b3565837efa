"""What BG/NBD makes of a customer: columns that a model adds to the vectors it reads.

A vector's frequency, recency and age are the customer's own. What they say of being alive depends on how
all customers buy, so the four parameters are learned, once per model, from what was known before its
earliest training cutoff, and stored with it: training, judging, refitting and scoring read the same ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue, modelled
from features.engine import build
from features.families.lifetime import AGE, ALIVE, EXPECTED, FREQUENCY, RECENCY
from features.journey import Journey
from features.labels import Task, population
from features.log import EventLog
from training.btyd import BgNbd, fit_bg_nbd

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """BG/NBD with its parameters, and the days ahead for which purchases are expected."""

    purchases: BgNbd
    horizon_days: float

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that `added` adds."""
        return ALIVE, EXPECTED

    def added(self, vectors: pl.DataFrame) -> pl.DataFrame:
        """The vectors with the model's columns; null for customers who never bought."""
        statistics = [vectors[name].cast(pl.Float64).to_numpy() for name in (FREQUENCY, RECENCY, AGE)]
        bought = ~np.isnan(np.sum(statistics, axis=0))
        known = [column[bought] for column in statistics]
        found = self.purchases.p_alive(*known), self.purchases.expected_purchases(self.horizon_days, *known)
        return vectors.hstack([_spread(name, values, bought) for name, values in zip(self.names, found, strict=True)])

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read` makes the same value of it."""
        return {"bg_nbd": asdict(self.purchases), "horizon_days": self.horizon_days}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """The value that `to_json` wrote."""
        return cls(BgNbd(**written["bg_nbd"]), written["horizon_days"])


def _spread(name: str, values: Array, bought: NDArray[np.bool_]) -> pl.Series:
    every = np.full(len(bought), np.nan)
    every[bought] = values
    return pl.Series(name, every, nan_to_null=True)


def fit_lifetimes(journey: Journey, log: EventLog, cutoff: int, task: Task) -> Lifetimes | None:
    """The parameters, from what was known before `cutoff` of everyone who had bought by then.

    None where nobody had, or where the journey has no event that counts as a purchase.
    """
    if not modelled(journey):
        return None
    wanted = [feature for feature in catalogue(journey) if feature.name in (FREQUENCY, RECENCY, AGE)]
    built = build(log.events, population(log.events, [cutoff]), wanted).drop_nulls([FREQUENCY, RECENCY, AGE])
    if built.is_empty():
        return None
    return Lifetimes(fit_bg_nbd(built[FREQUENCY], built[RECENCY], built[AGE]), task.within.total_seconds() / 86_400)
