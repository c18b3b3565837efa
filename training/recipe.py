"""A recipe: everything that decides how a model is grown, apart from the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from training.metrics import TWEEDIE_POWER

_FEW_LEAVES = 4  # of trees grown on few rows


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of gradient-boosted trees, by their plain names.

    `rounds_at_most` and `patience` bound early stopping; `amount_power` is that of the Tweedie loss of CLTV's
    amounts, between 1 and 2: the lower, the more large amounts weigh. `amount_line` and
    `chance_line` say what starts from a line (`training.line`). `amount_leaves` and `amount_rows_per_leaf`
    are those of CLTV's amounts, which fewer rows tell of; None: as of everything else. The rest is LightGBM's.
    """

    learning_rate: float = 0.05
    leaves: int = 7
    rows_per_leaf: int = 50
    feature_fraction: float = 0.25
    bagging_fraction: float = 0.8
    lambda_l2: float = 10.0
    rounds_at_most: int = 500
    patience: int = 40
    amount_power: float = TWEEDIE_POWER
    amount_line: bool = True
    chance_line: bool = False
    amount_leaves: int | None = None
    amount_rows_per_leaf: int | None = None
    seed: int = 7

    def parameters(self, objective: str, threads: int) -> dict[str, Any]:
        """LightGBM's parameters; the same trees whatever the number of threads."""
        amounts = objective == "tweedie"
        return {
            "objective": objective,
            "metric": {"binary": "binary_logloss", "multiclass": "multi_logloss", "tweedie": "tweedie"}[objective],
            "tweedie_variance_power": self.amount_power,
            "learning_rate": self.learning_rate,
            "num_leaves": (amounts and self.amount_leaves) or self.leaves,
            "min_data_in_leaf": (amounts and self.amount_rows_per_leaf) or self.rows_per_leaf,
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.lambda_l2,
            "max_bin": 127,
            "seed": self.seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": threads,
            "verbosity": -1,
        }

    def for_rows(self, rows: int, amounts: int | None = None) -> Self:
        """The recipe for a training set of this size: few rows get small trees and large leaves.

        `amounts` is how many of the rows tell of an amount; None: the task has none. Asked once in a
        training and kept with the model: the trees judged, those served and those compared at a
        promotion are then of one recipe, however many rows each of them learns from.
        """
        found = self
        if rows < 20 * self.rows_per_leaf:
            found = replace(found, leaves=_FEW_LEAVES, rows_per_leaf=_rows_per_leaf(rows))
        if amounts is not None and amounts < 20 * (self.amount_rows_per_leaf or self.rows_per_leaf):
            found = replace(found, amount_leaves=_FEW_LEAVES, amount_rows_per_leaf=_rows_per_leaf(amounts))
        return found

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read` makes the same value of it."""
        return asdict(self)

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """The recipe that `to_json` wrote."""
        return cls(**written)


def _rows_per_leaf(rows: int) -> int:
    return max(5, rows // 20)
