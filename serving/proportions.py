"""Two groups compared: shares with their intervals, the difference that can be told, amounts by bootstrap."""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.95
POWER = 0.8
SMALLEST_ARM = 10  # fewer customers than this tell nothing, whatever an interval says
RESAMPLES = 1_000
_Z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
_Z_POWER = NormalDist().inv_cdf(POWER)
_DRAWS_AT_ONCE = 5_000_000  # bounds the memory of the bootstrap


class Estimate(NamedTuple):
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: float, size: float) -> Estimate:
    """A share with Wilson's interval (E. B. Wilson, 1927, JASA 22:209-212)."""
    found, spread = hits / size, _Z**2 / size
    middle = found + spread / 2
    reach = _Z * sqrt(found * (1 - found) / size + spread / (4 * size))
    return Estimate(found, max((middle - reach) / (1 + spread), 0.0), min((middle + reach) / (1 + spread), 1.0))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one` minus `other` with Newcombe's interval.

    Method 10 of R. G. Newcombe, 1998, Statistics in Medicine 17:873-890. It is made of Wilson's
    intervals of the two and keeps its coverage in small groups and at rare events.
    """
    value = one.value - other.value
    down = sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    up = sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return Estimate(value, max(value - down, -1.0), min(value + up, 1.0))


def detectable(rate: float, other_rate: float, size: int, other_size: int) -> float:
    """The least difference of two shares that is told with 80 % power at the 5 % level (two-sided).

    `(z(0.975) + z(0.8)) sqrt(r (1 - r) / m + r' (1 - r') / n)`, the usual normal approximation; 1 where
    a group is empty. Rates of 0 and 1 count as half a customer away from them: no group is so sure.
    """
    if not (size and other_size):
        return 1.0
    return min((_Z + _Z_POWER) * sqrt(_variance(rate, size) / size + _variance(other_rate, other_size) / other_size), 1)


def share_needed(rate: float, other_rate: float, size: int) -> float | None:
    """The least share of `size` to hold out for `detectable` to reach the difference of two rates.

    Solves `r (1 - r) / (h N) + r' (1 - r') / ((1 - h) N) = ((r - r') / (z(0.975) + z(0.8)))^2` for `h`, no
    less than what the smallest arm needs. A draw may turn out smaller than its share: three standard
    deviations are added. Rounded up to 0.1 %.

    Parameters
    ----------
    rate, other_rate
        Of those held out, and of the others.

    Returns
    -------
    float or None
        Null: not even half does.
    """
    if not (size and rate > other_rate):
        return None
    held, others = _variance(rate, size), _variance(other_rate, size)
    wanted = size * ((rate - other_rate) / (_Z + _Z_POWER)) ** 2
    half = (wanted + held - others) / 2
    root = half**2 - wanted * held
    if root < 0 or half < 0:
        return None
    least = max((half - sqrt(root)) / wanted, SMALLEST_ARM / size)
    if least > 0.5:
        return None
    safe = ceil(1000 * (least + 3 * sqrt(least * (1 - least) / size))) / 1000
    return safe if safe <= 0.5 else None


def _variance(rate: float, size: int) -> float:
    near = min(max(rate, 0.5 / size), 1 - 0.5 / size)
    return near * (1 - near)


def mean_difference(one: NDArray[np.float64], other: NDArray[np.float64], seed: int) -> Estimate:
    """Mean of `one` minus mean of `other`, with the percentile interval of 1,000 resamples within each group."""
    rng = np.random.default_rng(seed)
    drawn = _means(one, rng) - _means(other, rng)
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(float(one.mean() - other.mean()), float(low), float(high))


def _means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    at_once = max(1, _DRAWS_AT_ONCE // len(values))
    counts = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    return np.concatenate([values[rng.integers(0, len(values), (n, len(values)))].mean(axis=1) for n in counts])
