"""How well predictions will come true, before anything happened: told from the probabilities themselves.

Confidence-based performance estimation, as NannyML documents it: a calibrated probability says how
often it comes true, so every metric of the confusion between prediction and outcome has an expectation
that needs no outcome. It holds on these conditions, `CONDITIONS`; where the relation between vectors
and outcomes itself changed, it is wrong without a sign, and only outcomes tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from training.metrics import PROBABILITY_FLOOR, calibration_errors

Array = NDArray[np.float64]
CONDITIONS = (
    "the probabilities are calibrated; what a vector says of the future is as it was in training (customers may "
    "shift, their behaviour may not); nobody is contacted because of the prediction"
)
DRAWS = 200
_AT_ONCE = 20  # draws whose ECE is found together: bounds the memory


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a metric will be: its expectation and the 95 % interval in which what happens will put it."""

    value: float
    low: float
    high: float


def estimated(task: str, predicted: Array, seed: int = 0, rows: NDArray[np.intp] | None = None) -> dict[str, Estimated]:
    """The metrics to expect of predictions whose outcomes are open; empty: the task has no probabilities (CLTV).

    Outcomes are drawn from the probabilities, and of each draw the metrics are computed as they will be
    of what happens: the interval holds what chance alone leaves open. That of ECE is what is left of it where the
    probabilities are right: never nothing, and the more the fewer customers there are.

    Parameters
    ----------
    predicted : array of shape (n,) or (n, classes)
        Calibrated probabilities of churn, or of each stage.
    rows
        The rows that the metrics will be of, some of them several times, where one customer stands for others; default:
        each once.
    """
    if task == "cltv" or len(predicted) < 2:
        return {}
    rng = np.random.default_rng(seed)
    rows = np.arange(len(predicted)) if rows is None else rows
    found = _churn(rng, predicted, rows) if task == "churn" else _stages(rng, predicted, rows)
    return {name: _summary(values) for name, values in found.items() if np.isfinite(values).any()}


def _summary(values: Array) -> Estimated:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Estimated(float(np.nanmean(values)), float(low), float(high))


def _churn(rng: np.random.Generator, chances: Array, rows: NDArray[np.intp]) -> dict[str, Array]:
    """Per draw the metrics of churn, as `training.metrics` defines them but for ties in the top tenth."""
    labels = (rng.random((DRAWS, len(chances)), dtype=np.float32) < chances).astype(np.float64)[:, rows]
    chances = chances[rows]
    positives, size = labels.sum(axis=1), len(chances)
    top = np.zeros(size)
    top[np.argsort(-chances, kind="stable")[: ceil(0.1 * size)]] = 1.0
    p = np.clip(chances, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = positives * (size - positives)
        ranked = labels @ rankdata(chances) - positives * (positives + 1) / 2
        return {
            "churn_rate": positives / size,
            "roc_auc": np.where(pairs > 0, ranked / pairs, np.nan),
            "log_loss": (labels @ np.log((1 - p) / p) - np.log(1 - p).sum()) / size,
            "brier": (labels @ (1 - 2 * chances) + (chances**2).sum()) / size,
            "ece": _calibration_errors(labels, chances),
            "top_decile_lift": (labels @ top) / top.sum() / (positives / size),
        }


def _stages(rng: np.random.Generator, chances: Array, rows: NDArray[np.intp]) -> dict[str, Array]:
    """Per draw the metrics of the next stage."""
    edges, likeliest = np.cumsum(chances, axis=1), np.argmax(chances, axis=1)
    losses = -np.log(np.maximum(chances, PROBABILITY_FLOOR))
    hits, lost = np.empty((DRAWS, len(rows)), dtype=np.bool_), np.empty(DRAWS)
    for draw in range(DRAWS):
        place = (rng.random(len(chances))[:, None] * edges[:, -1:] >= edges[:, :-1]).sum(axis=1)
        hits[draw] = (place == likeliest)[rows]
        lost[draw] = losses[rows, place[rows]].mean()
    return {
        "accuracy": hits.mean(axis=1),
        "log_loss": lost,
        "ece": _calibration_errors(hits, chances[rows].max(axis=1)),
    }


def _calibration_errors(draws: NDArray[np.bool_] | Array, p: Array) -> Array:
    """The ECE of each draw."""
    parts = np.array_split(draws, range(_AT_ONCE, len(draws), _AT_ONCE))
    return np.concatenate([calibration_errors(part.astype(np.float64), p) for part in parts])
