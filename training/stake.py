"""What is at stake with a customer on average: the money that the profit of a churn model is counted in."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.instants import KEYS, microseconds
from features.journey import Journey
from features.labels import LABEL, label
from training.examples import Examples
from training.money import Offer


def offer(journey: Journey, events: pl.DataFrame, churn: Examples, until: int) -> Offer | None:
    """The journey's campaign with the mean value of those who stayed less that of those who churned.

    Over the CLTV horizon, of the examples of churn whose both horizons were over at `until` (the first
    test cutoff, in microseconds). One amount for everyone, as in the expected maximum profit measure of
    churn (Verbraken, Verbeke and Baesens 2013): what a customer would have brought had they stayed is
    never seen, and a churn model must not be measured by the value model beside it.

    None where CLTV does not predict money, or nothing is known by then of either kind.
    """
    value = journey.tasks.cltv
    if value is None or not value.sum or journey.tasks.churn is None:
        return None
    longest = max(microseconds(value.within), microseconds(journey.tasks.churn.within))
    known = churn.at(tuple(cutoff for cutoff in churn.cutoffs if cutoff + longest <= until))
    rows = churn.rows.filter(known).select(KEYS)
    if rows.is_empty():
        return None
    values = rows.join(label(value, journey, events, rows), on=KEYS, how="left", maintain_order="left")[LABEL]
    return _offer(journey, values.cast(pl.Float64).to_numpy(), churn.labels[known] == 1)


def _offer(journey: Journey, values: NDArray[np.float64], churned: NDArray[np.bool_]) -> Offer | None:
    if churned.all() or not churned.any():
        return None
    return Offer(journey.campaign, float(values[~churned].mean() - values[churned].mean()))
