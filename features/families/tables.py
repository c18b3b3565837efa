"""The tables the families aggregate: all events, the customer's own, their purchases, their channels."""

from __future__ import annotations

import narwhals as nw

from features.families.words import is_type
from features.feature import Table
from features.histories import Histories, Rows
from features.journey import Journey
from features.schema import CHANNEL, DAY, EVENT, TIME

ONE = nw.lit(1)


def own(journey: Journey, rows: Rows) -> Rows:
    """The events that the business did not cause."""
    business = list(journey.business)
    return rows.filter(~nw.col(EVENT).is_in(business)) if business else rows


def activity(journey: Journey) -> Table:
    """The customer's own events: nothing that the business caused.

    Adds `gap` (microseconds since the event before; null at the first), `day` (UTC), `gap_days` (days
    since the last active day before; null within a day and on the first) and `run_length` (events of
    the row's type in a row, up to it).
    """

    def derive(events: Rows, here: Histories) -> Rows:
        rows = own(journey, events).with_columns(day=nw.col(TIME) // DAY, one=ONE)
        day, event = nw.col("day") - here.before("day"), here.before(EVENT)
        rows = rows.with_columns(
            gap=nw.col(TIME) - here.before(TIME),
            gap_days=nw.when(day > 0).then(day),
            changed=nw.when(nw.col(EVENT) != event).then(ONE).otherwise(nw.lit(0)),
        )
        return here.running(here.running(rows, run="changed"), "run", run_length="one")

    return Table("activity", derive)


def conversions(journey: Journey) -> Table:
    """The customer's purchases (the journey's conversion event).

    Adds `day` (UTC), `new_day` (true on the first purchase of a day) and `gap_days` (days since the
    purchase day before; null on the first day and for further purchases of a day).
    """

    def derive(events: Rows, here: Histories) -> Rows:
        rows = events.filter(is_type(journey.conversion_event)).with_columns(day=nw.col(TIME) // DAY)
        gap = nw.col("day") - here.before("day")
        return rows.with_columns(new_day=gap.is_null() | (gap > 0), gap_days=nw.when(gap > 0).then(gap))

    return Table("conversions", derive)


def places(journey: Journey) -> Table:
    """The customer's own events whose channel is known.

    Adds `moved` (true where the channel differs from that of the event before), `size` (events on the
    row's channel up to it) and `spread`, what the row adds to the sum of c log c over the channels,
    c being the events on a channel.
    """

    def derive(events: Rows, here: Histories) -> Rows:
        rows = own(journey, events).filter(~nw.col(CHANNEL).is_null()).with_columns(one=ONE)
        rows = rows.with_columns(moved=nw.col(CHANNEL) != here.before(CHANNEL))
        rows, size = here.running(rows, CHANNEL, size="one"), nw.col("size").cast(nw.Float64)
        return rows.with_columns(spread=_times_log(size) - _times_log(size - 1))

    return Table("channels", derive)


def _times_log(size: nw.Expr) -> nw.Expr:
    """Its product with its logarithm; 0 for 0."""
    return size * nw.when(size > 0).then(size).otherwise(nw.lit(1.0)).log()
