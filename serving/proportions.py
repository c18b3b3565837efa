"""Two groups compared: shares with their intervals, the difference that can be told, amounts by bootstrap."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.95
POWER = 0.8
RESAMPLES = 1_000
_Z = NormalDist().inv_cdf((1 + COVERAGE) / 2)
_Z_POWER = NormalDist().inv_cdf(POWER)
_DRAWS_AT_ONCE = 5_000_000  # bounds the memory of the bootstrap


class Estimate(NamedTuple):
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: int, size: int) -> Estimate:
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


def detectable(rate: float, size: int, other_size: int) -> float:
    """The least difference of two shares that is told with 80 % power at the 5 % level (two-sided).

    `(z(0.975) + z(0.8)) sqrt(rate (1 - rate) (1 / n + 1 / m))`, the usual normal approximation; 1
    where a group is empty.
    """
    if not (size and other_size):
        return 1.0
    return min((_Z + _Z_POWER) * sqrt(rate * (1 - rate) * (1 / size + 1 / other_size)), 1.0)


def share_needed(rate: float, size: int, wanted: float) -> float | None:
    """The least share of `size` to hold out for `detectable` to reach `wanted`; null: not even half does.

    Solves `size h (1 - h) = (z(0.975) + z(0.8))^2 rate (1 - rate) / wanted^2` for h.
    """
    if not (size and wanted > 0):
        return None
    product = (_Z + _Z_POWER) ** 2 * rate * (1 - rate) / (wanted**2 * size)
    return (1 - sqrt(1 - 4 * product)) / 2 if product <= 0.25 else None


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
