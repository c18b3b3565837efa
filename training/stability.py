"""The population stability index (PSI): how far one sample's distribution lies from another's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 10


def psi(values: Array, reference: Array, bins: int = BINS) -> float:
    """The PSI of values against a reference: `sum (p - q) log(p / q)` over its tenths; see `psi_of`."""
    if not (len(values) and len(reference)):
        return 0.0
    edges = tenths(reference, bins)
    return psi_of(*(np.bincount(bin_of(part, edges), minlength=len(edges) + 2) for part in (values, reference)))


def tenths(values: Array, bins: int = BINS) -> Array:
    """The inner edges of bins that hold equally many of the known values; ties fall into one bin."""
    known = values[~np.isnan(values)]
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)


def bin_of(values: Array, edges: Array) -> NDArray[np.intp]:
    """Each value's bin; unknown values have one of their own, the last."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def psi_of(counts: NDArray[np.integer], reference: NDArray[np.integer]) -> float:
    """The PSI of two samples counted by bin.

    What chance alone gives for so many values is taken off: `(bins - 1) (1 / n + 1 / m)` in the mean.
    """
    n, m = int(counts.sum()), int(reference.sum())
    if not (n and m):
        return 0.0
    used = int(((counts + reference) > 0).sum())
    p, q = ((part + 0.5) / (part.sum() + 0.5 * len(part)) for part in (counts, reference))
    chance = (used - 1) * (1 / n + 1 / m)
    return max(0.0, float(((p - q) * np.log(p / q)).sum()) - chance)


def psi_of_sides(values: Array, side: NDArray[np.intp], comparisons: Sequence[tuple[int, tuple[int, ...]]]) -> Array:
    """The PSI of each comparison: the values of one side against those of others; one set of bins for all.

    Parameters
    ----------
    side
        Of each value; 0 is the newest, which the bins are not made from.
    """
    edges = tenths(values[side > 0])
    width, sides = len(edges) + 2, int(side.max()) + 1
    counts = np.bincount(side * width + bin_of(values, edges), minlength=sides * width).reshape(sides, width)
    return np.array([psi_of(counts[one], counts[list(others)].sum(axis=0)) for one, others in comparisons])
