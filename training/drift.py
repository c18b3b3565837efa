"""Whether vectors at the test cutoffs can be told from those the trees learn from, and by which features.

Adversarial validation: trees are asked which of the two a vector is. Where they can tell, the world or
the measuring of it changed, and what is learned of the one may not hold for the other. That is a
warning: seasons are in the data, too.

Every cutoff can be told from every other by something: tenure has grown, a campaign was sent to all on one day, long
windows have filled up. So the trees are shown only what is unusual: features that only ever grow are left out,
and those that lie no farther from the training cutoffs than one of these lies from the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.schema import CUSTOMER, CUTOFF
from training.examples import Examples

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

TOLD_APART = 0.7  # ROC AUC from which a warning is given; 0.5: cannot be told
UNUSUAL = 0.1  # by so much a feature's distance exceeds that of any training cutoff from the others
ROWS_AT_MOST = 4000  # of each side; customers whose vectors are followed
GROWS = 0.99  # share of a feature's changes that are rises, from which it is taken to only grow
NAMED, TO_NAME = 5, 0.04  # features at most, each with this share in telling at least
_BINS, _ROUNDS = 64, 30
_PARAMETERS = {
    "objective": "binary", "num_leaves": 7, "learning_rate": 0.15, "min_data_in_leaf": 50, "lambda_l2": 10.0,
    "feature_fraction": 0.5, "seed": 7, "deterministic": True, "force_col_wise": True, "verbosity": -1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drift:
    """How well test cutoffs are told from training cutoffs, and the share of each feature in telling, strongest first.

    `auc` is that of customers the trees were not grown on; 0.5 where nothing is unusual.
    """

    auc: float
    shares: dict[str, float]

    @property
    def warning(self) -> str | None:
        """What to tell the user; None: nothing."""
        if self.auc < TOLD_APART:
            return None
        strongest = [(name, share) for name, share in self.shares.items() if share >= TO_NAME][:NAMED]
        told = ", ".join(f"{name} ({100 * share:.0f} %)" for name, share in strongest) or "many features together"
        return (
            f"vectors at the test cutoffs can be told from those the trees learn from (ROC AUC {self.auc:.2f}; 0.5: "
            f"they cannot) by features that differ more than usual between cutoffs, most of all by {told}: what was "
            "learned may hold less there"
        )


def drift(
    data: Examples,
    matrix: Array,
    names: tuple[str, ...],
    learned: tuple[int, ...],
    tested: tuple[int, ...],
    threads: int,
) -> Drift:
    """How well the cutoffs tested are told from those learned from, by what is unusual there.

    Features that are the same for everybody at a cutoff (the month) tell every cutoff by definition and
    are left out.
    """
    rng = np.random.default_rng(0)
    cutoffs = data.rows[CUTOFF].to_numpy()
    customers = np.unique(data.rows[CUSTOMER].to_numpy(), return_inverse=True)[1]
    sides = [np.flatnonzero(data.at(side)) for side in (learned, tested)]
    both = np.concatenate(sides)
    beside = _calendar(matrix[both], cutoffs[both]) | _growing(matrix[both], customers[both], cutoffs[both])
    columns = np.flatnonzero(~beside)
    columns = columns[_unusual(matrix[np.ix_(both, columns)], cutoffs[both], len(sides[0]))]
    rows = [rng.permutation(side)[:ROWS_AT_MOST] for side in sides]
    kept, later = np.concatenate(rows), np.repeat([0.0, 1.0], [len(part) for part in rows])
    half = (rng.permutation(customers.max() + 1)[customers] % 2 == 0)[kept]
    part = matrix[np.ix_(kept, columns)]
    if not len(columns) or any(len(np.unique(later[some])) < 2 for some in (half, ~half)):
        return Drift(0.5, {})
    booster = lgb.train(_PARAMETERS | {"num_threads": threads}, lgb.Dataset(part[half], later[half]), _ROUNDS)
    auc = float(roc_auc_score(later[~half], booster.predict(part[~half], num_threads=threads)))
    gains = booster.feature_importance("gain")
    shares = {
        names[columns[n]]: float(gains[n] / gains.sum()) for n in np.argsort(-gains, kind="stable") if gains[n] > 0
    }
    return Drift(auc, shares)


def _calendar(matrix: Array, cutoffs: Numbers) -> Flags:
    """Which columns are the same for everybody at each cutoff."""
    found = np.ones(matrix.shape[1], dtype=bool)
    for cutoff in np.unique(cutoffs):
        rows = matrix[cutoffs == cutoff]
        found &= np.all((rows == rows[0]) | (np.isnan(rows) & np.isnan(rows[0])), axis=0)
    return found


def _growing(matrix: Array, customers: Numbers, cutoffs: Numbers) -> Flags:
    """Which columns as good as never fall from one cutoff of a customer to the next, and do rise."""
    known = np.unique(customers)
    some = np.flatnonzero(np.isin(customers, known[:: max(1, len(known) // ROWS_AT_MOST)]))
    order = some[np.lexsort((cutoffs[some], customers[some]))]
    same = customers[order][1:] == customers[order][:-1]
    changes = np.diff(matrix[order], axis=0)[same]
    rises, falls = (changes > 0).sum(axis=0), (changes < 0).sum(axis=0)
    return np.asarray((rises > 0) & (rises >= GROWS * (rises + falls)))


def _unusual(matrix: Array, cutoffs: Numbers, trained: int) -> Flags:
    """Which columns lie farther from the training cutoffs, the first rows, than each of these from the others.

    The distance is Kolmogorov and Smirnov's, over quantiles; unknown values are the lowest.
    """
    found = np.zeros(matrix.shape[1], dtype=bool)
    numbers, places = np.unique(cutoffs[:trained], return_inverse=True)
    for column in range(matrix.shape[1]):
        values = np.nan_to_num(matrix[:, column], nan=-np.inf)
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS), method="nearest"))
        bins = np.searchsorted(edges, values)
        each = np.zeros((len(numbers), len(edges)))
        np.add.at(each, (places, bins[:trained]), 1)
        whole = each.sum(axis=0)
        usual = max((_distance(one, whole - one) for one in each), default=0.0) if len(each) > 1 else 0.0
        tested = np.bincount(bins[trained:], minlength=len(edges)).astype(float)
        found[column] = _distance(tested, whole) > usual + UNUSUAL
    return found


def _distance(one: Array, other: Array) -> float:
    """Of two histograms over the same bins, the largest difference of their cumulative shares."""
    return float(np.abs(np.cumsum(one) / one.sum() - np.cumsum(other) / other.sum()).max())
