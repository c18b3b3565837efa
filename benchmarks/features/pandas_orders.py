"""Pandas: purchases and money."""

from __future__ import annotations

from typing import Any

import pandas as pd

from benchmarks.features.pandas_frames import HISTORY, by, ratio, same, totals
from benchmarks.features.world import DAY, SUN, WINDOWS, YEAR


def features(past: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """Frames by history."""
    orders = past.loc[past["event"] == "purchase", [HISTORY, "time", "value"]]
    edges = by(orders)["time"].agg(["first", "last"])
    known, since = cutoff - edges["first"], (cutoff - edges["last"]) / DAY
    return [
        _money(orders, known, cutoff),
        _gaps(orders, known, since),
        _year(orders, known, cutoff),
        _refunds(past),
    ]


def _money(orders: pd.DataFrame, known: Any, cutoff: int) -> pd.DataFrame:
    value, time = orders["value"], orders["time"]
    inside = {days: time >= cutoff - days * DAY for days in WINDOWS}
    sums = {f"spend_{days}d": value.where(chosen) for days, chosen in inside.items()}
    told = {f"order_value_{days}d": chosen & value.notna() for days, chosen in inside.items()}
    found = totals(orders, {**sums, **told, "everything": value})
    for days in WINDOWS:
        found[f"order_value_{days}d"] = ratio(found[f"spend_{days}d"], found[f"order_value_{days}d"])
    found["spend_trend_28d"] = ratio(found["spend_28d"], found["spend_56d"])
    found["spend_per_day"] = found.pop("everything") / (known / DAY).clip(lower=1)
    amounts = by(orders)["value"].agg(["median", "max", "std"]).add_prefix("order_value_")
    newest = orders[~(orders[HISTORY] == orders[HISTORY].shift(-1))].set_index(HISTORY)["value"]
    return found.join(amounts).join(newest.rename("last_order_value"))


def _gaps(orders: pd.DataFrame, known: Any, since: Any) -> pd.DataFrame:
    gap = (orders["time"] // DAY).diff()
    apart = same(orders) & (gap > 0)
    rows = pd.DataFrame({HISTORY: orders[HISTORY], "gap": gap})[apart]
    gaps = by(rows)["gap"].agg(["mean", "median", "std", "max", "last", "size"]).reindex(known.index)
    days = gaps.pop("size").fillna(0) + 1
    found = gaps.add_prefix("purchase_gap_days_")
    return found.assign(
        purchase_regularity=ratio(gaps["std"], gaps["mean"]),
        purchase_overdue=ratio(since, gaps["median"]),
        purchase_past_longest=ratio(since, gaps["max"]),
        purchase_tenure_days=known / DAY,
        purchase_days=days * 28 / (known / DAY).clip(lower=28),
        repeat_purchase_days=days - 1,
        repeat_span_days=known / DAY - since,
        anniversary_days=((YEAR - known % YEAR) / DAY).where(known >= YEAR),
    )


def _year(orders: pd.DataFrame, known: Any, cutoff: int) -> pd.DataFrame:
    time = orders["time"]
    ahead = (time >= cutoff - YEAR) & (time < cutoff - YEAR + 28 * DAY)
    year = time >= cutoff - YEAR
    counted = totals(
        orders,
        {
            "ahead": ahead,
            "spent": orders["value"].where(ahead),
            "now": time >= cutoff - 28 * DAY,
            "then": (time >= cutoff - YEAR - 28 * DAY) & (time < cutoff - YEAR),
            "year": year,
            "quarter": year & (time % SUN * 4 // SUN == cutoff % SUN * 4 // SUN),
        },
    )
    long = known >= YEAR
    return pd.DataFrame(
        {
            "purchases_year_ago_28d": counted["ahead"].where(long),
            "spend_year_ago_28d": counted["spent"].where(long),
            "purchases_year_over_year_28d": ratio(counted["now"], counted["then"]).where(known >= YEAR + 28 * DAY),
            "quarter_purchase_share": ratio(counted["quarter"], counted["year"]).where(long),
        }
    )


def _refunds(past: pd.DataFrame) -> pd.DataFrame:
    rows = past.loc[past["value"].notna(), [HISTORY, "value"]]
    value = rows["value"]
    found = totals(rows, {"refunds_count": value < 0, "lost": value.clip(upper=0), "won": value.clip(lower=0)})
    return found.assign(refunds_share=ratio(-found.pop("lost"), found.pop("won")))
