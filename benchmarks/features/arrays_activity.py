"""Arrays: the customer's own events, their sessions and channels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.features.arrays_counts import PLACE
from benchmarks.features.arrays_frames import Array, Columns, Past, differences, last_rows, ratio, same, spread
from benchmarks.features.world import (
    CHANNELS,
    DAY,
    FRICTION,
    HOUR,
    MINUTE,
    OWN,
    SESSION_GAP,
    THURSDAY,
    TYPES,
    WINDOWS,
)


def features(past: Past) -> Columns:
    """A column per feature, a row per history."""
    own = past.only(past.kind < len(OWN) + len(FRICTION))
    again = same(own.history)
    gap = differences(own.time)
    return _steps(own, again, gap) | _days(own, again) | _sessions(own, again, gap) | _channels(own)


def _steps(own: Past, again: Array, gap: Array) -> Columns:
    """The last three types, the gaps before them, the length of the present run."""
    last = last_rows(own.history)
    first, whose = np.append(0, last[:-1] + 1)[: len(last)], own.history[last]
    starts = np.flatnonzero(~again | (differences(own.kind) != 0))
    began = starts[np.searchsorted(starts, last, side="right") - 1]
    found: Columns = {"run_length": spread(own.size, whose, last - began + 1, 0)}
    for back in range(3):
        row = np.maximum(last - back, 0)
        kind = np.where(last - back >= first, own.kind[row], -1)
        days = np.where(last - back > first, gap[row] / DAY, np.nan)
        found[f"step_{back + 1}_back"] = pd.Categorical.from_codes(spread(own.size, whose, kind, -1), TYPES)
        found[f"step_{back + 1}_gap_days"] = spread(own.size, whose, days)
    return found | {"last_weekday": spread(own.size, whose, (own.time[last] // DAY + THURSDAY) % 7)}


def _days(own: Past, again: Array) -> Columns:
    """Shares of hours and weekdays, days with activity and the gaps between them."""
    day, hour = own.time // DAY, own.time // HOUR % 24
    rows, weekday, gap = own.number(slice(None)), (day + THURSDAY) % 7, differences(day)
    new = ~again | (gap > 0)
    first_of_day, apart = own.only(new), again & (gap > 0)
    found: Columns = {
        "weekend_share": ratio(own.number(weekday >= 5), rows),
        "evening_share": ratio(own.number(hour >= 18), rows),
        "morning_share": ratio(own.number((hour >= 6) & (hour < 12)), rows),
        "active_gap_days_median": own.filled(pd.Series(gap[apart]).groupby(own.history[apart]).median()).to_numpy(),
    }
    for days in WINDOWS:
        within = own.cutoff - days * DAY
        cut = own.history[(own.time >= within) & (day == within // DAY)]  # the day in which the window begins
        begun = first_of_day.history[(first_of_day.time >= within) & (first_of_day.time // DAY > within // DAY)]
        there = np.bincount(cut, minlength=own.size) > 0
        found[f"active_days_{days}d"] = np.bincount(begun, minlength=own.size) + there
    return found


def _sessions(own: Past, again: Array, gap: Array) -> Columns:
    """A row per session, then a row per history."""
    inside = again & (gap <= SESSION_GAP)
    first = np.flatnonzero(~inside)
    last = np.append(first[1:], len(inside)) - 1
    bought = np.append(0, np.cumsum(own.kind == PLACE["purchase"]))
    rows = own.only(first)
    lasted, size, number = own.time[last] - rows.time, last - first + 1, rows.number(slice(None))
    ends = last_rows(rows.history)
    begins = np.append(0, ends[:-1] + 1)[: len(ends)]
    longest = own.filled(pd.DataFrame({"lasted": lasted, "size": size}).groupby(rows.history).max())
    recent = inside & own.after(28)
    spent = np.bincount(own.history[recent], gap[recent], minlength=own.size)
    began = spread(own.size, rows.history[ends], rows.time[ends])
    span = spread(own.size, rows.history[ends], rows.time[ends] - rows.time[begins])
    found: Columns = {f"sessions_{days}d": rows.number(rows.after(days)) for days in WINDOWS}
    return found | {
        "sessions_trend_28d": ratio(found["sessions_28d"], found["sessions_56d"]),
        "session_recency_days": (own.cutoff - began) / DAY,
        "session_gap_days_mean": ratio(span / DAY, number - 1),
        "session_minutes_mean": ratio(np.bincount(rows.history, lasted, minlength=own.size) / MINUTE, number),
        "session_minutes_last": spread(own.size, rows.history[ends], lasted[ends] / MINUTE),
        "session_minutes_max": longest["lasted"].to_numpy() / MINUTE,
        "session_minutes_28d": spent / MINUTE,
        "session_events_mean": ratio(own.number(slice(None)), number),
        "session_events_last": spread(own.size, rows.history[ends], size[ends], 0),
        "session_events_max": longest["size"].fillna(0).to_numpy(),
        "session_bounce_share": ratio(rows.number(size == 1), number),
        "session_purchase_share": ratio(rows.number(bought[last + 1] > bought[first]), number),
    }


def _channels(own: Past) -> Columns:
    """Everything about channels from the number of events on each."""
    rows = own if (own.channel >= 0).all() else own.only(own.channel >= 0)
    width = len(CHANNELS)
    key = rows.history * width + rows.channel
    events = np.bincount(key, minlength=own.size * width).reshape(own.size, width)
    recent = np.bincount(key[rows.after(112)], minlength=own.size * width).reshape(own.size, width)
    total = np.where(events.sum(axis=1) > 0, events.sum(axis=1), np.nan)
    spread_out = (events * np.log(np.maximum(events, 1))).sum(axis=1)
    last = last_rows(rows.history)
    newest = spread(own.size, rows.history[last], rows.channel[last], -1)
    moved = same(rows.history) & (differences(rows.channel) != 0)
    return {
        "channels_count": (events > 0).sum(axis=1) + total * 0,
        "channels_112d": (recent > 0).sum(axis=1) + total * 0,
        "main_channel_share": events.max(axis=1) / total,
        "channel_entropy": np.log(total) - spread_out / total,
        "channel_switch_share": rows.number(moved) / total,
        "last_channel": pd.Categorical.from_codes(newest, CHANNELS),
        **{f"channel_{name}_share": events[:, place] / total for place, name in enumerate(CHANNELS)},
    }
