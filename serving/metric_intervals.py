"""How sure the metrics of a run's predictions are, of customers who may stand for others.

ECE has none: whatever is drawn anew from what happened has more of it than what happened (in simulations of
calibrated predictions the bootstrap's interval held the true one in no case). What it would be if the probabilities
were right stands beside it, of `training.estimated`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import atanh, sqrt, tanh

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from serving.compared import Asked, effective_size, weighted_share
from serving.means import mean
from serving.proportions import SMALLEST_ARM, Estimate
from training.assess import losses
from training.two_samples import delong

Array = NDArray[np.float64]
_Z = 1.96
_DRAWS = 400


def intervals(name: str, found: Asked, reached: Mapping[str, float]) -> dict[str, Estimate]:
    """The 95 % intervals of a task's metrics, by the names that `training.metrics` gives them; empty: too few rows.

    `reached` are the metrics.
    """
    if len(found.rows) < SMALLEST_ARM:
        return {}
    weight, loss = found.weight, losses(name, found.labels, found.predicted)
    if name == "cltv":
        told = {"tweedie_deviance": _mean(loss, weight), "mae": _mean(np.abs(found.labels - found.predicted), weight)}
        return told | {"coverage": _coverage(found)} | _spearman(reached["spearman"], weight)
    told = {"log_loss": _mean(loss, weight)}
    if name == "next_stage":
        return told | {"accuracy": weighted_share(found.came * weight, weight, len(weight))}
    told["brier"] = _mean((found.labels - found.predicted) ** 2, weight)
    if 0 < found.labels.sum() < len(found.labels):
        told |= {"roc_auc": _roc_auc(found), "top_decile_lift": _lift(found)}
    return told


def _mean(loss: Array, weight: Array) -> Estimate:
    return mean(loss * weight, weight)


def _coverage(found: Asked) -> Estimate:
    within = covered(found)
    return weighted_share(within * found.weight, found.weight, len(within))


def covered(found: Asked) -> Array:
    """Which values lie within their intervals, 0 or 1; an interval without a lower end begins at nothing."""
    high = found.rows["cltv_high"].fill_null(np.inf).to_numpy()
    low = found.rows["cltv_low"].fill_null(-np.inf).to_numpy()
    return ((found.came >= low) & (found.came <= high)).astype(np.float64)


def _roc_auc(found: Asked) -> Estimate:
    """On the scale of log-odds, where the interval stays within 0 and 1."""
    left, weight = found.labels == 1, found.weight
    area, variance = delong(found.said[left], found.said[~left], weight[left], weight[~left])
    if not 0 < area < 1:
        return Estimate(area, area, area)
    reach = _Z * sqrt(variance) / (area * (1 - area))
    return Estimate(area, float(expit(logit(area) - reach)), float(expit(logit(area) + reach)))


def _lift(found: Asked, share: float = 0.1) -> Estimate:
    """By the bootstrap's percentiles; whoever stands at the edge of the top tenth is in it in part."""
    order = np.argsort(-found.said, kind="stable")
    labels, weight = found.labels[order], found.weight[order]
    rng, rows = np.random.default_rng(len(order)), len(order)
    told = []
    for _ in range(_DRAWS):
        drawn = np.bincount(rng.integers(0, rows, rows), minlength=rows) * weight
        until = np.cumsum(drawn)
        top = np.diff(np.minimum(until, share * until[-1]), prepend=0.0)
        if rate := float(drawn @ labels) / until[-1]:
            told.append(float(top @ labels) / (share * until[-1]) / rate)
    middle, low, high = np.quantile(told, [0.5, 0.025, 0.975])
    return Estimate(float(middle), float(low), float(high))


def _spearman(told: float, weight: Array) -> dict[str, Estimate]:
    """Of as many customers as the weights are worth (D. G. Bonett, T. A. Wright, 2000, Psychometrika 65:23-28)."""
    worth = effective_size(weight)
    if worth <= SMALLEST_ARM or not abs(told) < 1:
        return {}
    reach = _Z * sqrt((1 + told**2 / 2) / (worth - 3))
    return {"spearman": Estimate(told, tanh(atanh(told) - reach), tanh(atanh(told) + reach))}
