"""Calibrators: a model's margins to probabilities that mean what they say.

Frozen values of a few numbers, written to and read from JSON. They are strictly increasing and
never reach 0 or 1, so no score is a certainty and no order is lost. Isotonic regression is left
out on purpose: judged on the rows it was fitted on it always wins.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, softmax

Array = NDArray[np.float64]

MIN_SLOPE = 0.01  # where higher margins meet lower frequencies: nearly flat, still increasing
MAX_TEMPERATURE = 20.0  # and its inverse is the lowest
_LOWEST, _HIGHEST = float(np.finfo(np.float64).tiny), 1 - float(np.finfo(np.float64).epsneg)


@dataclass(frozen=True, slots=True)
class PlattCalibrator:
    """Probability of one class from one margin: `expit(slope * margin + intercept)`.

    Strictly increasing as far as 64-bit floats can tell: calibrated log-odds within -700 and 30
    that differ by 0.01 or more always give different probabilities. Beyond, the probability stops
    next to 0 and 1.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (0 < self.slope < np.inf and np.isfinite(self.intercept)):
            raise ValueError(f"slope {self.slope}, intercept {self.intercept}: the slope must be positive, both finite")

    def log_odds(self, margin: ArrayLike) -> Array:
        """The calibrated log-odds."""
        return np.asarray(self.slope * np.asarray(margin, dtype=np.float64) + self.intercept)

    def probability(self, margin: ArrayLike) -> Array:
        """The calibrated probability, of the margin's shape, in (0, 1)."""
        return np.asarray(np.clip(expit(self.log_odds(margin)), _LOWEST, _HIGHEST))

    def derivative(self, margin: ArrayLike) -> Array:
        """Change of the probability per unit of margin."""
        log_odds = self.log_odds(margin)
        return np.asarray(self.slope * expit(log_odds) * expit(-log_odds))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read_calibrator` makes the same value of it."""
        return {"kind": "platt", **asdict(self)}


@dataclass(frozen=True, slots=True)
class VectorCalibrator:
    """Probabilities of K classes from K margins: `softmax(margins / temperature + biases)`."""

    temperature: float
    biases: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (0 < self.temperature < np.inf and len(self.biases) > 1 and np.all(np.isfinite(self.biases))):
            raise ValueError(
                f"temperature {self.temperature}, biases {self.biases}: positive, and one number per class"
            )

    def probabilities(self, margins: ArrayLike) -> Array:
        """Probabilities of shape (..., K) from margins of that shape: each in (0, 1), each row's sum 1."""
        scaled = np.asarray(margins, dtype=np.float64) / self.temperature + np.asarray(self.biases)
        return np.asarray(np.clip(softmax(scaled, axis=-1), _LOWEST, _HIGHEST))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read_calibrator` makes the same value of it."""
        return {"kind": "vector", "temperature": self.temperature, "biases": list(self.biases)}


def read_calibrator(written: dict[str, Any]) -> PlattCalibrator | VectorCalibrator:
    """The calibrator that `to_json` wrote.

    Raises
    ------
    ValueError
        Where the object is none that a calibrator writes.
    """
    match written:
        case {"kind": "platt", "slope": slope, "intercept": intercept}:
            return PlattCalibrator(float(slope), float(intercept))
        case {"kind": "vector", "temperature": temperature, "biases": [*biases]}:
            return VectorCalibrator(float(temperature), tuple(float(bias) for bias in biases))
    raise ValueError(f"{written!r} is not a calibrator; accepted kinds: platt, vector")


def fit_platt(margins: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> PlattCalibrator:
    """Fit by logistic regression of `y` on the margin, with Platt's targets.

    Parameters
    ----------
    margins, y : arrays of shape (n,)
        Margins of rows the model was not fitted on, and what came true (0 or 1).
    weights : array of shape (n,), optional
        Weights of the rows; only their ratios count.

    Notes
    -----
    Platt (1999) reads a positive as (N+ + 1) / (N+ + 2) and a negative as 1 / (N- + 2), which keeps
    the slope finite where margins separate the classes. With one class or one margin only there is
    nothing to learn a slope from: it stays 1. Where higher margins meet lower frequencies the slope
    is `MIN_SLOPE`. In both cases the intercept makes the mean probability that of the targets.
    """
    m, w = np.asarray(margins, dtype=np.float64), _weights(weights, len(np.asarray(margins)))
    positive = np.asarray(y, dtype=bool)
    count, ones = float(w.sum()), float(w[positive].sum())
    targets = np.where(positive, (ones + 1) / (ones + 2), 1 / (count - ones + 2))
    if not 0 < ones < count or np.ptp(m) == 0:
        return PlattCalibrator(1.0, _intercept(1.0, m, targets, w))
    slope, intercept = _logistic(m, targets, w)
    if slope < MIN_SLOPE:
        return PlattCalibrator(MIN_SLOPE, _intercept(MIN_SLOPE, m, targets, w))
    return PlattCalibrator(slope, intercept)


def _weights(weights: ArrayLike | None, rows: int) -> Array:
    """Weights with mean 1, so that their scale does not decide how much the rows say."""
    if rows == 0:
        raise ValueError("no rows to calibrate on")
    found = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    return np.asarray(found / found.mean())


def _logistic(margins: Array, targets: Array, weights: Array) -> tuple[float, float]:
    """Slope and intercept; a target between 0 and 1 is a row of each class, weighted."""
    from sklearn.linear_model import LogisticRegression

    rows = len(margins)
    model = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    spread = float(np.std(margins))  # standardised, so that the tiny ridge means the same for any margins
    model.fit(
        np.tile(margins / spread, 2)[:, None],
        np.repeat([1, 0], rows),
        sample_weight=np.concatenate([weights * targets, weights * (1 - targets)]),
    )
    return float(model.coef_[0, 0]) / spread, float(model.intercept_[0])


def _intercept(slope: float, margins: Array, targets: Array, weights: Array) -> float:
    """The intercept at which the mean probability is the mean target."""
    from scipy.optimize import brentq

    mean = float(np.average(targets, weights=weights))
    ends = logit(mean) - slope * np.array([margins.max(), margins.min()])

    def distance(intercept: float) -> float:
        return float(np.average(expit(slope * margins + intercept), weights=weights)) - mean

    return float(brentq(distance, ends[0] - 1, ends[1] + 1, xtol=1e-12))


def fit_vector(margins: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> VectorCalibrator:
    """Fit temperature and biases by log loss with a weak pull to the identity.

    Parameters
    ----------
    margins : array of shape (n, K)
        Margins of rows the model was not fitted on.
    y : array of shape (n,)
        Index of the class that came true.
    weights : array of shape (n,), optional
        Weights of the rows; only their ratios count.

    Notes
    -----
    The pull is a standard normal prior on every bias and on the temperature's logarithm. It decides
    only where rows are few: a class that no row has gets a lower probability, not 0. Biases sum to 0.
    """
    z = np.asarray(margins, dtype=np.float64)
    w, classes = _weights(weights, len(z)), z.shape[1]
    came_true = np.eye(classes)[np.asarray(y, dtype=np.intp)]

    def loss(parameters: Array) -> tuple[float, Array]:
        scaled = z * np.exp(-parameters[0])
        logs = log_softmax(scaled + parameters[1:], axis=1)
        surplus = w[:, None] * (np.exp(logs) - came_true)
        slopes = np.concatenate([[-np.sum(surplus * scaled)], surplus.sum(axis=0)]) + parameters
        value = -np.sum(w[:, None] * came_true * logs) + 0.5 * np.sum(parameters**2)
        return float(value) / len(z), slopes / len(z)

    bounds = [(-np.log(MAX_TEMPERATURE), np.log(MAX_TEMPERATURE))] + [(None, None)] * classes
    options = {"gtol": 1e-10, "ftol": 1e-15, "maxiter": 1000}
    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    biases = found[1:] - found[1:].mean()
    return VectorCalibrator(float(np.exp(found[0])), tuple(float(bias) for bias in biases))
