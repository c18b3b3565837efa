"""A classifier's two-sample test: whether trees tell two samples apart, on rows they have not seen.

Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017. Cross-fitted: every row is judged by
trees that were grown on the others. The interval is DeLong's, of each fold's area under the ROC curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
FOLDS = 3
LEAST = 60  # rows of the smaller sample
_ROUNDS = 30
_TREES = {
    "objective": "binary", "num_leaves": 7, "min_data_in_leaf": 20, "learning_rate": 0.15, "lambda_l2": 5.0,
    "feature_fraction": 0.5, "max_bin": 63, "verbosity": -1, "num_threads": 1, "deterministic": True,
    "force_col_wise": True, "seed": 7,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Apart:
    """How well two samples are told apart, with its standard error; 0.5: not at all. `by` is each column's share."""

    auc: float
    error: float
    by: Array

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        reach = float(stats.norm.isf(0.025)) * self.error
        return max(0.0, self.auc - reach), min(1.0, self.auc + reach)


def told_apart(one: Array, other: Array, seed: int = 0) -> Apart | None:
    """Whether two samples of independent rows differ; None: too few rows."""
    if min(len(one), len(other)) < LEAST:
        return None
    matrix, label = np.concatenate([one, other]), np.repeat([1.0, 0.0], [len(one), len(other)])
    fold = _folds(label, np.random.default_rng(seed))
    aucs, variances, gains = [], [], np.zeros(matrix.shape[1])
    for number in range(FOLDS):
        held = fold == number
        trees = lgb.train(_TREES, lgb.Dataset(matrix[~held], label[~held]), _ROUNDS)
        said = np.asarray(trees.predict(matrix[held], num_threads=1))
        auc, variance = delong(said[label[held] == 1], said[label[held] == 0])
        aucs.append(auc)
        variances.append(variance)
        gains += trees.feature_importance("gain")
    error = float(np.sqrt(np.sum(variances))) / FOLDS
    return Apart(float(np.mean(aucs)), error, gains / gains.sum() if gains.sum() > 0 else gains)


def delong(positives: Array, negatives: Array, *weights: Array) -> tuple[float, float]:
    """The area under the ROC curve and its variance (DeLong, DeLong and Clarke-Pearson 1988).

    Parameters
    ----------
    weights : arrays of the lengths of `positives` and `negatives`, optional
        How many rows each stands for; default: itself. The variance is then that of ratios of sums.
    """
    of_positives, of_negatives = weights or (np.ones(len(positives)), np.ones(len(negatives)))
    above = _share_below(positives, negatives, of_negatives)
    below = 1 - _share_below(negatives, positives, of_positives)
    area = float(np.average(above, weights=of_positives))
    return area, _variance(above - area, of_positives) + _variance(below - area, of_negatives)


def _share_below(values: Array, others: Array, weight: Array) -> Array:
    """The share of the others that lies below each value; a tie is half below."""
    order = np.argsort(others)
    until = np.concatenate([[0.0], np.cumsum(weight[order])])
    less, no_more = (np.searchsorted(others[order], values, side) for side in ("left", "right"))
    return np.asarray((until[less] + until[no_more]) / (2 * until[-1]))


def _variance(away: Array, weight: Array) -> float:
    rows = len(away)
    return float(((weight * away) ** 2).sum() * rows / max(rows - 1, 1) / weight.sum() ** 2)


def _folds(label: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for each row, both samples spread evenly."""
    fold = np.empty(len(label), dtype=np.intp)
    for value in (0.0, 1.0):
        rows = np.flatnonzero(label == value)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return fold
