"""Aggregates over ranges of rows: every (customer, cutoff) is a range, so no event is ever copied.

Rows stand history by history in the order of time. The past of a cutoff is a range of rows of one
history, and so is a window: `[first row inside, first row after)`. Counts are differences of running
counts, exact because they are integers. Sums are added up anew within each range, never taken as
the difference of two running totals: a range of n values v adds with a relative error of at most
(n - 1) * 2^-53 of the sum of |v| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 4.2),
whatever stands before it in the history. Numbers are float64 with nan for null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Bits = NDArray[np.uint8]
Floats = NDArray[np.float64]
ORDERED_PIECES = 100  # windows one after another, each in the order of its customers
FEW_KINDS = 32  # values each of which is counted
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


class Places:
    """Where the chosen rows stand, to count those before any row: a bit per row, and running counts of 64 bits.

    The rank of succinct data structures (Jacobson, Space-efficient static trees and graphs, 1989).
    `bits`: eight rows a byte, the first in the lowest bit, none set after the last of `size` rows.
    """

    __slots__ = ("_before", "_words")

    def __init__(self, bits: Bits, size: int) -> None:
        self._words = np.zeros(size // 64 + 1, dtype=np.uint64)
        self._words.view(np.uint8)[: len(bits)] = bits
        counts = np.bitwise_count(self._words)
        self._before = np.cumsum(counts, dtype=np.int64) - counts

    @classmethod
    def of(cls, chosen: Bools) -> Places:
        """Where the flags are true."""
        return cls(np.packbits(chosen, bitorder="little"), len(chosen))

    def before(self, rows: Ints) -> Ints:
        """How many chosen rows stand before each row."""
        word, bit = rows >> 6, (rows & 63).astype(np.uint64)
        below = self._words[word] & ((np.uint64(1) << bit) - np.uint64(1))
        found: Ints = self._before[word] + np.bitwise_count(below)
        return found


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


def newest(ranges: Ranges, back: Ints | int = 0) -> Ints:
    """The row `back` before the last of each range; -1 where the range is too short."""
    rows = ranges.high - 1 - back
    return np.where(rows >= ranges.low, rows, -1)


def oldest(ranges: Ranges) -> Ints:
    """The first row of each range; -1 of none."""
    return np.where(ranges.low < ranges.high, ranges.low, -1)


class Kinds:
    """How many different values ranges hold.

    Parameters
    ----------
    history
        Per row its history; a range lies within one.
    values
        Per row a whole number from 0.
    """

    def __init__(self, history: Ints, values: Ints) -> None:
        self._changed: Places | None = None
        self._each: list[Places] = []
        if np.all((values[1:] >= values[:-1]) | (history[1:] != history[:-1])):  # equal values stand together
            self._changed = Places.of(np.append(True, values[1:] != values[:-1])[: len(values)])
            return
        number = int(values.max(initial=-1)) + 1
        if number <= FEW_KINDS:
            self._each = [Places.of(values == kind) for kind in range(number)]
            return
        self._before = _same_before(history, values)
        self._fresh = Places.of(self._before < 0)

    def distinct(self, ranges: Ranges) -> Ints:
        """How many of each range."""
        if self._changed is not None:
            after_first = np.minimum(ranges.low + 1, ranges.high)
            return self._changed.before(ranges.high) - self._changed.before(after_first) + (ranges.sizes > 0)
        if self._each:
            found = np.zeros(len(ranges), dtype=np.int64)
            for one in self._each:
                found += one.before(ranges.high) > one.before(ranges.low)
            return found
        return self._new_in(ranges)

    def _new_in(self, ranges: Ranges) -> Ints:
        """How many rows of each range have the row before them of the same value outside the range."""
        found = self._fresh.before(ranges.high) - self._fresh.before(ranges.low)
        unsure = np.flatnonzero(ranges.sizes > found)
        for chosen, rows, query in expanded(Ranges(ranges.low[unsure], ranges.high[unsure])):
            before = self._before[rows]
            first = (before >= 0) & (before < ranges.low[unsure[chosen]][query])
            found[unsure[chosen]] += np.bincount(query[first], minlength=chosen.stop - chosen.start)
        return found


def _same_before(history: Ints, values: Ints) -> Ints:
    """Per row the row before it with the same value in the same history, or -1."""
    order = np.lexsort((values, history))
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = (history[order][1:] == history[order][:-1]) & (values[order][1:] == values[order][:-1])
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.where(again, np.roll(order, 1), -1)
    return found


def medians(values: Floats, ranges: Ranges) -> Floats:
    """The median of each range; nan of none. Equal ranges are computed once."""
    keys = ranges.low * (len(values) + 1) + ranges.high
    _, first, back = np.unique(keys, return_index=True, return_inverse=True)
    once = Ranges(ranges.low[first], ranges.high[first])
    found = np.full(len(once), np.nan)
    for chosen, rows, query in expanded(once):
        together = _sorted_within(query, values[rows])
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
    """Reduce each range; NumPy reduces `[a, b)` for neighbours a < b of a list of indices.

    It reduces what lies between one range and the next too, so ranges in no order are put in order first.
    """
    if len(values) == 0:
        return np.full(len(ranges), empty)
    back = np.count_nonzero(ranges.low[1:] < ranges.low[:-1])
    if back > ORDERED_PIECES:
        order = np.argsort(ranges.low, kind="stable")
        found = np.empty(len(ranges))
        found[order] = _reduced(function, values, Ranges(ranges.low[order], ranges.high[order]), empty)
        return found
    some = ranges.low < ranges.high
    edges = np.empty(2 * len(ranges), dtype=np.int64)
    edges[::2], edges[1::2] = ranges.low, ranges.high
    padded = np.append(values, 0.0)  # an index one past the end must exist
    return np.where(some, function.reduceat(padded, edges)[::2], empty)


def _sorted_within(query: Ints, values: Floats) -> Floats:
    """The values by query, then size: one number that says both sorts several times faster than two columns."""
    order = np.argsort(values)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    both = np.sort(query * len(order) + ranks)
    return values[order[both - query * len(order)]]
