"""Native Polars: what events contain, and what followed what."""

from __future__ import annotations

import polars as pl

from benchmarks.features.native_frames import HISTORY, TIME, TYPE, is_type, ratio
from benchmarks.features.world import CART_WITHIN, DAY, GROUPS, RESPONSE_WITHIN, TOUCHES, WINDOWS


def told(past: pl.LazyFrame, cutoff: int) -> list[pl.LazyFrame]:
    """Numbers, categories and answers: a frame per property, of the rows that have it."""
    return [
        *(_number(_with(past, name), name, cutoff) for name in ("items", "discount")),
        *(_category(_with(past, name), name) for name in ("product", "topic")),
        *(_rating(_with(past, name), name, cutoff) for name in ("rating", "nps")),
    ]


def _with(past: pl.LazyFrame, name: str) -> pl.LazyFrame:
    return past.filter(pl.col(name).is_not_null()).select(HISTORY, TIME, name)


def _number(rows: pl.LazyFrame, name: str, cutoff: int) -> pl.LazyFrame:
    value, inside = pl.col(name), pl.col(TIME) >= cutoff - 28 * DAY
    return rows.group_by(HISTORY, maintain_order=True).agg(
        value.mean().alias(f"{name}_mean"),
        pl.when(inside).then(value).mean().alias(f"{name}_mean_28d"),
        value.last().alias(f"last_{name}"),
    )


def _category(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    return rows.group_by(HISTORY, maintain_order=True).agg(
        pl.col(name).last().alias(f"last_{name}"), pl.col(name).n_unique().cast(pl.Float64).alias(f"{name}_kinds")
    )


def _rating(rows: pl.LazyFrame, name: str, cutoff: int) -> pl.LazyFrame:
    value = pl.col(name)
    last = value.last()
    group = (
        pl.when(last >= 9).then(pl.lit(GROUPS[2])).when(last >= 7).then(pl.lit(GROUPS[1])).otherwise(pl.lit(GROUPS[0]))
    )
    return rows.group_by(HISTORY, maintain_order=True).agg(
        value.mean().alias(f"{name}_mean"),
        last.alias(f"{name}_last"),
        value.min().alias(f"{name}_min"),
        ((cutoff - pl.col(TIME).last()) / DAY).alias(f"{name}_answer_recency_days"),
        *([group.alias("nps_group")] if name == "nps" else []),
    )


def followed(past: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    """Whether a purchase followed a touch."""
    recent = pl.col(TIME) >= cutoff - 112 * DAY
    rows = _due(past, TOUCHES, RESPONSE_WITHIN, cutoff).group_by(HISTORY, maintain_order=True)
    found = rows.agg(
        pl.col("followed").mean().alias("touch_response_share"),
        (pl.col("followed") & recent).sum().alias("answered"),
        recent.sum().alias("recent"),
    )
    share = ratio(pl.col("answered"), pl.col("recent")).alias("touch_response_share_112d")
    return found.select(HISTORY, "touch_response_share", share)


def abandoned(past: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    """Carts left behind."""
    left, time = pl.col("followed").not_(), pl.col(TIME)
    return (
        _due(past, ("cart",), CART_WITHIN, cutoff)
        .group_by(HISTORY, maintain_order=True)
        .agg(
            *((left & (time >= cutoff - d * DAY)).sum().cast(pl.Float64).alias(f"abandoned_{d}d") for d in WINDOWS),
            left.mean().alias("abandoned_share"),
            ((cutoff - pl.when(left).then(time).max()) / DAY).alias("abandoned_recency_days"),
        )
    )


def _due(past: pl.LazyFrame, started: tuple[str, ...], within: int, cutoff: int) -> pl.LazyFrame:
    """A row per started event at the instant it is known whether a purchase followed."""
    bought = pl.col(TYPE) == "purchase"
    rows = past.filter(is_type(*started, "purchase"))
    after, whose = (pl.when(bought).then(pl.col(name)).backward_fill() for name in (TIME, HISTORY))
    followed = ((whose == pl.col(HISTORY)) & (after < pl.col(TIME) + within)).fill_null(False)
    due = rows.select(HISTORY, pl.col(TIME) + within, bought=bought, followed=followed)
    return due.filter(~pl.col("bought"), pl.col(TIME) < cutoff)
