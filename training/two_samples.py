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


def delong(positives: Array, negatives: Array) -> tuple[float, float]:
    """The area under the ROC curve and its variance (DeLong, DeLong and Clarke-Pearson 1988, by midranks)."""
    n, m = len(positives), len(negatives)
    every = stats.rankdata(np.concatenate([positives, negatives]))
    above = (every[:n] - stats.rankdata(positives)) / m
    below = 1 - (every[n:] - stats.rankdata(negatives)) / n
    return float(above.mean()), float(above.var(ddof=1) / n + below.var(ddof=1) / m)


def _folds(label: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """A fold for each row, both samples spread evenly."""
    fold = np.empty(len(label), dtype=np.intp)
    for value in (0.0, 1.0):
        rows = np.flatnonzero(label == value)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return fold
