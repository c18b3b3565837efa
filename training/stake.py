"""What is at stake with each customer, by a simple rule: the money that the profit of a churn model is counted in."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.instants import KEYS, microseconds
from features.journey import Journey
from features.labels import LABEL, Task, label
from features.schema import CUTOFF
from training.examples import Examples
from training.money import Offer

Array = NDArray[np.float64]

GROUPS = 5  # of past spend
_STAYED_AT_LEAST = 20  # of a group, to tell what its customers bring


def offer(journey: Journey, events: pl.DataFrame, churn: Examples, until: int, asked: pl.DataFrame) -> Offer | None:
    """The journey's campaign with what is at stake with each of the rows asked about.

    Those who stayed and had spent alike before say what a customer brings who stays; from that goes the share of it
    that churners brought all the same. So the amount is a customer's own, as in the lists, and a churn model is not
    measured by the value model beside it. (The expected maximum profit measure of churn, Verbraken, Verbeke and
    Baesens 2013, has one amount for all: churners spend less than others, and it tells too much of each.)

    Parameters
    ----------
    churn
        Learned from are those examples whose horizons, of churn and of CLTV, were over at `until` (microseconds).
    asked
        `customer_id` and `cutoff`.

    Returns
    -------
    Offer or None
        None where CLTV does not predict money, or nothing is known by then of those who stayed or those who churned.
    """
    value = journey.tasks.cltv
    if value is None or not value.sum or journey.tasks.churn is None:
        return None
    longest = max(microseconds(value.within), microseconds(journey.tasks.churn.within))
    known = churn.at(tuple(cutoff for cutoff in churn.cutoffs if cutoff + longest <= until))
    rows, churned = churn.rows.filter(known).select(KEYS), churn.labels[known] == 1
    if rows.is_empty() or churned.all() or not churned.any():
        return None
    brought, spent = _brought(value, journey, events, rows), _spent(value, journey, events, rows)
    edges = np.unique(np.quantile(spent, np.linspace(0, 1, GROUPS + 1)[1:-1]))
    stayed = _of_groups(brought[~churned], np.searchsorted(edges, spent[~churned], side="right"), len(edges) + 1)
    share = _share(brought[churned], stayed[np.searchsorted(edges, spent[churned], side="right")])
    mine = np.searchsorted(edges, _spent(value, journey, events, asked.select(KEYS)), side="right")
    return Offer(journey.campaign, stayed[mine] * (1.0 - share))


def _of_groups(brought: Array, group: NDArray[np.intp], groups: int) -> Array:
    """The mean of each group; that of all where a group is small."""
    counts = np.bincount(group, minlength=groups)
    sums = np.bincount(group, brought, minlength=groups)
    return np.where(counts >= _STAYED_AT_LEAST, sums / np.maximum(counts, 1), brought.mean())


def _share(brought: Array, had_they_stayed: Array) -> float:
    """What churners brought, of what those who stayed and had spent alike brought; 0 to 1."""
    whole = float(had_they_stayed.sum())
    return float(np.clip(brought.sum() / whole, 0.0, 1.0)) if whole > 0 else 1.0


def _brought(value: Task, journey: Journey, events: pl.DataFrame, rows: pl.DataFrame) -> Array:
    """What each row's customer brings within the horizon."""
    found = rows.join(label(value, journey, events, rows), on=KEYS, how="left", maintain_order="left")[LABEL]
    return found.cast(pl.Float64).fill_null(0.0).to_numpy()


def _spent(value: Task, journey: Journey, events: pl.DataFrame, rows: pl.DataFrame) -> Array:
    """What each row's customer brought within the horizon before the cutoff."""
    before = rows.with_columns(pl.col(CUTOFF) - microseconds(value.within))
    return _brought(value, journey, events, before)
