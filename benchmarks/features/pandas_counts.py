"""Pandas: everything that counts of each event type say."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.features.pandas_frames import HISTORY, by, ratio
from benchmarks.features.world import DAY, FRICTION, OWN, TOUCHES, TYPES, WINDOWS


def features(past: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """A row per history with any event."""
    width = len(TYPES)
    keyed = pd.DataFrame({"time": past["time"], "key": past[HISTORY] * width + past["event"].cat.codes})
    first = by(past)["time"].first()
    total = _table(keyed.groupby("key", sort=False)["time"].agg(["size", "last"]), first.index)
    inside = {}
    for days in sorted(WINDOWS, reverse=True):
        keyed = keyed[keyed["time"] >= cutoff - days * DAY]
        inside[days] = _table(keyed["key"].value_counts(sort=False).to_frame("size"), first.index)["size"].fillna(0)
    tenure = (cutoff - first) / DAY
    return pd.DataFrame(_features(total["size"].fillna(0), total["last"], inside, tenure, cutoff))


def _table(found: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """A row per history, a column per type, from a row per key."""
    width = len(TYPES)
    places = pd.MultiIndex.from_arrays([found.index // width, found.index % width])
    table = found.set_index(places).unstack().reindex(index)
    full = pd.MultiIndex.from_product([found.columns, range(width)])
    table = table.reindex(columns=full)
    table.columns = pd.MultiIndex.from_product([found.columns, TYPES])
    return table


def _features(
    total: pd.DataFrame, newest: pd.DataFrame, inside: dict[int, pd.DataFrame], tenure: Any, cutoff: int
) -> dict[str, Any]:
    since = (cutoff - newest) / DAY
    own, friction, touches = list(OWN + FRICTION), list(FRICTION), list(TOUCHES)
    found = {
        "tenure_days": tenure,
        "recency_days": since[own].min(axis=1),
        "friction_recency_days": since[friction].min(axis=1),
        "touch_recency_days": since[touches].min(axis=1),
        "friction_per_purchase": ratio(total[friction].sum(axis=1), total["purchase"]),
        "purchases_per_touch": ratio(total["purchase"], total[touches].sum(axis=1)),
    }
    for name in own:
        found[f"{name}_recency_days"] = since[name]
        found[f"{name}_per_28d"] = total[name] * 28 / tenure.clip(lower=28)
    for name in OWN:
        found[f"{name}_trend_28d"] = ratio(inside[28][name], inside[56][name])
        found |= {f"{name}_{days}d": inside[days][name] for days in WINDOWS}
    found |= {f"{name}_112d": inside[112][name] for name in (*FRICTION, *TOUCHES)}
    found |= {f"friction_{days}d": inside[days][friction].sum(axis=1) for days in WINDOWS}
    return found | {f"touches_{days}d": inside[days][touches].sum(axis=1) for days in WINDOWS}
