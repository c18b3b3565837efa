"""The tables the families aggregate: all events, the customer's own, their purchases."""

from __future__ import annotations

import narwhals as nw

from features.families.words import is_type
from features.feature import Table
from features.instants import KEYS, Frame
from features.journey import Journey
from features.schema import CHANNEL, DAY, EVENT, POSITION, TIME


def activity(journey: Journey) -> Table:
    """The customer's own events: nothing that the business caused.

    Adds `gap` (microseconds since the event before; null at the first), `day` (UTC), `gap_days`
    (days to the next day with an event; null within a day and at the end), `back` (0 at the newest
    event, 1 at the one before ...), `run` (a new number with every change of type), `last_run` (that
    of the newest event) and `last_of_day`. Of a day that a window cuts in two, the last event is
    inside if any is: counting those counts days.
    """
    business = list(journey.business)

    def derive(past: Frame) -> Frame:
        rows = past.filter(~nw.col(EVENT).is_in(business)) if business else past
        before = nw.col(TIME).shift(1).over(*KEYS, order_by=POSITION)
        changed = nw.col(EVENT) != nw.col(EVENT).shift(1).over(*KEYS, order_by=POSITION)
        one = nw.lit(1)
        rows = rows.with_columns(gap=nw.col(TIME) - before, day=nw.col(TIME) // DAY, one=one)
        day_after = nw.col("day").shift(-1).over(*KEYS, order_by=POSITION)
        rows = rows.with_columns(
            changed=nw.when(changed).then(one).otherwise(nw.lit(0)),
            last_of_day=day_after.is_null() | (nw.col("day") != day_after),
            gap_days=nw.when(day_after > nw.col("day")).then(day_after - nw.col("day")),
        )
        number = nw.col("one").cum_sum().over(*KEYS, order_by=POSITION)
        return rows.with_columns(
            back=nw.col("one").sum().over(*KEYS) - number,
            run=nw.col("changed").cum_sum().over(*KEYS, order_by=POSITION),
        ).with_columns(last_run=nw.col("run").max().over(*KEYS))

    return Table("activity", derive)


def conversions(journey: Journey) -> Table:
    """The customer's purchases (the journey's conversion event).

    Adds `day` (UTC), `new_day` (1 on the first purchase of a day, else 0), `gap_days` (days since the
    purchase day before; null on the first day and for further purchases of a day), `last_gap` (true
    where that gap is the newest) and `last` (true on the newest purchase).
    """

    def derive(past: Frame) -> Frame:
        rows = past.filter(is_type(journey.conversion_event)).with_columns(day=nw.col(TIME) // DAY)
        gap = nw.col("day") - nw.col("day").shift(1).over(*KEYS, order_by=POSITION)
        rows = rows.with_columns(
            new_day=nw.when(gap.is_null() | (gap > 0)).then(nw.lit(1)).otherwise(nw.lit(0)),
            gap_days=nw.when(gap > 0).then(gap),
            last=nw.col(POSITION) == nw.col(POSITION).max().over(*KEYS),
        )
        return rows.with_columns(last_gap=nw.col("day") == nw.col("day").max().over(*KEYS))

    return Table("conversions", derive)


def places(journey: Journey) -> Table:
    """The customer's own events whose channel is known.

    Adds `size` (this customer's events on the row's channel), `newest_here` (true on the newest of
    them), `moved` (1 where the channel differs from that of the event before) and `last`.
    """
    business = list(journey.business)

    def derive(past: Frame) -> Frame:
        rows = past.filter(~nw.col(EVENT).is_in(business)) if business else past
        rows = rows.filter(~nw.col(CHANNEL).is_null()).with_columns(one=nw.lit(1))
        moved = nw.col(CHANNEL) != nw.col(CHANNEL).shift(1).over(*KEYS, order_by=POSITION)
        return rows.with_columns(
            size=nw.col("one").sum().over(*KEYS, CHANNEL),
            newest_here=nw.col(POSITION) == nw.col(POSITION).max().over(*KEYS, CHANNEL),
            moved=nw.when(moved).then(nw.lit(1)).otherwise(nw.lit(0)),
            last=nw.col(POSITION) == nw.col(POSITION).max().over(*KEYS),
        )

    return Table("channels", derive)


def latest(table: str, column: str, condition: nw.Expr) -> Table:
    """The past rows on which the condition holds and `column` is known, with `last` on the newest."""

    def derive(past: Frame) -> Frame:
        rows = past.filter(condition & ~nw.col(column).is_null())
        return rows.with_columns(last=nw.col(POSITION) == nw.col(POSITION).max().over(*KEYS))

    return Table(table, derive)
