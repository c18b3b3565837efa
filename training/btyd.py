"""Buy-till-you-die models: how often a customer will still buy, and for how much.

BG/NBD (Fader, Hardie and Lee 2005, "Counting Your Customers the Easy Way", Marketing Science 24)
and the gamma-gamma model of spend (Fader and Hardie 2013, "The Gamma-Gamma Model of Monetary
Value"). They stand here because `lifetimes` has been archived since 2020, `btyd` since 2022, and
`pymc-marketing` brings PyMC and a sampler for what are four and three numbers.

Per customer: `frequency`, purchase days after the first; `recency`, days from the first purchase
to the last (0 if there is one only); `age`, days from the first purchase to the cutoff. Any one
unit of time serves, days throughout this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaincinv, betaln, expit, gammaln

Array = NDArray[np.float64]

PENALTY = 0.01  # per squared log of a parameter: a normal prior with deviation 7, felt only where rows say nothing
_LOG_BOUND = 12.0  # parameters lie within e^-12 and e^12, where the likelihood is still exact
_FEW = 8  # distinct frequencies whose chances are looked up: a request asks for one customer
_ROWS_AT_ONCE = 4096  # bounds the memory of the quadrature: a row has a hundred nodes
_SMALLEST = 1e-300  # a chance to leave read as no less, so that it divides; its limit is exact by then


def _tanh_sinh(step: float = 0.0625, ends: float = 3.0) -> tuple[Array, Array]:
    """Nodes and weights of the tanh-sinh rule on (0, 1), whose ends may be singular (Takahasi and Mori 1974)."""
    v = np.arange(-ends, ends + step / 2, step)
    q = expit(np.pi * np.sinh(v))
    return q, step * np.pi * np.cosh(v) * q * (1 - q)


_UNIT_INTERVAL = _tanh_sinh()


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted BG/NBD model: purchase rates are gamma(r, alpha), chances to leave after each beta(a, b).

    `alpha` is in days; the others have no unit.
    """

    r: float
    alpha: float
    a: float
    b: float

    def p_alive(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Array:
        """Probability that a customer still buys at all, in [0, 1]; 1 before the first repeat."""
        x, t_x, t = _arrays(frequency, recency, age)
        log_odds = np.log(self.b + np.maximum(x, 1) - 1) - np.log(self.a)
        log_odds = log_odds + (self.r + x) * (np.log(self.alpha + t_x) - np.log(self.alpha + t))
        return np.asarray(np.where(x > 0, expit(log_odds), 1.0))

    def expected_purchases(
        self, horizon_days: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Array:
        """Purchase days expected within `horizon_days` after the cutoff.

        Equation 10 of the paper, whose hypergeometric function overflows for frequent customers and
        has poles at a = 1, by the integral it stands for: over the chance p to leave, beta(a, b + x)
        given the history, of (1 - (1 + p h / (alpha + age))^-(r + x)) / p, for customers still alive.
        """
        x, t_x, t = (np.atleast_1d(column) for column in _arrays(frequency, recency, age))
        distinct, row = np.unique(x, return_inverse=True)
        weights = _UNIT_INTERVAL[1]
        leaving = _leaving(self.a, self.b, distinct)
        expected = np.empty(x.shape)
        for start in range(0, x.size, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            chance = leaving[row[part]]
            rate = np.log1p(chance * (horizon_days / (self.alpha + t[part, None])))
            expected[part] = (-np.expm1(-(self.r + x[part, None]) * rate) / chance) @ weights
        return np.asarray(expected * self.p_alive(x, t_x, t)).reshape(np.shape(_arrays(frequency, recency, age)[0]))


def _leaving(a: float, b: float, frequencies: Array) -> Array:
    """The chances to leave at the nodes of `_UNIT_INTERVAL`, shape (frequencies, nodes); those of few are kept."""
    if len(frequencies) <= _FEW:
        return np.array([_leaving_once(a, b, x) for x in frequencies.tolist()])
    found: Array = np.maximum(betaincinv(a, b + frequencies[:, None], _UNIT_INTERVAL[0]), _SMALLEST)
    return found


@lru_cache(maxsize=4096)
def _leaving_once(a: float, b: float, frequency: float) -> Array:
    found: Array = np.maximum(betaincinv(a, b + frequency, _UNIT_INTERVAL[0]), _SMALLEST)
    return found


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted gamma-gamma model of the mean value of a purchase; `gamma` is in the journey's currency."""

    p: float
    q: float
    gamma: float

    def expected_value(self, frequency: ArrayLike, mean_value: ArrayLike) -> Array:
        """Mean value expected of a customer's next purchases.

        Between the mean of all customers and the customer's own mean over `frequency` purchases;
        with a frequency of 0, or an unknown (nan) or non-positive mean, that of all.
        """
        x, mean = _arrays(frequency, mean_value)
        x = np.where(mean > 0, x, 0.0)  # false for nan too
        total = np.where(x > 0, x * mean, 0.0)
        return np.asarray(self.p * (self.gamma + total) / (self.p * x + self.q - 1))


def _arrays(*values: ArrayLike) -> tuple[Array, ...]:
    return tuple(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))


def fit_bg_nbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> BgNbd:
    """Fit BG/NBD by maximum likelihood with the weak penalty `PENALTY`.

    Parameters
    ----------
    frequency, recency, age : arrays of shape (n,)
        One row per customer, as the module says; `0 <= recency <= age`, and above 0 after a repeat.

    Raises
    ------
    ValueError
        Without rows, or where a recency is impossible.
    """
    x, t_x, t = _arrays(frequency, recency, age)
    if not len(x) or not np.all((x >= 0) & (t_x <= t) & np.where(x > 0, t_x > 0, t_x >= 0)):
        raise ValueError("BG/NBD needs rows, each with frequency >= 0, 0 <= recency <= age, above 0 after a repeat")
    # Few distinct histories stand for many customers; time in units of its mean puts the optimum near 1.
    unit = float(np.mean(t)) or 1.0
    histories, counts = np.unique(np.column_stack([x, t_x / unit, t / unit]), axis=0, return_counts=True)
    r, alpha, a, b = _most_likely(lambda theta: np.dot(counts, log_likelihood(*theta, *histories.T)), 4)
    return BgNbd(r, alpha * unit, a, b)


def log_likelihood(r: float, alpha: float, a: float, b: float, x: Array, t_x: Array, t: Array) -> Array:
    """Log-likelihood of each history under BG/NBD (equation 6 of the paper)."""
    purchases = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    stayed = -(r + x) * np.log(alpha + t)
    left = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
    return np.asarray(purchases + np.where(x > 0, np.logaddexp(stayed, left), stayed))


def fit_gamma_gamma(frequency: ArrayLike, mean_value: ArrayLike) -> GammaGamma:
    """Fit the gamma-gamma model by maximum likelihood with the weak penalty `PENALTY`.

    Parameters
    ----------
    frequency : array of shape (n,)
        Number of purchases that the mean is taken over.
    mean_value : array of shape (n,)
        Their mean value. Rows with none, or without a positive mean (nan, refunds), are left out.

    Raises
    ------
    ValueError
        Where no row is left.

    Notes
    -----
    `q` is kept above 1, without which customers have no mean value.
    """
    x, mean = _arrays(frequency, mean_value)
    kept = (x > 0) & (mean > 0)
    if not kept.any():
        raise ValueError("the gamma-gamma model needs customers with a purchase of positive value")
    x, unit = x[kept], float(np.mean(mean[kept]))
    m = mean[kept] / unit

    def likelihood(theta: Array) -> float:
        p, q, gamma = theta[0], 1 + theta[1], theta[2]
        logs = -betaln(p * x, q) - np.log(m) + q * np.log(gamma) + p * x * np.log(x * m)
        return float(np.sum(logs - (p * x + q) * np.log(gamma + x * m)))

    p, surplus, gamma = _most_likely(likelihood, 3)
    return GammaGamma(p, 1 + surplus, gamma * unit)


def _most_likely(likelihood: Callable[[Array], float], count: int) -> list[float]:
    """The positive parameters that maximise a log-likelihood less the penalty."""

    def loss(logs: Array) -> float:
        return PENALTY * float(np.sum(logs**2)) - float(likelihood(np.exp(logs)))

    # The loss grows with the rows; a start-sized unit keeps the stopping rule the same for any number.
    start = np.zeros(count)
    size = max(1.0, abs(loss(start)))
    found = minimize(
        lambda logs: loss(logs) / size,
        start,
        method="L-BFGS-B",
        jac="3-point",
        bounds=[(-_LOG_BOUND, _LOG_BOUND)] * count,
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500},
    )
    return [float(value) for value in np.exp(found.x)]
