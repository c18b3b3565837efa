"""What one column alone tells of outcomes: by its order, and in any shape learned from other customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

BINS = 64  # of a column's values; unknown is one more


class Question(Protocol):
    """What a column may be asked; `told` says it in words, `measure` names the score."""

    @property
    def told(self) -> str: ...  # noqa: D102
    @property
    def measure(self) -> str: ...  # noqa: D102

    def scores(self, matrix: Array, rows: Places, customers: Places, fewest: int) -> Array:
        """Per column of `matrix`, whose rows are `rows` of the data: how well it answers, at most 1.

        nan where there are fewer than `fewest` customers of an outcome.
        """
        ...


@dataclass(frozen=True, slots=True)
class Classes:
    """Who has an outcome, by ROC AUC: of several outcomes the one told best.

    Attributes
    ----------
    strata
        Per row the stratum within which rows are compared; the mean of all strata counts.
    outcomes
        (rows, outcomes).
    strata_at_least
        Strata in which there must be enough customers who have the outcome and who have not.
    """

    told: str
    strata: Places
    outcomes: Flags
    strata_at_least: int = 1
    measure: str = "ROC AUC"

    def carried(self, customers: Places, fewest: int) -> int:
        """Strata that have enough customers of the outcome for which most have."""
        strata = [self.strata == stratum for stratum in np.unique(self.strata)]
        enough = [[_fewer(one[here], customers[here]) >= fewest for one in self.outcomes.T] for here in strata]
        return int(np.sum(enough, axis=0).max())

    def scores(self, matrix: Array, rows: Places, customers: Places, fewest: int) -> Array:
        """As of `Question`."""
        found = []
        for stratum in np.unique(self.strata[rows]):
            here = self.strata[rows] == stratum
            found.append(aucs(matrix[here], self.outcomes[rows[here]], customers[here], fewest))
        each = np.array(found).reshape(len(found), self.outcomes.shape[1], matrix.shape[1])
        carried = np.isfinite(each).sum(axis=0)
        means = np.nansum(each, axis=0) / np.maximum(carried, 1)
        means[carried < self.strata_at_least] = np.nan
        return np.asarray(np.fmax.reduce(means, axis=0))


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much, among the rows with a positive value, by rank correlation (Spearman) in either direction."""

    told: str
    values: Array
    measure: str = "rank correlation"

    def scores(self, matrix: Array, rows: Places, customers: Places, fewest: int) -> Array:
        """As of `Question`."""
        some = self.values[rows] > 0
        if len(np.unique(customers[some])) < fewest:
            return np.full(matrix.shape[1], np.nan)
        ranks, truth = _ranks(matrix[some]), rankdata(self.values[rows[some]])
        ranks, truth = ranks - ranks.mean(axis=0), truth - truth.mean()
        lengths = np.sqrt((ranks**2).sum(axis=0) * (truth**2).sum())
        return np.asarray(np.abs(truth @ ranks) / np.where(lengths > 0, lengths, np.inf))


def drawn(customers: NDArray[np.object_]) -> Places:
    """Per row its customer's number in a drawn order; the same customers give the same order."""
    _, customer = np.unique(customers, return_inverse=True)
    return np.asarray(np.random.default_rng(0).permutation(customer.max() + 1)[customer])


def aucs(matrix: Array, outcomes: Flags, customers: Places, fewest: int) -> Array:
    """ROC AUC, (outcomes, columns), with which each column alone tells each outcome.

    The better of its own order, in either direction, and of any shape told in bins: those are learned from
    the customers of an even number in `customers` and judged on the others. nan where fewer than `fewest`
    customers have the outcome, or have it not.
    """
    found = np.full((outcomes.shape[1], matrix.shape[1]), np.nan)
    enough = [n for n, one in enumerate(outcomes.T) if _fewer(one, customers) >= fewest]
    if not enough:
        return found
    ranks, learn = _ranks(matrix), customers % 2 == 0
    bins = _bins(matrix, learn)
    learned, judged = _counts(bins[learn]), _counts(bins[~learn])
    for n in enough:
        one = outcomes[:, n]
        with_it = one.sum()
        above = ranks[one].sum(axis=0) - with_it * (with_it + 1) / 2
        ordered = above / (with_it * (len(one) - with_it))
        shares = (_counts(bins[learn & one]) + 1) / (learned + 2)
        binned = _auc_of_bins(shares, _counts(bins[~learn & one]), judged)
        found[n] = np.maximum(np.maximum(ordered, 1 - ordered), binned)
    return found


def _fewer(outcome: Flags, customers: Places) -> int:
    return min(len(np.unique(customers[outcome])), len(np.unique(customers[~outcome])))


def _ranks(matrix: Array) -> Array:
    """Ranks by column, ties sharing theirs; unknown is lowest."""
    return np.asarray(rankdata(np.where(np.isnan(matrix), -np.inf, matrix), axis=0))


def _bins(matrix: Array, learn: Flags) -> Places:
    """The bin of every value, its edges quantiles of the known values learned from; the last is unknown."""
    ordered = np.sort(matrix[learn], axis=0)  # unknown values last
    known = np.isfinite(ordered).sum(axis=0)
    places = (np.arange(1, BINS)[:, None] / BINS * known).astype(np.intp)
    edges = np.take_along_axis(ordered, np.minimum(places, len(ordered) - 1), axis=0)
    found = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges.T, matrix.T, strict=True)]
    return np.where(np.isnan(matrix), BINS, np.array(found).T)


def _counts(bins: Places) -> Array:
    """Rows of each bin, (columns, bins)."""
    columns = bins.shape[1]
    flat = np.bincount((bins + (BINS + 1) * np.arange(columns)).ravel(), minlength=(BINS + 1) * columns)
    return flat.reshape(columns, BINS + 1).astype(np.float64)


def _auc_of_bins(shares: Array, with_it: Array, rows: Array) -> Array:
    """ROC AUC by column, of rows known by the share of their bin; bins are told apart even where shares tie."""
    order = np.argsort(shares, axis=1, kind="stable")
    positive = np.take_along_axis(with_it, order, axis=1)
    negative = np.take_along_axis(rows - with_it, order, axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    below = np.cumsum(negative, axis=1) - negative
    return np.asarray((positive * (below + negative / 2)).sum(axis=1) / np.where(pairs > 0, pairs, np.inf))
