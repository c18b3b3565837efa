"""What trees start from: a straight line in the logarithms of the columns.

A tree says no more than the mean of its largest leaf, so trees alone tell the most valuable customers to
be worth too little and level what is smooth. A line with strong regularisation carries on where the leaves
end; the trees learn what it leaves. Its share of a prediction is explained exactly, column by column.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POWER = 1.0  # of the loss of amounts, Poisson's: the total of the rows comes out right, large amounts weigh
CHANCE_PENALTY, AMOUNT_PENALTY = 0.01, 0.5  # ridge per row, on columns of deviation 1
_DECIMALS = 9  # the last bits of a sum depend on how many CPUs added it up: they must decide no split


@dataclass(frozen=True, slots=True)
class Line:
    """`intercept + sum of slope * (log of column - mean)`.

    Attributes
    ----------
    slopes, means
        One per column of the matrix; a slope of 0 for a column that has no order. The log is that of
        1 + the value's size, with the value's sign; an unknown value reads as 0.
    """

    intercept: float
    slopes: tuple[float, ...]
    means: tuple[float, ...]

    def margins(self, matrix: Array) -> Array:
        """Shape (rows,)."""
        told = (_logs(matrix) - np.asarray(self.means)) @ np.asarray(self.slopes)
        return np.asarray(np.round(self.intercept + told, _DECIMALS))

    def contributions(self, matrix: Array) -> Array:
        """What each column adds to the intercept, its SHAP value; shape (columns, rows)."""
        return np.asarray(((_logs(matrix) - np.asarray(self.means)) * np.asarray(self.slopes)).T)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read` makes the same value of it."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """The value that `to_json` wrote."""
        return cls(float(written["intercept"]), tuple(written["slopes"]), tuple(written["means"]))


def margins(boosters: Sequence[lgb.Booster], lines: Sequence[Line | None], matrix: Array, threads: int) -> Array:
    """What boosters add up to on top of their lines, shape (rows, margins)."""
    found = [np.asarray(booster.predict(matrix, raw_score=True, num_threads=threads)) for booster in boosters]
    told = [one if line is None else one + line.margins(matrix) for one, line in zip(found, lines, strict=True)]
    return np.column_stack(told)


def _logs(matrix: Array) -> Array:
    known = np.nan_to_num(np.asarray(matrix, dtype=np.float64), nan=0.0)
    return np.asarray(np.sign(known) * np.log1p(np.abs(known)))


def fit_line(matrix: Array, targets: Array, chances: bool, ordered: NDArray[np.bool_]) -> Line | None:
    """Fit by logistic regression (`chances`: targets 0 or 1) or Tweedie regression (amounts above 0), with a ridge.

    Parameters
    ----------
    matrix, targets : arrays of shape (n, columns) and (n,)
        The rows that the trees will learn from.
    ordered : array of shape (columns,)
        Which columns have an order; the others stay out.

    Returns
    -------
    Line or None
        None where there is nothing to tell: one target only.
    """
    if np.ptp(targets) == 0:
        return None
    logs = _logs(matrix)
    means, spreads = logs.mean(axis=0), logs.std(axis=0)
    used = ordered & (spreads > 1e-9)
    columns = (logs[:, used] - means[used]) / spreads[used]
    intercept, found = _chance_line(columns, targets) if chances else _amount_line(columns, targets)
    slopes = np.zeros(len(used))
    slopes[used] = np.round(found, _DECIMALS - 2) / spreads[used]
    return Line(round(intercept, _DECIMALS - 2), tuple(slopes.tolist()), tuple(means.tolist()))


def _chance_line(columns: Array, targets: Array) -> tuple[float, Array]:
    from sklearn.linear_model import LogisticRegression

    strength = 1 / (CHANCE_PENALTY * len(targets))
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=100)
    model.fit(columns, targets > 0)
    return float(model.intercept_[0]), np.asarray(model.coef_[0])


def _amount_line(columns: Array, targets: Array) -> tuple[float, Array]:
    """In units of the mean amount, so that the ridge means the same in any currency."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import TweedieRegressor

    mean = float(targets.mean())
    model = TweedieRegressor(
        power=POWER, alpha=AMOUNT_PENALTY, link="log", solver="newton-cholesky", tol=1e-8, max_iter=100
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(columns, targets / mean)
    return float(model.intercept_ + np.log(mean)), np.asarray(model.coef_)
