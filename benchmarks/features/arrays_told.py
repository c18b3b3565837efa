"""Arrays: what events contain, and what followed what."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.features.arrays_counts import PLACE
from benchmarks.features.arrays_frames import Array, Columns, Past, last_rows, ratio, spread
from benchmarks.features.world import CART_WITHIN, DAY, GROUPS, RESPONSE_WITHIN, TOUCHES, WINDOWS


def features(past: Past) -> Columns:
    """A column per feature, a row per history."""
    found: Columns = {}
    for name in ("items", "discount"):
        found |= _number(past, name)
    for name in ("product", "topic"):
        found |= _category(past, name)
    for name in ("rating", "nps"):
        found |= _rating(past, name)
    group = np.where(np.isnan(found["nps_last"]), -1, (found["nps_last"] >= 7) + 1 * (found["nps_last"] >= 9))
    found["nps_group"] = pd.Categorical.from_codes(group.astype(int), GROUPS)
    return found | _responses(past) | _abandoned(past)


def _with(past: Past, name: str) -> tuple[Past, Array]:
    """The rows that have a property, and its values."""
    told = past.log[name].notna().to_numpy()
    return past.only(told), past.log[name].to_numpy()[told]


def _newest(rows: Past, values: Array) -> Array:
    last = last_rows(rows.history)
    return spread(rows.size, rows.history[last], values[last])


def _mean(rows: Past, chosen: Array, values: Array) -> Array:
    return ratio(np.bincount(rows.history[chosen], values[chosen], minlength=rows.size), rows.number(chosen))


def _number(past: Past, name: str) -> Columns:
    rows, values = _with(past, name)
    return {
        f"{name}_mean": _mean(rows, slice(None), values),
        f"{name}_mean_28d": _mean(rows, rows.after(28), values),
        f"last_{name}": _newest(rows, values),
    }


def _category(past: Past, name: str) -> Columns:
    told = past.log[name].cat
    codes, names = told.codes.to_numpy(), told.categories
    rows, values = past.only(codes >= 0), codes[codes >= 0]
    last = last_rows(rows.history)
    newest = spread(past.size, rows.history[last], values[last], -1)
    width = len(names)
    events = np.bincount(rows.history * width + values, minlength=past.size * width).reshape(past.size, width)
    kinds = (events > 0).sum(axis=1)
    return {
        f"last_{name}": pd.Categorical.from_codes(newest, names),
        f"{name}_kinds": np.where(kinds == 0, np.nan, kinds),
    }


def _rating(past: Past, name: str) -> Columns:
    rows, values = _with(past, name)
    last = last_rows(rows.history)
    return {
        f"{name}_mean": _mean(rows, slice(None), values),
        f"{name}_last": _newest(rows, values),
        f"{name}_min": past.filled(pd.Series(values).groupby(rows.history).min()).to_numpy(),
        f"{name}_answer_recency_days": spread(past.size, rows.history[last], (past.cutoff - rows.time[last]) / DAY),
    }


def _responses(past: Past) -> Columns:
    due, followed = _due(past, TOUCHES, RESPONSE_WITHIN)
    recent = due.after(112)
    return {
        "touch_response_share": ratio(due.number(followed), due.number(slice(None))),
        "touch_response_share_112d": ratio(due.number(followed & recent), due.number(recent)),
    }


def _abandoned(past: Past) -> Columns:
    due, followed = _due(past, ("cart",), CART_WITHIN)
    left = due.only(~followed)
    last = last_rows(left.history)
    return {
        **{f"abandoned_{days}d": left.number(left.after(days)) for days in WINDOWS},
        "abandoned_share": ratio(left.number(slice(None)), due.number(slice(None))),
        "abandoned_recency_days": spread(past.size, left.history[last], (past.cutoff - left.time[last]) / DAY),
    }


def _due(past: Past, started: tuple[str, ...], within: int) -> tuple[Past, Array]:
    """The started events at the instant it is known whether a purchase followed, and whether one did."""
    bought = past.kind == PLACE["purchase"]
    begun = np.isin(past.kind, [PLACE[name] for name in started])
    orders, rows = np.flatnonzero(bought), np.flatnonzero(begun)
    after = np.append(orders, 0)[np.searchsorted(orders, rows)]  # the next purchase in the log, whosever
    one = (after > rows) & (past.history[after] == past.history[rows])
    followed = one & (past.time[after] < past.time[rows] + within)
    over = past.time[rows] + within < past.cutoff
    due = Past(
        past.log,
        past.history[rows],
        past.time[rows] + within,
        past.kind[rows],
        past.channel[rows],
        past.size,
        past.cutoff,
    )
    return due.only(over), followed[over]
