"""The only place where a time meets a cutoff: half-open everywhere.

The past is `[-inf, cutoff)`, a window of d days `[cutoff - d, cutoff)`, the future of a horizon
`[cutoff, cutoff + horizon)`. Times are int64 microseconds (see `features.schema`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np

from features.ranges import Ints, Places
from features.schema import CUSTOMER, CUTOFF, DAY, KNOWN_AT, MINUTE, TIME

Frame: TypeAlias = nw.LazyFrame[Any]
SEARCHED = 150  # rows compared in the time of one search (measured)
KEYS = (CUSTOMER, CUTOFF)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open window of `length` that ends `before` the cutoff."""

    length: timedelta
    before: timedelta = timedelta(0)


def microseconds(length: timedelta) -> int:
    """A duration as the integer the engines compute with."""
    return length // timedelta(microseconds=1)


def past(events: Frame, cutoffs: Frame) -> Frame:
    """Each (customer, cutoff) with the events that the business knew before the cutoff.

    Returns
    -------
    Frame
        The events' columns with `cutoff` and `age`, the microseconds from the event to the cutoff
        (always positive).
    """
    rows = events.join(cutoffs.select(*KEYS), on=CUSTOMER).filter(seen())
    return rows.with_columns(age=nw.col(CUTOFF) - nw.col(TIME))


def past_at(events: Frame, cutoff: int) -> Frame:
    """The same for every customer at one cutoff."""
    rows = events.with_columns(nw.lit(cutoff, dtype=nw.Int64).alias(CUTOFF)).filter(seen())
    return rows.with_columns(age=nw.col(CUTOFF) - nw.col(TIME))


def seen() -> nw.Expr:
    """Of events beside a cutoff: those that happened and were known before it."""
    return (nw.col(TIME) < nw.col(CUTOFF)) & (nw.col(KNOWN_AT) < nw.col(CUTOFF))


def late(cutoff: nw.Expr) -> nw.Expr:
    """Of events beside a cutoff: those that happened before it and were not known yet."""
    return (nw.col(TIME) < cutoff) & (nw.col(KNOWN_AT) >= cutoff)


def first_at_or_after(times: Ints, starts: Ints, ends: Ints, instants: Ints) -> Ints:
    """Per query, the first row in `[start, end)` whose time is not before the instant; `end` if none is.

    Times rise within each `[start, end)`.
    """
    if len(times) == 0:
        return starts
    if len(starts) == 1:
        return starts + np.searchsorted(times[starts[0] : ends[0]], instants, side="left")
    different = np.unique(instants)
    if len(different) * len(times) < len(instants) * SEARCHED:
        return _counted(times, starts, ends, instants, different)
    return _searched(times, starts, ends, instants)


def _counted(times: Ints, starts: Ints, ends: Ints, instants: Ints, different: Ints) -> Ints:
    """One instant for many queries: how many rows are before it, counted once."""
    found = np.empty_like(starts)
    for instant in different:
        asked = slice(None) if len(different) == 1 else instants == instant
        before = Places.of(times < instant)
        found[asked] = starts[asked] + before.before(ends[asked]) - before.before(starts[asked])
    return found


def _searched(times: Ints, starts: Ints, ends: Ints, instants: Ints) -> Ints:
    """A binary search that takes all queries one step at a time."""
    low, high = starts.copy(), ends.copy()
    for _ in range(int((ends - starts).max(initial=0)).bit_length()):
        middle, unsure = (low + high) >> 1, low < high
        before = times[np.minimum(middle, len(times) - 1)] < instants
        low = np.where(unsure & before, middle + 1, low)
        high = np.where(unsure & ~before, middle, high)
    return low


def inside(window: Window) -> nw.Expr:
    """Of past rows: those in the window."""
    end = microseconds(window.before)
    found = nw.col("age") <= end + microseconds(window.length)
    return found & (nw.col("age") > end) if end else found


def mature(cutoff: int, horizon: timedelta, observed_until: int) -> bool:
    """Whether the horizon of `cutoff` is over within what was observed."""
    return cutoff + microseconds(horizon) <= observed_until


def days(expr: nw.Expr) -> nw.Expr:
    """Microseconds as days."""
    # Not `expr / DAY`: Polars divides one row exactly and many rows by the reciprocal, so that a
    # batch and a single customer would differ in the last bit.
    return expr * (1 / DAY)


def minutes(expr: nw.Expr) -> nw.Expr:
    """Microseconds as minutes."""
    return expr * (1 / MINUTE)
