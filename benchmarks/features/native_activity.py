"""Native Polars: the customer's own events, their sessions and channels."""

from __future__ import annotations

import polars as pl

from benchmarks.features.native_frames import HISTORY, SAME, TIME, TYPE, dense, ends, is_type, ratio
from benchmarks.features.world import CHANNELS, DAY, HOUR, MINUTE, SESSION_GAP, THURSDAY, TOUCHES, WINDOWS


def activity(past: pl.DataFrame, cutoff: int) -> list[pl.DataFrame]:
    """Frames by history: steps, habits and days, sessions, channels."""
    own = past.lazy().filter(~is_type(*TOUCHES)).select(HISTORY, TIME, TYPE, "channel").collect()
    gap = pl.when(SAME).then(pl.col(TIME) - pl.col(TIME).shift(1))
    own = own.with_columns(gap=gap)
    places = own.lazy().filter(pl.col("channel").is_not_null()).select(HISTORY, TIME, "channel").collect()
    rows = own.lazy()
    habits, gaps, minutes, sessions = pl.collect_all(
        [_habits(rows, cutoff), _gaps(rows), _recent_minutes(rows, cutoff), _sessions(own, cutoff)]
    )
    return [_steps(own), habits, gaps, minutes, sessions, _channels(places, cutoff)]


