"""Means of amounts with their intervals: amounts are skewed, most customers spend nothing and a few a lot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.proportions import COVERAGE, RESAMPLES, Estimate

Array = NDArray[np.float64]
CLT = 5_000  # customers from which the normal approximation serves as well
_DRAWS_AT_ONCE = 2_000_000  # bounds the memory of the resampling


def mean(totals: NDArray[Any], sizes: NDArray[Any] | None = None) -> Estimate:
    """The mean of amounts with its 95 % interval, customers being drawn and not their rows.

    The bootstrap-t (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993, 12.5): each draw's distance
    from the mean is counted in the draw's own standard errors, which puts the interval where a skewed sample has
    it; the percentile interval is too short above.

    Parameters
    ----------
    totals : array of shape (customers,)
        The sum of each customer's amounts.
    sizes : array of shape (customers,), optional
        How many amounts each has; default: one.
    """
    totals = totals.astype(np.float64)
    sizes = np.ones(len(totals)) if sizes is None else sizes.astype(np.float64)
    middle, error = with_error(totals, sizes)
    if error == 0.0:
        return Estimate(middle, middle, middle)
    if len(totals) >= CLT:
        return Estimate(middle, middle - 1.96 * error, middle + 1.96 * error)
    rng, away = np.random.default_rng(len(totals)), []
    at_once = max(1, _DRAWS_AT_ONCE // len(totals))
    for start in range(0, RESAMPLES, at_once):
        drawn = rng.integers(0, len(totals), (min(at_once, RESAMPLES - start), len(totals)))
        means, errors = _told(totals[drawn], sizes[drawn])
        # A draw without spread stands as far away as a mean can be told to.
        away.append((means - middle) / np.maximum(errors, 1e-9 * error))
    low, high = np.quantile(np.concatenate(away), [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(middle, middle - float(high) * error, middle - float(low) * error)


def with_error(totals: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """The mean of amounts and its standard error, where those of one customer are alike: the sandwich estimator."""
    means, errors = _told(totals[None].astype(np.float64), sizes[None].astype(np.float64))
    return float(means[0]), float(errors[0])


def _told(totals: Array, sizes: Array) -> tuple[Array, Array]:
    """Per row the ratio of the sums and its standard error, by the sandwich estimator."""
    rows, customers = sizes.sum(axis=1), totals.shape[1]
    means = totals.sum(axis=1) / rows
    residual = totals - means[:, None] * sizes
    return means, np.sqrt((residual**2).sum(axis=1) * customers / max(customers - 1, 1)) / rows
