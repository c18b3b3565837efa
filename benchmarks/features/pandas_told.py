"""Pandas: what events contain, and what followed what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.features.pandas_frames import HISTORY, by, ratio, totals
from benchmarks.features.world import CART_WITHIN, DAY, GROUPS, RESPONSE_WITHIN, TOUCHES, WINDOWS


def features(past: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """Frames by history."""
    return [
        *(_number(_with(past, name), name, cutoff) for name in ("items", "discount")),
        *(_category(_with(past, name), name) for name in ("product", "topic")),
        *(_rating(_with(past, name), name, cutoff) for name in ("rating", "nps")),
        _responses(past, cutoff),
        _abandoned(past, cutoff),
    ]


def _with(past: pd.DataFrame, name: str) -> pd.DataFrame:
    return past.loc[past[name].notna(), [HISTORY, "time", name]]


def _number(rows: pd.DataFrame, name: str, cutoff: int) -> pd.DataFrame:
    found = by(rows)[name].agg(["mean", "last"]).set_axis([f"{name}_mean", f"last_{name}"], axis=1)
    recent = by(rows[rows["time"] >= cutoff - 28 * DAY])[name].mean()
    return found.join(recent.rename(f"{name}_mean_28d"))


def _category(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    kinds = rows[[HISTORY, name]].drop_duplicates()[HISTORY].value_counts(sort=False)
    newest = rows[rows[HISTORY] != rows[HISTORY].shift(-1)].set_index(HISTORY)[name]
    return pd.DataFrame({f"last_{name}": newest, f"{name}_kinds": kinds})


def _rating(rows: pd.DataFrame, name: str, cutoff: int) -> pd.DataFrame:
    found = by(rows)[name].agg(["mean", "last", "min"]).add_prefix(f"{name}_")
    found[f"{name}_answer_recency_days"] = (cutoff - by(rows)["time"].last()) / DAY
    if name == "nps":
        group = pd.cut(found["nps_last"], [-np.inf, 7, 9, np.inf], right=False, labels=GROUPS)
        found["nps_group"] = group
    return found


def _responses(past: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    due = _due(past, TOUCHES, RESPONSE_WITHIN, cutoff)
    recent = due["time"] >= cutoff - 112 * DAY
    found = totals(due, {"recent": recent, "answered": recent & due["followed"], "followed": due["followed"]})
    return pd.DataFrame(
        {
            "touch_response_share": found["followed"] / by(due).size(),
            "touch_response_share_112d": ratio(found["answered"], found["recent"]),
        }
    )


def _abandoned(past: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    due = _due(past, ("cart",), CART_WITHIN, cutoff)
    left, time = ~due["followed"], due["time"]
    inside: dict[str, Any] = {f"abandoned_{days}d": left & (time >= cutoff - days * DAY) for days in WINDOWS}
    found = totals(due, inside | {"left": left})
    found["abandoned_share"] = found.pop("left") / by(due).size()
    return found.assign(abandoned_recency_days=(cutoff - by(due[left])["time"].last()) / DAY)


def _due(past: pd.DataFrame, started: tuple[str, ...], within: int, cutoff: int) -> pd.DataFrame:
    """A row per started event at the instant it is known whether a purchase followed, and whether one did."""
    rows = past.loc[past["event"].isin([*started, "purchase"]), [HISTORY, "time", "event"]]
    bought = rows["event"] == "purchase"
    after, whose = (rows[name].where(bought).bfill() for name in ("time", HISTORY))
    followed = (whose == rows[HISTORY]) & (after < rows["time"] + within)
    due = pd.DataFrame({HISTORY: rows[HISTORY], "time": rows["time"] + within, "followed": followed})
    return due[~bought & (due["time"] < cutoff)]
