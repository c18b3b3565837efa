"""How many customers a task asks about at each cutoff, and what came of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.journey import Journey
from features.schema import CUTOFF, to_text
from training.examples import Examples


def by_cutoff(journey: Journey, data: Examples) -> list[dict[str, Any]]:
    """Per cutoff, oldest first: `cutoff`, `customers`, `base`.

    `base` is the share that churned, or changed stage, or the mean value.
    """
    frame = data.rows.select(CUTOFF).with_columns(came=pl.Series(_came(journey, data)))
    found = frame.group_by(CUTOFF).agg(pl.len().alias("customers"), pl.col("came").mean()).sort(CUTOFF)
    return [{"cutoff": to_text(at), "customers": rows, "base": came} for at, rows, came in found.iter_rows()]


def _came(journey: Journey, data: Examples) -> NDArray[np.float64]:
    if data.task != "next_stage":
        return data.labels
    names = journey.stage_names
    present = data.rows["stage"].cast(pl.String).replace_strict(names, range(len(names)), default=None)
    return np.asarray(data.labels != present.cast(pl.Float64).to_numpy(), dtype=np.float64)
