"""The catalogue of `simulated` at one cutoff in NumPy, between a pandas log and a pandas frame, written to win.

Categories are codes, groups are whole numbers, the log stands customer by customer in order: counting is
`bincount`, the newest is what an assignment leaves, the row before is a shift with a mask; pandas groups
where NumPy cannot.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.features import arrays_activity, arrays_counts, arrays_orders, arrays_stages, arrays_told
from benchmarks.features.arrays_frames import Columns, Past
from benchmarks.features.world import CHANNELS, TYPES

CATEGORIES = {"event": TYPES, "channel": CHANNELS, "product": None, "topic": None, "customer_id": None}


def prepared(events: pl.DataFrame) -> pd.DataFrame:
    """The log as the best a pandas user could have read; not part of what is timed."""
    log = events.drop("position", "event_id", strict=False).to_pandas()
    for name, categories in CATEGORIES.items():
        log[name] = pd.Categorical(log[name], categories=categories)
    return log


def vectors(log: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """One row per customer with a past, by `customer_id`."""
    seen = ((log["time"] < cutoff) & (log["known_at"] < cutoff)).to_numpy()
    past = Past.of(log if seen.all() else log[seen], cutoff)
    columns: Columns = arrays_counts.counts(past)
    for family in (arrays_activity, arrays_orders, arrays_stages, arrays_told):
        columns |= family.features(past)
    columns["first_conversion_days"] = columns["tenure_days"] - columns["purchase_tenure_days"]
    found = pd.DataFrame(columns)
    found.insert(0, "customer_id", log["customer_id"].cat.categories)
    return found[~np.isnan(columns["tenure_days"])]


def polars(found: pd.DataFrame) -> pl.DataFrame:
    """The vectors as ours are."""
    return pl.from_pandas(found).with_columns(pl.col(pl.Categorical, pl.Enum, pl.String).cast(pl.String))
