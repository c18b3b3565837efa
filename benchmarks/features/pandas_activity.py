"""Pandas: the customer's own events, their sessions and channels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.features.pandas_frames import HISTORY, by, ratio, same, totals
from benchmarks.features.world import CHANNELS, DAY, FRICTION, HOUR, MINUTE, OWN, SESSION_GAP, THURSDAY, WINDOWS


def features(past: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """Frames by history."""
    caused = past["event"].cat.codes < len(OWN) + len(FRICTION)
    own = past.loc[caused, [HISTORY, "time", "event", "channel"]].reset_index(drop=True)
    own["gap"] = own["time"].diff().where(same(own))
    return [_steps(own), _habits(own), _days(own, cutoff), *_sessions(own, cutoff), *_channels(own, cutoff)]


def _steps(own: pd.DataFrame) -> pd.DataFrame:
    """The last three types, the gaps before them, the length of the present run."""
    last = own.index[own[HISTORY] != own[HISTORY].shift(-1)]
    history = own[HISTORY].to_numpy()[last]
    starts = own.index[(own["event"].cat.codes.diff() != 0) | own["gap"].isna()]
    found = pd.DataFrame(index=pd.Index(history, name=HISTORY))
    found["run_length"] = last - starts[starts.searchsorted(last, side="right") - 1] + 1
    for back in range(3):
        rows = own.iloc[(last - back).where(last >= back, 0)]
        there = (rows[HISTORY].to_numpy() == history) & (last >= back)
        found[f"step_{back + 1}_back"] = rows["event"].where(there).array
        found[f"step_{back + 1}_gap_days"] = (rows["gap"].where(there) / DAY).to_numpy()
    found["last_weekday"] = ((own["time"].iloc[last] // DAY + THURSDAY) % 7).to_numpy()
    return found


def _habits(own: pd.DataFrame) -> pd.DataFrame:
    hour, weekday = own["time"] // HOUR % 24, (own["time"] // DAY + THURSDAY) % 7
    masks = {
        "weekend_share": weekday >= 5,
        "evening_share": hour >= 18,
        "morning_share": (hour >= 6) & (hour < 12),
    }
    return totals(own, masks).div(by(own).size(), axis=0)


def _days(own: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """Days with activity: a window's day counts at its first row inside."""
    time, before = own["time"], own["time"] - own["gap"]
    apart = time // DAY - before // DAY
    new = ~(apart == 0)
    found = totals(
        own,
        {
            f"active_days_{days}d": (time >= cutoff - days * DAY) & (new | (before < cutoff - days * DAY))
            for days in WINDOWS
        },
    )
    gaps = pd.DataFrame({HISTORY: own[HISTORY], "gap": apart})[apart > 0]
    return found.assign(active_gap_days_median=by(gaps)["gap"].median())


def _sessions(own: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """A row per session, then a row per history."""
    first = own.index[own["gap"].isna() | (own["gap"] > SESSION_GAP)]
    last = np.append(first[1:], len(own)) - 1
    bought = (own["event"] == "purchase").cumsum().to_numpy()
    is_sale = (own["event"] == "purchase").to_numpy()
    time = own["time"].to_numpy()
    rows = pd.DataFrame({HISTORY: own[HISTORY].to_numpy()[first], "began": time[first]})
    rows["lasted"] = (time[last] - time[first]) / MINUTE
    rows["size"] = last - first + 1
    rows["sale"] = bought[last] > bought[first] - is_sale[first]
    recent = own[(own["time"] >= cutoff - 28 * DAY) & (own["gap"] <= SESSION_GAP)]
    spent = (by(recent)["gap"].sum() / MINUTE).rename("session_minutes_28d").to_frame()
    return [_by_sessions(rows, cutoff), spent]


def _by_sessions(rows: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    inside = {f"sessions_{days}d": rows["began"] >= cutoff - days * DAY for days in WINDOWS}
    found = totals(rows, inside)
    sums = totals(rows, {"sale": rows["sale"], "one": rows["size"] == 1})
    lasted = by(rows)["lasted"].agg(["mean", "last", "max"]).add_prefix("session_minutes_")
    size = by(rows)["size"].agg(["mean", "last", "max", "size"]).add_prefix("session_events_")
    number = size.pop("session_events_size")
    began = by(rows)["began"].agg(["first", "last"])
    return (
        found.join(lasted)
        .join(size)
        .assign(
            sessions_trend_28d=ratio(found["sessions_28d"], found["sessions_56d"]),
            session_recency_days=(cutoff - began["last"]) / DAY,
            session_gap_days_mean=ratio((began["last"] - began["first"]) / DAY, number - 1),
            session_bounce_share=sums["one"] / number,
            session_purchase_share=sums["sale"] / number,
        )
    )


def _channels(own: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """Everything about channels from the number of events on each."""
    rows = own.loc[own["channel"].notna(), [HISTORY, "time", "channel"]]
    moved = same(rows) & (rows["channel"].cat.codes.diff() != 0)
    events = totals(rows, {name: rows["channel"] == name for name in CHANNELS})
    recent = totals(rows, {name: (rows["channel"] == name) & (rows["time"] >= cutoff - 112 * DAY) for name in CHANNELS})
    size = events.sum(axis=1)
    logs = np.log(events.where(events > 0, 1))
    shares = events.div(size, axis=0).add_prefix("channel_").add_suffix("_share")
    newest = rows.loc[rows[HISTORY] != rows[HISTORY].shift(-1)].set_index(HISTORY)["channel"]
    found = shares.assign(
        channels_count=(events > 0).sum(axis=1),
        channels_112d=(recent > 0).sum(axis=1),
        main_channel_share=events.max(axis=1) / size,
        channel_entropy=np.log(size) - (events * logs).sum(axis=1) / size,
        channel_switch_share=moved.groupby(rows[HISTORY], sort=False).mean(),
    )
    return [found, newest.rename("last_channel").to_frame()]
