"""Aggregates over ranges of rows: every (customer, cutoff) is a range, so no event is ever copied.

Rows stand history by history in the order of time. The past of a cutoff is a range of rows of one
history, and so is a window: `[first row inside, first row after)`. Counts are differences of running
counts, exact because they are integers. Sums are added up anew within each range, never taken as
the difference of two running totals: a range of n values v adds with a relative error of at most
(n - 1) * 2^-53 of the sum of |v| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 4.2),
whatever stands before it in the history. Numbers are float64 with nan for null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Edge = TypeVar("Edge")
SEARCH_COST = 10  # of a search, in steps of a running count (measured)
SMALL = 10_000  # rows up to which NumPy sorts as fast as Polars
EXPANDED_AT_ONCE = 8_000_000  # rows copied at a time, where an aggregate needs its rows side by side


@dataclass(frozen=True, slots=True)
class Ranges:
    """Rows `low` to `high`, half-open, one range per query."""

    low: Ints
    high: Ints

    def __len__(self) -> int:
        return len(self.low)

    @property
    def sizes(self) -> Ints:
        """The number of rows of each."""
        return self.high - self.low


def running(chosen: Bools) -> Ints:
    """How many of the rows before each row are chosen; one more entry than there are rows."""
    found = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(chosen.view(np.int8), out=found[1:])
    return found


def among(chosen: Bools, rows: Ints, edges: Mapping[Edge, Ints]) -> dict[Edge, Ints]:
    """Where edges lie among the chosen rows: how many of these stand before each; `rows` are their places."""
    if sum(map(len, edges.values())) * SEARCH_COST < len(chosen):
        return {name: np.searchsorted(rows, edge) for name, edge in edges.items()}
    counted = running(chosen)
    return {name: counted[edge] for name, edge in edges.items()}


def totals(values: Floats, ranges: Ranges) -> Floats:
    """The sum of each range; 0 of none. `values` holds no nan."""
    return _reduced(np.add, values, ranges, 0.0)


def lowest(values: Floats, ranges: Ranges) -> Floats:
    """The smallest of each range; nan of none."""
    return _reduced(np.minimum, values, ranges, np.nan)


def highest(values: Floats, ranges: Ranges) -> Floats:
    """The largest of each range; nan of none."""
    return _reduced(np.maximum, values, ranges, np.nan)


def means(values: Floats, ranges: Ranges) -> Floats:
    """The mean of each range; nan of none."""
    with np.errstate(invalid="ignore"):
        return totals(values, ranges) / ranges.sizes


def newest(ranges: Ranges, back: int = 0) -> Ints:
    """The row `back` before the last of each range; -1 where the range is too short."""
    rows = ranges.high - 1 - back
    return np.where(rows >= ranges.low, rows, -1)


def oldest(ranges: Ranges) -> Ints:
    """The first row of each range; -1 of none."""
    return np.where(ranges.low < ranges.high, ranges.low, -1)


def distinct(groups: Ints, ranges: Ranges) -> Ints:
    """How many different groups each range holds.

    `groups` gives per row the row before it of the same group in the same history, or -1: within a
    range, the rows whose predecessor lies before the range are the first of their group.
    """
    fresh = running(groups < 0)
    found = fresh[ranges.high] - fresh[ranges.low]
    again = running(groups >= 0)
    unsure = np.flatnonzero(again[ranges.high] > again[ranges.low])
    contiguous = not np.any((groups >= 0) & (groups != np.arange(len(groups)) - 1))
    if contiguous:  # only a range's first row can have its predecessor outside
        low = ranges.low[unsure]
        found[unsure] += groups[low] >= 0
        return found
    for chosen, rows, query in expanded(Ranges(ranges.low[unsure], ranges.high[unsure])):
        first = (groups[rows] >= 0) & (groups[rows] < ranges.low[unsure[chosen]][query])
        found[unsure[chosen]] += np.bincount(query[first], minlength=chosen.stop - chosen.start)
    return found


def medians(values: Floats, ranges: Ranges) -> Floats:
    """The median of each range; nan of none. Equal ranges are computed once."""
    keys = ranges.low * (len(values) + 1) + ranges.high
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    once = Ranges(ranges.low[first], ranges.high[first])
    found = np.full(len(once), np.nan)
    for chosen, rows, query in expanded(once):
        order = np.lexsort((values[rows], query)) if len(rows) < SMALL else _order(query, values[rows])
        together = values[rows][order]
        sizes, ends = once.sizes[chosen], np.cumsum(once.sizes[chosen])
        some = sizes > 0
        middle = (ends - sizes)[some] + (sizes[some] - 1) // 2
        found[chosen][some] = (together[middle] + together[middle + (sizes[some] % 2 == 0)]) / 2
    return found[back]


def deviations(values: Floats, ranges: Ranges) -> Floats:
    """The standard deviation (n - 1) of each range; nan of fewer than two."""
    few = ranges.sizes < 2
    mean, found = means(values, ranges), np.full(len(ranges), np.nan)
    for chosen, rows, query in expanded(ranges):
        squares = (values[rows] - mean[chosen][query]) ** 2
        found[chosen] = np.bincount(query, squares, minlength=chosen.stop - chosen.start)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(few, np.nan, np.sqrt(found / (ranges.sizes - 1)))


def expanded(ranges: Ranges) -> Any:
    """Every range's rows side by side, a part of the ranges at a time.

    Yields
    ------
    slice, rows, query
        Which ranges; their rows; per row the number of its range within the part.
    """
    ends = np.cumsum(ranges.sizes)
    start = 0
    while start < len(ranges):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + EXPANDED_AT_ONCE, side="right")))
        part = slice(start, stop)
        sizes = ranges.sizes[part]
        query = np.repeat(np.arange(stop - start), sizes)
        offsets = np.cumsum(sizes) - sizes
        rows = np.arange(len(query)) - offsets[query] + ranges.low[part][query]
        yield part, rows, query
        start = stop


def _reduced(function: np.ufunc, values: Floats, ranges: Ranges, empty: float) -> Floats:
    """Reduce each range; NumPy reduces `[a, b)` for neighbours a < b of a list of indices."""
    if len(values) == 0:
        return np.full(len(ranges), empty)
    some = ranges.low < ranges.high
    edges = np.empty(2 * len(ranges), dtype=np.int64)
    edges[::2], edges[1::2] = ranges.low, ranges.high
    padded = np.append(values, 0.0)  # an index one past the end must exist
    return np.where(some, function.reduceat(padded, edges)[::2], empty)


def _order(query: Ints, values: Floats) -> Ints:
    """By query, then value; Polars sorts many rows faster than NumPy."""
    rows = pl.DataFrame({"query": query, "value": values})
    return rows.select(pl.arg_sort_by("query", "value")).to_series().to_numpy()
