"""The tables the families aggregate: all events, the customer's own, their purchases, their channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import narwhals as nw

from features.families.words import is_type
from features.feature import Table
from features.histories import Histories, Rows
from features.instants import microseconds
from features.journey import Journey
from features.schema import CHANNEL, DAY, EVENT, HOUR, TIME

ONE = nw.lit(1)


def own(journey: Journey, rows: Rows) -> Rows:
    """The events that the business did not cause."""
    business = list(journey.business)
    return rows.filter(~nw.col(EVENT).is_in(business)) if business else rows


def activity(journey: Journey) -> Table:
    """The customer's own events: nothing that the business caused.

    Adds `gap` (microseconds since the event before; null at the first), `day` and `hour` (since the epoch,
    UTC), `gap_days` (days since the last active day before; null within a day and on the first) and
    `run_length` (events of the row's type in a row, up to it).
    """

    def derive(events: Rows, here: Histories) -> Rows:
        rows = own(journey, events).with_columns(day=nw.col(TIME) // DAY, hour=nw.col(TIME) // HOUR, one=ONE)
        rows = here.before(rows, time_before=TIME, day_before="day", event_before=EVENT)
        day = nw.col("day") - nw.col("day_before")
        rows = rows.with_columns(
            gap=nw.col(TIME) - nw.col("time_before"),
            gap_days=nw.when(day > 0).then(day),
            changed=_flag(nw.col(EVENT) != nw.col("event_before")),
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
        rows, gap = here.before(rows, day_before="day"), nw.col("day") - nw.col("day_before")
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
        rows = here.before(rows, channel_before=CHANNEL)
        rows = rows.with_columns(moved=nw.col(CHANNEL) != nw.col("channel_before"))
        rows, size = here.running(rows, CHANNEL, size="one"), nw.col("size").cast(nw.Float64)
        return rows.with_columns(spread=_times_log(size) - _times_log(size - 1))

    return Table("channels", derive)


def sessions(journey: Journey, gap: timedelta) -> Table:
    """The customer's own events session by session: one ends where nothing follows within the gap.

    Adds `first` (1 on the first event of a session, else 0), `spent` (microseconds since the event before
    in the same session; 0 on the first), and up to the row within its session: `nth` (events), `lasted`
    (microseconds) and `sales` (purchases).
    """
    longest = microseconds(gap)

    def derive(events: Rows, here: Histories) -> Rows:
        rows = here.before(own(journey, events), time_before=TIME)
        rows = rows.with_columns(gap=nw.col(TIME) - nw.col("time_before"), one=ONE)
        fresh = nw.col("gap").is_null() | (nw.col("gap") > longest)
        rows = rows.with_columns(
            first=_flag(fresh),
            spent=nw.when(fresh).then(nw.lit(0)).otherwise(nw.col("gap")),
            sale=_flag(is_type(journey.conversion_event)),
        )
        rows = here.running(rows, session="first")
        return here.running(rows, "session", nth="one", lasted="spent", sales="sale")

    return Table("sessions", derive)


def followed(name: str, started: Sequence[str], finished: Sequence[str], within: timedelta) -> Table:
    """Whether one thing led to another in time: a row per `started` event, at the instant `within` after it.

    Adds `followed`: whether a `finished` event came after the started one and before that instant.
    """
    length = microseconds(within)

    def derive(events: Rows, here: Histories) -> Rows:
        rows = events.filter(is_type(*started, *finished)).with_columns(ends=_flag(is_type(*finished)))
        rows = here.running(rows, before="ends")
        instant = nw.col(TIME) + length
        # What ends at an instant comes too late for what was due at it.
        due = rows.filter(is_type(*started)).select(
            *here.keys, instant.alias(TIME), "before", order=instant * 2, ends=nw.lit(0)
        )
        done = rows.filter(is_type(*finished)).select(
            *here.keys, TIME, "before", order=nw.col(TIME) * 2 + 1, ends=nw.lit(1)
        )
        both = here.in_order(nw.concat([due, done]), "order")
        every = here.running(both, order_by="order", so_far="ends")
        return every.filter(nw.col("ends") == 0).with_columns(followed=nw.col("so_far") > nw.col("before"))

    return Table(name, derive, order_by="order")


def _flag(condition: nw.Expr) -> nw.Expr:
    """1 where it holds, else 0."""
    return nw.when(condition).then(ONE).otherwise(nw.lit(0))


def _times_log(size: nw.Expr) -> nw.Expr:
    """Its product with its logarithm; 0 for 0."""
    return size * nw.when(size > 0).then(size).otherwise(nw.lit(1.0)).log()
