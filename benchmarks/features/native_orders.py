"""Native Polars: purchases and money."""

from __future__ import annotations

import polars as pl

from benchmarks.features.native_frames import HISTORY, SAME, TIME, ratio
from benchmarks.features.world import DAY, SUN, WINDOWS, YEAR


def money(past: pl.LazyFrame) -> pl.LazyFrame:
    """What came and what went back."""
    value = pl.col("value")
    rows = past.filter(value.is_not_null()).group_by(HISTORY, maintain_order=True)
    found = rows.agg((value < 0).sum().alias("refunds_count"), lost=value.clip(upper_bound=0).sum(), net=value.sum())
    share = ratio(-pl.col("lost"), pl.col("net") - pl.col("lost")).alias("refunds_share")
    return found.select(HISTORY, pl.col("refunds_count").cast(pl.Float64), share)


def orders(rows: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    """Spend, order values, gaps between purchase days, the year before."""
    day = pl.col(TIME) // DAY
    gap = pl.when(SAME & (day > day.shift(1))).then(day - day.shift(1))
    quarter = pl.col(TIME) % SUN * 4 // SUN == cutoff % SUN * 4 // SUN
    rows = rows.select(
        HISTORY,
        TIME,
        "value",
        gap=gap,
        new=SAME.not_().fill_null(True) | (day > day.shift(1)),
        quarter=quarter & (pl.col(TIME) >= cutoff - YEAR),
    )
    return rows.group_by(HISTORY, maintain_order=True).agg(*_aggregates(cutoff)).select(HISTORY, *_features(cutoff))


def _aggregates(cutoff: int) -> list[pl.Expr]:
    value, gap, time = pl.col("value"), pl.col("gap"), pl.col(TIME)
    ahead = (time >= cutoff - YEAR) & (time < cutoff - YEAR + 28 * DAY)
    found = {
        "first": time.first(),
        "newest": time.last(),
        "days": pl.col("new").sum(),
        "spent": value.sum(),
        "order_value_median": value.median(),
        "order_value_max": value.max(),
        "order_value_std": value.std(),
        "last_order_value": value.last(),
        "purchase_gap_days_mean": gap.mean(),
        "purchase_gap_days_median": gap.median(),
        "purchase_gap_days_std": gap.std(),
        "purchase_gap_days_max": gap.max(),
        "purchase_gap_days_last": gap.drop_nulls().last(),
        "year": (time >= cutoff - YEAR).sum(),
        "quarter": pl.col("quarter").sum(),
        "now": (time >= cutoff - 28 * DAY).sum(),
        "then": ((time >= cutoff - YEAR - 28 * DAY) & (time < cutoff - YEAR)).sum(),
        "ahead": ahead.sum(),
        "spent ahead": pl.when(ahead).then(value).sum(),
    }
    for days in WINDOWS:
        found[f"spend_{days}d"] = pl.when(time >= cutoff - days * DAY).then(value).sum()
        found[f"order_value_{days}d"] = pl.when(time >= cutoff - days * DAY).then(value).mean()
    return [value.alias(name) for name, value in found.items()]


def _features(cutoff: int) -> list[pl.Expr]:
    col = pl.col
    known, since = cutoff - col("first"), (cutoff - col("newest")) / DAY
    found = {
        "purchase_tenure_days": known / DAY,
        "spend_per_day": col("spent") / (known / DAY).clip(lower_bound=1),
        "spend_trend_28d": ratio(col("spend_28d"), col("spend_56d")),
        "purchase_regularity": ratio(col("purchase_gap_days_std"), col("purchase_gap_days_mean")),
        "purchase_overdue": ratio(since, col("purchase_gap_days_median")),
        "purchase_past_longest": ratio(since, col("purchase_gap_days_max")),
        "purchase_days": col("days") * 28.0 / (known / DAY).clip(lower_bound=28),
        "repeat_purchase_days": col("days").cast(pl.Int64) - 1,
        "repeat_span_days": (col("newest") - col("first")) / DAY,
        "anniversary_days": pl.when(known >= YEAR).then((YEAR - known % YEAR) / DAY),
        "purchases_year_ago_28d": pl.when(known >= YEAR).then(col("ahead")),
        "spend_year_ago_28d": pl.when(known >= YEAR).then(col("spent ahead")),
        "purchases_year_over_year_28d": pl.when(known >= YEAR + 28 * DAY).then(ratio(col("now"), col("then"))),
        "quarter_purchase_share": pl.when(known >= YEAR).then(ratio(col("quarter"), col("year"))),
    }
    same = [f"{name}_{days}d" for name in ("spend", "order_value") for days in WINDOWS]
    same += [f"order_value_{name}" for name in ("median", "max", "std")]
    same += ["last_order_value", *(f"purchase_gap_days_{name}" for name in ("mean", "median", "std", "max", "last"))]
    derived = [value.cast(pl.Float64).alias(name) for name, value in found.items()]
    return [col("first").alias("first purchase"), *(col(name).cast(pl.Float64) for name in same), *derived]
