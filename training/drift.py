"""Whether vectors at the test cutoffs can be told from those the trees learn from, and by which features.

Adversarial validation: trees are asked which of the two a vector is. Where they can tell, the world or
the measuring of it changed, and what is learned of the one may not hold for the other. That is a
warning: seasons are in the data, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.schema import CUSTOMER, CUTOFF
from training.blocks import Blocks
from training.examples import Examples

Array = NDArray[np.float64]

TOLD_APART = 0.7  # ROC AUC from which a warning is given; 0.5: cannot be told
ROWS_AT_MOST = 4000  # of each
NAMED, TO_NAME = 5, 0.04  # features at most, each with this share in telling at least
_ROUNDS = 30
_PARAMETERS = {
    "objective": "binary", "num_leaves": 7, "learning_rate": 0.15, "min_data_in_leaf": 50, "lambda_l2": 10.0,
    "feature_fraction": 0.5, "seed": 7, "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drift:
    """How well test cutoffs are told from training cutoffs, and the share of each feature in telling, strongest first.

    `auc` is that of customers the trees were not grown on.
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
            f"they cannot), most of all by {told}: what was learned may hold less there"
        )


def drift(data: Examples, matrix: Array, names: tuple[str, ...], blocks: Blocks, threads: int) -> Drift:
    """How well the test block is told from the trees' block.

    Features that are the same for everybody at a cutoff (the month) tell every cutoff by definition and
    are left out.
    """
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(data.at(cutoffs)))[:ROWS_AT_MOST] for cutoffs in (blocks.trees, blocks.test)]
    kept, tested = np.concatenate(rows), np.repeat([0.0, 1.0], [len(part) for part in rows])
    customers = np.unique(data.rows[CUSTOMER].to_numpy()[kept], return_inverse=True)[1]
    learn = rng.permutation(customers.max() + 1)[customers] % 2 == 0
    columns = np.flatnonzero(~_calendar(matrix[kept], data.rows[CUTOFF].to_numpy()[kept]))
    part = matrix[np.ix_(kept, columns)]
    if not len(columns) or any(len(np.unique(tested[half])) < 2 for half in (learn, ~learn)):
        return Drift(0.5, {})
    booster = lgb.train(_PARAMETERS | {"num_threads": threads}, lgb.Dataset(part[learn], tested[learn]), _ROUNDS)
    auc = float(roc_auc_score(tested[~learn], booster.predict(part[~learn], num_threads=threads)))
    gains = booster.feature_importance("gain")
    shares = {
        names[columns[n]]: float(gains[n] / gains.sum()) for n in np.argsort(-gains, kind="stable") if gains[n] > 0
    }
    return Drift(auc, shares)


def _calendar(matrix: Array, cutoffs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which columns are the same for everybody at each cutoff."""
    found = np.ones(matrix.shape[1], dtype=bool)
    for cutoff in np.unique(cutoffs):
        rows = matrix[cutoffs == cutoff]
        found &= np.all((rows == rows[0]) | (np.isnan(rows) & np.isnan(rows[0])), axis=0)
    return found
