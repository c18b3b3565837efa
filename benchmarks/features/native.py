"""The catalogue of `simulated` at one cutoff by hand in native Polars, written to win.

The log stands customer by customer in order, so no window function is needed: the row before is a shift with a mask.
"""

from __future__ import annotations

import polars as pl

from benchmarks.features import native_activity, native_orders, native_told
from benchmarks.features.native_counts import counts
from benchmarks.features.native_frames import HISTORY, TIME, TYPE, beside
from benchmarks.features.native_stages import stages
from benchmarks.features.world import CHANNELS, DAY, TYPES

COLUMNS = ("value", "items", "product", "discount", "topic", "rating", "nps")


def vectors(events: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    """One row per customer with a past, by `customer_id`; `events` as `features.log.read` gives them."""
    past = seen(events, cutoff)
    customers = past.select(pl.col("customer_id").filter(pl.col(HISTORY).rle_id().diff().fill_null(1) > 0))
    past = past.drop("customer_id")
    base = counts(past, cutoff, len(customers))
    orders = past.lazy().filter(pl.col(TYPE) == "purchase")
    lazy = [
        native_orders.orders(orders, cutoff),
        native_orders.money(past.lazy()),
        *native_told.told(past.lazy(), cutoff),
        native_told.followed(past.lazy(), cutoff),
        native_told.abandoned(past.lazy(), cutoff),
        stages(past.lazy(), orders, cutoff),
    ]
    found = [*native_activity.activity(past, cutoff), *pl.collect_all(lazy)]
    rows = beside(base, found)
    until = (pl.col("first purchase") - pl.col("first")) / DAY
    done = rows.with_columns(*(pl.col(name).fill_null(0) for name in ZEROS), first_conversion_days=until)
    done = done.drop(HISTORY, "first", "first purchase")
    return customers.hstack(done)


def seen(events: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    """The events known before the cutoff with `history`, numbered from 0 in the order of the customers."""
    rows = events.lazy().filter(pl.col(TIME) < cutoff, pl.col("known_at") < cutoff)
    return rows.select(
        "customer_id",
        pl.col("customer_id").rle_id().set_sorted().alias(HISTORY),
        TIME,
        pl.col("event").cast(pl.Enum(TYPES)).alias(TYPE),
        pl.col("channel").cast(pl.Enum(CHANNELS)),
        *COLUMNS,
    ).collect()


ZEROS = (
    *(f"{name}_{days}d" for name in ("active_days", "spend", "abandoned", "sessions") for days in (7, 28, 56, 112)),
    "spend_per_day",
    "refunds_count",
    "stages_seen",
    "stage_changes_112d",
    "run_length",
    "session_minutes_28d",
    "session_events_last",
    "session_events_max",
)
