"""The catalogue of `simulated` at one cutoff in vectorised pandas, written to win.

Groups are whole numbers, filters come before groupings, each grouping does as much as it can at once, the row before is
a shift with a mask (the log stands customer by customer in order), and no Python function runs per customer.
"""

from __future__ import annotations

import pandas as pd
import polars as pl

from benchmarks.features import pandas_activity, pandas_counts, pandas_orders, pandas_stages, pandas_told
from benchmarks.features.pandas_frames import HISTORY
from benchmarks.features.world import CHANNELS, TYPES

CATEGORIES = {"event": TYPES, "channel": CHANNELS, "product": None, "topic": None}
COLUMNS = ["history", "time", "event", "value", "channel", "items", "product", "discount", "topic", "rating", "nps"]


def prepared(events: pl.DataFrame) -> pd.DataFrame:
    """The log as the best a pandas user could have read; not part of what is timed."""
    log = events.drop("position", "event_id", strict=False).to_pandas()
    for name, categories in CATEGORIES.items():
        log[name] = pd.Categorical(log[name], categories=categories)
    log["customer_id"] = pd.Categorical(log["customer_id"])
    log[HISTORY] = log["customer_id"].cat.codes.astype("int64")  # int16 would overflow in keys
    return log


def vectors(log: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """One row per customer with a past, by `customer_id`."""
    past = log.loc[(log["time"] < cutoff) & (log["known_at"] < cutoff), COLUMNS]
    frames = [pandas_counts.features(past, cutoff)]
    for family in (pandas_activity, pandas_orders, pandas_stages, pandas_told):
        frames += family.features(past, cutoff)
    found = pd.concat([frame.reindex(frames[0].index) for frame in frames], axis=1)
    found["first_conversion_days"] = found["tenure_days"] - found["purchase_tenure_days"]
    found[list(ZEROS)] = found[list(ZEROS)].fillna(0)
    found.insert(0, "customer_id", log["customer_id"].cat.categories[found.index])
    return found


def polars(found: pd.DataFrame) -> pl.DataFrame:
    """The vectors as ours are."""
    return pl.from_pandas(found).with_columns(pl.col(pl.Categorical, pl.Enum, pl.String).cast(pl.String))


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