def _steps(own: pl.DataFrame) -> pl.DataFrame:
    """The last three types, the gaps before them, the length of the present run."""
    edges = ends(own[HISTORY])
    first, last = edges["first"], edges["last"]
    starts = own.select(((pl.col(TYPE) != pl.col(TYPE).shift(1)) | ~SAME).fill_null(True).arg_true()).to_series()
    began = starts.gather(starts.search_sorted(last, side="right") - 1)
    columns = {HISTORY: edges[HISTORY], "run_length": (last - began + 1).cast(pl.Float64)}
    for back in range(3):
        row = (last - back).clip(lower_bound=0)
        known = last - back >= first
        rows = pl.DataFrame({"type": own[TYPE].gather(row), "gap": own["gap"].gather(row), "known": known})
        found = rows.select(
            pl.when("known").then(pl.col("type").cast(pl.String)).alias(f"step_{back + 1}_back"),
            (pl.when("known").then("gap") / DAY).alias(f"step_{back + 1}_gap_days"),
        )
        columns |= found.to_dict()
    weekday = (own[TIME].gather(last) // DAY + THURSDAY) % 7
    return pl.DataFrame(columns | {"last_weekday": weekday.cast(pl.Float64)})


def _habits(own: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    """Shares of hours and weekdays, and days with activity: a window's day counts at its first row inside."""
    time = pl.col(TIME)
    before = time - pl.col("gap")
    hour = time // HOUR % 24
    new = (time // DAY > before // DAY).fill_null(True)
    masks = {
        "weekend_share": (time // DAY + THURSDAY) % 7 >= 5,
        "evening_share": hour >= 18,
        "morning_share": (hour >= 6) & (hour < 12),
    }
    days = {f"active_days_{d}d": (time >= cutoff - d * DAY) & (new | (before < cutoff - d * DAY)) for d in WINDOWS}
    rows = own.select(HISTORY, **masks, **days).group_by(HISTORY, maintain_order=True)
    return rows.agg(*(pl.col(name).mean() for name in masks), *(pl.col(name).sum().cast(pl.Float64) for name in days))


def _gaps(own: pl.LazyFrame) -> pl.LazyFrame:
    day = pl.col(TIME) // DAY - (pl.col(TIME) - pl.col("gap")) // DAY
    rows = own.select(HISTORY, day=day).filter(pl.col("day") > 0).group_by(HISTORY, maintain_order=True)
    return rows.agg(pl.col("day").median().alias("active_gap_days_median"))


def _recent_minutes(own: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    rows = own.filter(pl.col(TIME) >= cutoff - 28 * DAY, pl.col("gap") <= SESSION_GAP)
    spent = (pl.col("gap").sum() / MINUTE).alias("session_minutes_28d")
    return rows.group_by(HISTORY, maintain_order=True).agg(spent)


def _sessions(own: pl.DataFrame, cutoff: int) -> pl.LazyFrame:
    """A row per session, then a row per history."""
    fresh = (own["gap"].is_null() | (own["gap"] > SESSION_GAP)).arg_true().cast(pl.Int64)
    last = fresh.shift(-1, fill_value=len(own)) - 1
    bought = (own[TYPE] == "purchase").cum_sum()
    before = bought.gather(fresh).cast(pl.Int64) - (own[TYPE].gather(fresh) == "purchase").cast(pl.Int64)
    rows = pl.LazyFrame(
        {
            HISTORY: own[HISTORY].gather(fresh).set_sorted(),
            "began": own[TIME].gather(fresh),
            "lasted": own[TIME].gather(last) - own[TIME].gather(fresh),
            "size": last - fresh + 1,
            "sale": bought.gather(last).cast(pl.Int64) > before,
        }
    )
    return rows.group_by(HISTORY, maintain_order=True).agg(*_session_features(cutoff))


def _session_features(cutoff: int) -> list[pl.Expr]:
    began, lasted, size = pl.col("began"), pl.col("lasted"), pl.col("size")
    inside = {days: (began >= cutoff - days * DAY).sum() for days in WINDOWS}
    found = {
        **{f"sessions_{days}d": number for days, number in inside.items()},
        "sessions_trend_28d": ratio(inside[28], inside[56]),
        "session_recency_days": (cutoff - began.last()) / DAY,
        "session_gap_days_mean": ratio((began.last() - began.first()) / DAY, pl.len() - 1),
        "session_minutes_mean": lasted.mean() / MINUTE,
        "session_minutes_last": lasted.last() / MINUTE,
        "session_minutes_max": lasted.max() / MINUTE,
        "session_events_mean": size.mean(),
        "session_events_last": size.last(),
        "session_events_max": size.max(),
        "session_bounce_share": (size == 1).mean(),
        "session_purchase_share": pl.col("sale").mean(),
    }
    return [value.cast(pl.Float64).alias(name) for name, value in found.items()]


def _channels(places: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    """Everything about channels from the number of events on each."""
    edges = ends(places[HISTORY])
    recent = (pl.col(TIME) >= cutoff - 112 * DAY).any().alias("recent")
    rows = places.lazy().group_by(HISTORY, "channel").agg(pl.len().alias("events"), recent).collect()
    size = 1 + int(places[HISTORY].max() or 0)
    rows = rows.with_columns(pl.col("recent").cast(pl.UInt8), kind=pl.col("channel").to_physical())
    columns = {HISTORY: pl.int_range(size, dtype=pl.UInt32, eager=True)}
    for name in ("events", "recent"):
        for channel, series in zip(CHANNELS, dense(rows, len(CHANNELS), size, name, 0), strict=True):
            columns[f"{channel} {name}"] = series
    moved = places.lazy().select(HISTORY, moved=SAME & (pl.col("channel") != pl.col("channel").shift(1)))
    switches = moved.group_by(HISTORY, maintain_order=True).agg(
        pl.col("moved").fill_null(False).mean().alias("channel_switch_share")
    )
    newest = edges.lazy().select(HISTORY, last_channel=places["channel"].gather(edges["last"]).cast(pl.String))
    found = pl.LazyFrame(columns).select(HISTORY, *_channel_features())
    return newest.join(switches, on=HISTORY, how="left").join(found, on=HISTORY, how="left").collect()


def _channel_features() -> list[pl.Expr]:
    events = [pl.col(f"{channel} events").cast(pl.Float64) for channel in CHANNELS]
    total = pl.sum_horizontal(events)
    spread = pl.sum_horizontal(pl.when(n > 0).then(n * n.log()).otherwise(0.0) for n in events)
    found = {
        "channels_count": pl.sum_horizontal(n > 0 for n in events),
        "channels_112d": pl.sum_horizontal(f"{channel} recent" for channel in CHANNELS),
        "main_channel_share": pl.max_horizontal(events) / total,
        "channel_entropy": total.log() - spread / total,
        **{f"channel_{name}_share": n / total for name, n in zip(CHANNELS, events, strict=True)},
    }
    return [value.cast(pl.Float64).alias(name) for name, value in found.items()]
