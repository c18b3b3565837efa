"""Intervals of stated coverage around expected values, by conformal prediction.

Fitted with `crepes` (a Mondrian conformal predictive system, Boström et al. 2021) on rows the
model was not fitted on; what is kept are a few numbers, so that serving needs no `crepes`.

The difficulty of a customer is the expected value itself: intervals are multiples of it, fitted
anew in each fifth of the expectation. Where so many customers of a fifth spend nothing that its
lower end is 0, no value can miss that end and a two-sided interval would cover too much: there the
interval is an upper bound alone, at the whole stated coverage. Where more customers spend nothing
than the coverage asks for, any interval covers more than stated.

Coverage holds for rows like those of the fit. No guarantee exists when the world shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import InputError
from training.metrics import VALUE_FLOOR

Array = NDArray[np.float64]

BINS = 5
MIN_ROWS_PER_BIN = 50  # with fewer, chance alone moves a bin's coverage by more than 6 points


@dataclass(frozen=True, slots=True)
class Intervals:
    """Bins of the expected value and the ends of each bin's interval, as multiples of the expectation.

    Attributes
    ----------
    coverage : float
        Share of customers whose value the interval holds, in (0, 1).
    edges : tuple of float
        Inner edges of the bins, growing; an expected value at an edge belongs to the bin above.
    lower, upper : tuple of float
        Per bin the conformal quantiles of value / expected; None in lower: an upper bound alone.
    """

    coverage: float
    edges: tuple[float, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < self.coverage < 1 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"coverage {self.coverage}, edges {self.edges}: in (0, 1), and growing")
        if not len(self.lower) == len(self.upper) == len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins; each has a lower and an upper")

    def interval(self, expected: ArrayLike) -> tuple[Array, Array]:
        """Low and high, of the shape of `expected`; nan in low: an upper bound alone.

        Always `0 <= low <= expected <= high`: the expectation itself is never outside.
        """
        value = np.maximum(np.asarray(expected, dtype=np.float64), 0.0)
        bins, share = np.searchsorted(self.edges, value, side="right"), np.maximum(value, VALUE_FLOOR)
        lower, upper = np.array(self.lower, dtype=np.float64)[bins], np.array(self.upper, dtype=np.float64)[bins]
        return np.minimum(share * lower, value), np.maximum(share * upper, value)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read_intervals` makes the same value of it."""
        ends = {"edges": list(self.edges), "lower": list(self.lower), "upper": list(self.upper)}
        return {"kind": "relative", "coverage": self.coverage, **ends}


def read_intervals(written: dict[str, Any]) -> Intervals:
    """The intervals that `Intervals.to_json` wrote.

    Raises
    ------
    ValueError
        Where the object is none that it writes.
    """
    match written:
        case {"kind": "relative", "coverage": coverage, "edges": [*edges], "lower": [*lower], "upper": [*upper]}:
            return Intervals(
                float(coverage),
                tuple(float(edge) for edge in edges),
                tuple(None if end is None else float(end) for end in lower),
                tuple(float(end) for end in upper),
            )
    raise ValueError(f"{written!r} is not a table of intervals")


def fit_intervals(y: ArrayLike, expected: ArrayLike, coverage: float = 0.8, bins: int = BINS) -> Intervals:
    """Fit intervals on calibration rows.

    Parameters
    ----------
    y, expected : arrays of shape (n,)
        True and expected value of rows the model was not fitted on.
    coverage : float
        Stated coverage, in (0, 1).
    bins : int
        Bins of equal mass over the expectation. Fewer are made where a bin would have fewer than
        `MIN_ROWS_PER_BIN` rows, or where expectations are tied.

    Raises
    ------
    InputError
        With fewer rows than the coverage can be read from: 2 / (1 - coverage).
    """
    y, expected = np.asarray(y, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    needed = ceil(2 / (1 - coverage)) + 1
    if len(y) < needed:
        raise InputError(
            "calibration rows",
            f"{len(y)} rows for intervals of {coverage:.0%} coverage",
            accepted=f"at least {needed} rows",
            do="give more history or more customers, or a lower coverage",
        )
    edges = _edges(expected, bins, max(MIN_ROWS_PER_BIN, needed))
    group = np.searchsorted(edges, expected, side="right")
    tail = (1 - coverage) / 2
    lower, upper, whole = _multiples(y, np.maximum(expected, VALUE_FLOOR), group, [tail, 1 - tail, coverage])
    return Intervals(
        coverage,
        tuple(edges),
        tuple(float(end) if end > 0 else None for end in lower),
        tuple(float(end) for end in np.where(lower > 0, upper, whole)),
    )


def _edges(expected: Array, bins: int, least: int) -> list[float]:
    """Inner edges between bins of equal mass, with at least `least` rows in each."""
    count = max(1, min(bins, len(expected) // least))
    ordered, edges, start = np.sort(expected), [], 0
    for edge in np.quantile(ordered, np.arange(1, count) / count):
        stop = int(np.searchsorted(ordered, edge, side="left"))
        if min(stop - start, len(ordered) - stop) >= least:
            edges.append(float(edge))
            start = stop
    return edges


def _multiples(y: Array, share: Array, group: NDArray[np.intp], levels: list[float]) -> Array:
    """Conformal quantiles of y / share, shape (levels, bins): the first level a lower end, the others upper ends."""
    from crepes import ConformalPredictiveSystem

    bins = np.unique(group)
    system = ConformalPredictiveSystem().fit(y, sigmas=share, bins=group)
    found = system.predict_percentiles(
        np.zeros(len(bins)),
        sigmas=np.ones(len(bins)),
        bins=bins,
        lower_percentiles=[100 * levels[0]],
        higher_percentiles=[100 * level for level in levels[1:]],
    )
    return np.asarray(found, dtype=np.float64).T
