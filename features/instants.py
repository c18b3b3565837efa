"""The only place where a time meets a cutoff: half-open everywhere.

The past is `[-inf, cutoff)`, a window of d days `[cutoff - d, cutoff)`, the future of a horizon
`[cutoff, cutoff + horizon)`. Times are int64 microseconds (see `features.schema`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

import narwhals as nw

from features.schema import CUSTOMER, CUTOFF, DAY, KNOWN_AT, TIME

Frame: TypeAlias = nw.LazyFrame[Any]
KEYS = (CUSTOMER, CUTOFF)


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
    rows = events.join(cutoffs.select(*KEYS), on=CUSTOMER)
    rows = rows.filter((nw.col(TIME) < nw.col(CUTOFF)) & (nw.col(KNOWN_AT) < nw.col(CUTOFF)))
    return rows.with_columns(age=nw.col(CUTOFF) - nw.col(TIME))


def future(events: Frame, cutoffs: Frame, horizon: timedelta) -> Frame:
    """Each (customer, cutoff) with the events of the horizon that begins at the cutoff.

    What happened counts, whenever the business learned of it.
    """
    rows = events.join(cutoffs.select(*KEYS), on=CUSTOMER)
    end = nw.col(CUTOFF) + microseconds(horizon)
    return rows.filter((nw.col(TIME) >= nw.col(CUTOFF)) & (nw.col(TIME) < end))


def within(length: timedelta, *, before: timedelta = timedelta(0)) -> nw.Expr:
    """Of past rows: those in the window of `length` that ends `before` the cutoff."""
    inside = nw.col("age") <= microseconds(before + length)
    return inside & (nw.col("age") > microseconds(before)) if before else inside


def mature(cutoff: int, horizon: timedelta, observed_until: int) -> bool:
    """Whether the horizon of `cutoff` is over within what was observed."""
    return cutoff + microseconds(horizon) <= observed_until


def days(expr: nw.Expr) -> nw.Expr:
    """Microseconds as days."""
    # Not `expr / DAY`: Polars divides one row exactly and many rows by the reciprocal, so that a
    # batch and a single customer would differ in the last bit.
    return expr * (1 / DAY)
