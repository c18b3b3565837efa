"""Arrays: purchases and money."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.features.arrays_counts import PLACE
from benchmarks.features.arrays_frames import Array, Columns, Past, differences, last_rows, ratio, same, spread
from benchmarks.features.world import DAY, SUN, WINDOWS, YEAR


def features(past: Past) -> Columns:
    """A column per feature, a row per history."""
    value = past.log["value"].to_numpy()
    chosen = past.kind == PLACE["purchase"]
    orders, paid = past.only(chosen), value[chosen]
    last = last_rows(orders.history)
    first = np.append(0, last[:-1] + 1)[: len(last)]
    known = spread(past.size, orders.history[first], past.cutoff - orders.time[first])
    since = spread(past.size, orders.history[last], past.cutoff - orders.time[last])
    newest = spread(past.size, orders.history[last], paid[last])
    money = _money(orders, paid, known)
    gaps = _gaps(orders, known, since)
    return money | gaps | _year(orders, paid, known) | _refunds(past, value) | {"last_order_value": newest}


def _sum(past: Past, chosen: Array, paid: Array) -> Array:
    return np.bincount(past.history[chosen], np.nan_to_num(paid[chosen]), minlength=past.size)


def _money(orders: Past, paid: Array, known: Array) -> Columns:
    told = ~np.isnan(paid)
    found: Columns = {}
    for days in WINDOWS:
        chosen = orders.after(days)
        found[f"spend_{days}d"] = _sum(orders, chosen, paid)
        found[f"order_value_{days}d"] = ratio(found[f"spend_{days}d"], orders.number(chosen & told))
    amounts = orders.filled(_grouped(orders.history, paid).agg(["median", "max", "std"]))
    everything = _sum(orders, slice(None), paid)
    return {
        **found,
        **{f"order_value_{name}": amounts[name].to_numpy() for name in amounts},
        "spend_trend_28d": ratio(found["spend_28d"], found["spend_56d"]),
        "spend_per_day": np.nan_to_num(everything / np.maximum(known / DAY, 1)),
    }


def _grouped(history: Array, values: Array) -> Any:
    return pd.Series(values).groupby(history)


def _gaps(orders: Past, known: Array, since: Array) -> Columns:
    gap = differences(orders.time // DAY)
    apart = same(orders.history) & (gap > 0)
    gaps = orders.filled(_grouped(orders.history[apart], gap[apart]).agg(["mean", "median", "std", "max", "last"]))
    mean, median, deviation, longest, _ = (gaps[name].to_numpy() for name in gaps)
    days = orders.number(apart) + np.where(np.isnan(known), np.nan, 1)
    return {
        **{f"purchase_gap_days_{name}": gaps[name].to_numpy() for name in gaps},
        "purchase_regularity": ratio(deviation, mean),
        "purchase_overdue": ratio(since / DAY, median),
        "purchase_past_longest": ratio(since / DAY, longest),
        "purchase_tenure_days": known / DAY,
        "purchase_days": days * 28 / np.maximum(known / DAY, 28),
        "repeat_purchase_days": days - 1,
        "repeat_span_days": (known - since) / DAY,
        "anniversary_days": np.where(known >= YEAR, (YEAR - known % YEAR) / DAY, np.nan),
    }


def _year(orders: Past, paid: Array, known: Array) -> Columns:
    time, cutoff = orders.time, orders.cutoff
    ahead = (time >= cutoff - YEAR) & (time < cutoff - YEAR + 28 * DAY)
    then = (time >= cutoff - YEAR - 28 * DAY) & (time < cutoff - YEAR)
    year = time >= cutoff - YEAR
    quarter = year & (time % SUN * 4 // SUN == cutoff % SUN * 4 // SUN)
    seasons = ratio(orders.number(quarter), orders.number(year))
    now = ratio(orders.number(orders.after(28)), orders.number(then))
    return {
        "purchases_year_ago_28d": np.where(known >= YEAR, orders.number(ahead), np.nan),
        "spend_year_ago_28d": np.where(known >= YEAR, _sum(orders, ahead, paid), np.nan),
        "purchases_year_over_year_28d": np.where(known >= YEAR + 28 * DAY, now, np.nan),
        "quarter_purchase_share": np.where(known >= YEAR, seasons, np.nan),
    }


def _refunds(past: Past, value: Array) -> Columns:
    lost, won = value < 0, value >= 0
    back = -_sum(past, lost, value)
    return {"refunds_count": past.number(lost), "refunds_share": ratio(back, _sum(past, won, value))}
