"""Native Polars: everything that counts of each event type say, from one pass by customer and type."""

from __future__ import annotations

import polars as pl

from benchmarks.features.native_frames import HISTORY, TIME, TYPE, dense, ratio
from benchmarks.features.world import DAY, FRICTION, OWN, TOUCHES, TYPES, WINDOWS


def counts(past: pl.DataFrame, cutoff: int, size: int) -> pl.DataFrame:
    """One row per history, in order."""
    inside = [(pl.col(TIME) >= cutoff - days * DAY).sum().alias(str(days)) for days in WINDOWS]
    newest = pl.col(TIME).last().alias("newest")
    rows = past.lazy().group_by(HISTORY, TYPE).agg(pl.len().alias("all"), newest, *inside).collect()
    rows = rows.with_columns(kind=pl.col(TYPE).to_physical())
    columns = {HISTORY: pl.int_range(size, dtype=pl.UInt32, eager=True)}
    for name in ("all", *map(str, WINDOWS), "newest"):
        for kind, series in zip(
            TYPES, dense(rows, len(TYPES), size, name, None if name == "newest" else 0), strict=True
        ):
            columns[f"{kind} {name}"] = series
    first = past.select(pl.col(TIME).filter(pl.col(HISTORY).rle_id().diff().fill_null(1) > 0).alias("first"))
    return pl.DataFrame(columns).hstack(first).lazy().select(HISTORY, "first", *_features(cutoff)).collect()


def _features(cutoff: int) -> list[pl.Expr]:
    tenure = (cutoff - pl.col("first")) / DAY
    troubles, touches = _sum(FRICTION, "all"), _sum(TOUCHES, "all")
    found = {
        "tenure_days": tenure,
        "recency_days": _since(OWN + FRICTION, cutoff),
        "friction_recency_days": _since(FRICTION, cutoff),
        "touch_recency_days": _since(TOUCHES, cutoff),
        "friction_per_purchase": ratio(troubles, pl.col("purchase all")),
        "purchases_per_touch": ratio(pl.col("purchase all"), touches),
    }
    for kind in (*OWN, *FRICTION):
        found[f"{kind}_recency_days"] = _since((kind,), cutoff)
        found[f"{kind}_per_28d"] = pl.col(f"{kind} all") * 28.0 / tenure.clip(lower_bound=28)
    for kind in OWN:
        found[f"{kind}_trend_28d"] = ratio(pl.col(f"{kind} 28"), pl.col(f"{kind} 56"))
        found |= {f"{kind}_{days}d": pl.col(f"{kind} {days}") for days in WINDOWS}
    found |= {f"{kind}_112d": pl.col(f"{kind} 112") for kind in (*FRICTION, *TOUCHES)}
    found |= {f"friction_{days}d": _sum(FRICTION, str(days)) for days in WINDOWS}
    found |= {f"touches_{days}d": _sum(TOUCHES, str(days)) for days in WINDOWS}
    return [value.cast(pl.Float64).alias(name) for name, value in found.items()]


def _sum(kinds: tuple[str, ...], name: str) -> pl.Expr:
    return pl.sum_horizontal(f"{kind} {name}" for kind in kinds)


def _since(kinds: tuple[str, ...], cutoff: int) -> pl.Expr:
    return (cutoff - pl.max_horizontal(f"{kind} newest" for kind in kinds)) / DAY
