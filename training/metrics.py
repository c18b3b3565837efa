"""Metrics of the three tasks, as numbers from arrays, and the proper losses per row.

Where a metric is not defined (no rows, one class only, no value at all) it is nan, without a
warning. Rows with equal predictions are interchangeable: their order never changes a metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from training.money import Offer, best_length, contact_profit

Array = NDArray[np.float64]

PROBABILITY_FLOOR = float(np.finfo(np.float64).eps)  # log losses read p as within [floor, 1 - floor], as sklearn does
VALUE_FLOOR = 1e-3  # Tweedie deviances read a smaller expected value as this: a tenth of a cent
TWEEDIE_POWER = 1.5  # between Poisson (1) and gamma (2): many zeros, a long tail


def log_losses(y: NDArray[Any], p: Array) -> Array:
    """Log loss of each row.

    Parameters
    ----------
    y : array of shape (n,)
        0 or 1 (or bool); with several classes the index of the class.
    p : array of shape (n,) or (n, classes)
        Probability of 1, or of each class; read as within `PROBABILITY_FLOOR` of 0 and 1.
    """
    clipped = np.clip(np.asarray(p, dtype=np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    if clipped.ndim == 2:
        return np.asarray(-np.log(clipped[np.arange(len(y)), np.asarray(y, dtype=np.intp)]))
    return np.asarray(-np.log(np.where(np.asarray(y, dtype=bool), clipped, 1 - clipped)))


def tweedie_deviances(y: Array, mu: Array, power: float = TWEEDIE_POWER) -> Array:
    """Unit Tweedie deviance of each row, for 1 < `power` < 2 (Jørgensen 1987).

    `mu` below `VALUE_FLOOR` is read as that. A negative `y` (refunds above purchases) is read as 0:
    the deviance knows no negative values.
    """
    if not 1 < power < 2:
        raise ValueError(f"power {power} is outside (1, 2), where the value may be 0 or positive")
    y, mu = np.maximum(y, 0.0), np.maximum(mu, VALUE_FLOOR)
    parts = y ** (2 - power) / ((1 - power) * (2 - power)) - y * mu ** (1 - power) / (1 - power)
    # At y == mu rounding leaves some 1e-16 on either side of 0.
    return np.maximum(2 * (parts + mu ** (2 - power) / (2 - power)), 0.0)


def repeated(weight: Array, by: Array) -> NDArray[np.intp]:
    """Rows as often as each stands for others, in whole numbers; a metric of them is one of the weighted rows.

    What is lost by rounding is carried on to the next row in the order of `by`, so that no part of the order is
    short of more than half a row. Weights of 1 give the rows as they are.
    """
    order = np.argsort(by, kind="stable")
    times = np.diff(np.round(np.cumsum(weight[order])), prepend=0.0).astype(np.intp)
    return np.sort(np.repeat(order, times))


def tied_means(y: NDArray[Any], by: Array) -> Array:
    """`y` with every value replaced by the mean over the rows with an equal `by`."""
    _, group, size = np.unique(by, return_inverse=True, return_counts=True)
    return np.asarray((np.bincount(group, weights=y) / size)[group])


def equal_mass_bins(y: NDArray[Any], predicted: Array, bins: int = 10) -> pl.DataFrame:
    """Rows in order of the prediction, cut into `bins` of equal size (to one row).

    Returns
    -------
    polars.DataFrame
        One row per bin, lowest first: `rows`, `predicted` (mean), `true` (mean). Fewer bins where
        there are fewer rows. The table behind ECE, calibration plots and decile charts.
    """
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    true = tied_means(y, predicted)
    return pl.DataFrame(
        {
            "rows": [len(part) for part in parts],
            "predicted": [float(np.mean(predicted[part])) for part in parts],
            "true": [float(np.mean(true[part])) for part in parts],
        },
        schema={"rows": pl.Int64, "predicted": pl.Float64, "true": pl.Float64},
    )


def expected_calibration_error(y: NDArray[Any], p: Array, bins: int = 10) -> float:
    """Mean distance of predicted and true frequency over bins of equal mass; nan without rows."""
    if len(y) == 0:
        return float("nan")
    return float(calibration_errors(np.asarray(y, dtype=np.float64)[None, :], p, bins)[0])


def calibration_errors(outcomes: Array, p: Array, bins: int = 10) -> Array:
    """The ECE of one prediction for each of several outcomes, shape (outcomes,).

    The bins are those of `equal_mass_bins`, and rows with equal predictions share their mean outcome as there.

    Parameters
    ----------
    outcomes : array of shape (outcomes, n)
        0 or 1; n is 1 or more.
    p : array of shape (n,)
        What was predicted, whichever outcome came.
    """
    order = np.argsort(p, kind="stable")
    predicted = p[order]
    tied = np.flatnonzero(np.r_[True, predicted[1:] != predicted[:-1]])
    sizes = np.diff(np.r_[tied, len(p)])
    true = np.repeat(np.add.reduceat(outcomes[:, order], tied, axis=1) / sizes, sizes, axis=1)
    starts = [part[0] for part in np.array_split(np.arange(len(p)), bins) if len(part)]
    return np.asarray(np.abs(np.add.reduceat(true - predicted, starts, axis=1)).sum(axis=1) / len(p))


def top_share(y: NDArray[Any], predicted: Array, share: float) -> float:
    """Share of the total of `y` among the `share` of rows predicted highest.

    nan where there is no such share: a total not above 0, or refunds (negative `y`) that put the part above the
    total or below 0.
    """
    total = float(np.sum(y))
    if total <= 0:
        return float("nan")
    top = np.argsort(-predicted, kind="stable")[: _top_count(y, share)]
    part = float(np.sum(tied_means(y, predicted)[top])) / total
    rounding = 1e-9
    return min(max(part, 0.0), 1.0) if -rounding <= part <= 1 + rounding else float("nan")


def _top_count(y: NDArray[Any], share: float) -> int:
    """Rows in the top `share`, rounded up; rounding first keeps 0.1 * 30 from being 4."""
    return ceil(round(share * len(y), 9))


def churn_metrics(y: NDArray[Any], p: Array, offer: Offer | None = None) -> dict[str, float]:
    """Ranking and calibration of churn probabilities.

    Parameters
    ----------
    y : array of shape (n,)
        0 or 1, or bool.
    p : array of shape (n,)
        Probability of churn, in (0, 1).
    offer : Offer, optional
        What a contact costs and wins. With it the result also has what `profit_metrics` gives.
    """
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    some, both = len(y) > 0, 0 < y.sum() < len(y)
    found = {
        "roc_auc": float(sk.roc_auc_score(y, p)) if both else np.nan,
        "pr_auc": float(sk.average_precision_score(y, p)) if both else np.nan,
        "log_loss": float(np.mean(log_losses(y, p))) if some else np.nan,
        "brier": float(np.mean((y - p) ** 2)) if some else np.nan,
        "ece": expected_calibration_error(y, p),
        "top_decile_lift": _lift(y, p),
    }
    return found if offer is None else found | profit_metrics(y, p, offer)


def _lift(y: Array, p: Array, share: float = 0.1) -> float:
    count = _top_count(y, share)
    return top_share(y, p, share) * len(y) / count if count else float("nan")


def profit_metrics(y: Array, p: Array, offer: Offer) -> dict[str, float]:
    """What a campaign earns per customer asked about, in the journey's currency, given who churned.

    `profit`: everyone whose contact was expected to earn is contacted, which is where lists are cut, so
    probabilities that are wrong cost money. `profit_best_cut`: the list in the same order, cut where it
    turned out to pay most; 0 is nobody. By the formula of lists with what happened in the place of the
    probability; who accepts stays a rate.
    """
    if len(y) == 0:
        return {"profit": np.nan, "profit_best_cut": np.nan}
    expected = contact_profit(p, offer.stake, offer.campaign)
    order = np.argsort(-expected, kind="stable")
    earned = tied_means(contact_profit(y, offer.stake, offer.campaign), expected)[order]
    sums = np.concatenate([[0.0], np.cumsum(earned)])
    return {
        "profit": float(sums[best_length(expected[order])]) / len(y),
        "profit_best_cut": float(sums.max()) / len(y),
    }


def next_stage_metrics(y: NDArray[Any], p: Array, classes: Sequence[str]) -> dict[str, float]:
    """Hits, balance over classes and calibration of class probabilities.

    Parameters
    ----------
    y : array of shape (n,)
        Index into `classes`.
    p : array of shape (n, len(classes))
        Probability of each class.
    classes : sequence of str
        Their names, in the columns' order.

    Notes
    -----
    `macro_f1` is the mean over the classes that occur or are predicted; `ece` is that of the
    likeliest class's probability.
    """
    names = ("accuracy", "top_2", "macro_f1", "log_loss", "ece")
    if len(y) == 0:
        return dict.fromkeys(names, float("nan"))
    labels, best = np.arange(len(classes)), np.argmax(p, axis=1)
    top_2 = sk.top_k_accuracy_score(y, p, k=2, labels=labels) if len(classes) > 2 else 1.0
    occurring = np.union1d(y, best)
    values = (
        sk.accuracy_score(y, best),
        top_2,
        sk.f1_score(y, best, labels=occurring, average="macro", zero_division=0.0),
        np.mean(log_losses(y, p)),
        expected_calibration_error(best == y, np.max(p, axis=1)),
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def cltv_metrics(y: Array, expected: Array, low: Array | None = None, high: Array | None = None) -> dict[str, float]:
    """Error, bias and ranking of expected values, and how their intervals hold.

    Parameters
    ----------
    y, expected : arrays of shape (n,)
        True and expected value over the horizon, in the journey's currency.
    low, high : arrays of shape (n,), optional
        The interval's ends; nan in `low`: an upper bound alone. With them the result also has what
        `interval_metrics` gives.

    Notes
    -----
    `bias` is the ratio of the totals less 1 (0.05: 5 % too much; nan where refunds exceed purchases). `gini` is
    normalised: 1 for the true order, 0 for none.
    """
    y, expected = np.asarray(y, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    some, total = len(y) > 0, float(np.sum(y))
    found = {
        "mae": float(sk.mean_absolute_error(y, expected)) if some else np.nan,
        "rmse": float(sk.root_mean_squared_error(y, expected)) if some else np.nan,
        "bias": float(np.sum(expected)) / total - 1 if total > 0 else np.nan,
        "spearman": _spearman(y, expected),
        "gini": normalised_gini(y, expected),
        "top_10_share": top_share(y, expected, 0.1),
        "top_20_share": top_share(y, expected, 0.2),
        "tweedie_deviance": float(np.mean(tweedie_deviances(y, expected))) if some else np.nan,
    }
    return found if low is None or high is None else found | interval_metrics(y, expected, low, high)


def _spearman(y: Array, expected: Array) -> float:
    if len(y) < 2 or np.ptp(y) == 0 or np.ptp(expected) == 0:
        return float("nan")
    return float(stats.spearmanr(y, expected).statistic)


def normalised_gini(y: Array, predicted: Array) -> float:
    """Gini index of `y` in the order of the prediction over that in its own order; nan if `y` is constant.

    A Gini index is the covariance with the rank up to a factor (Lerman and Yitzhaki 1984), which
    gives tied predictions their mean rank.
    """
    if len(y) < 2 or np.ptp(y) == 0:
        return float("nan")
    centred = y - np.mean(y)
    return float(np.dot(centred, stats.rankdata(predicted)) / np.dot(centred, stats.rankdata(y)))


def interval_metrics(y: Array, expected: Array, low: Array, high: Array) -> dict[str, float]:
    """Coverage of intervals, their mean width, and the coverage in each fifth of the expectation.

    A nan in `low` is an upper bound alone: everything below `high` is covered and the width counts
    from 0. `coverage_fifth_1` belongs to the lowest fifth.
    """
    covered = (np.isnan(low) | (y >= low)) & (y <= high)
    within, fifths = tied_means(covered, expected), np.array_split(np.argsort(expected, kind="stable"), 5)
    return {
        "coverage": _mean(covered),
        "mean_width": _mean(high - np.nan_to_num(low, nan=0.0)),
        **{f"coverage_fifth_{i}": _mean(within[part]) for i, part in enumerate(fifths, start=1)},
    }


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def finite(found: dict[str, float]) -> dict[str, float | None]:
    """The metrics as JSON, which has no nan: what cannot be told is null."""
    return {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
