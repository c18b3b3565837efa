"""Pandas: stages, from the instants at which a rule begins or ceases to hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.features.pandas_frames import HISTORY, by, ratio, same, totals
from benchmarks.features.world import ADVOCATE, DAY, LAPSED, RETAINED, STAGES

RULES = ["considers", "bought", "retained", "advocate", "lapsed"]


def features(past: pd.DataFrame, cutoff: int) -> list[pd.DataFrame]:
    """Frames by history."""
    rows = _changes(past, cutoff)
    moved = rows["previous"] >= 0
    recent = moved & (rows["time"] >= cutoff - 112 * DAY)
    back = moved & (rows["stage"] < rows["previous"])
    found = totals(rows, {"stage_changes_112d": recent, "back": back, "moves": moved})
    found["stage_moves_back"] = ratio(found.pop("back"), found.pop("moves"))
    newest = by(rows)[["time", "stage", "previous"]].last()
    return [
        found.assign(
            stage_days=(cutoff - newest["time"]) / DAY,
            stages_seen=rows[[HISTORY, "stage"]].drop_duplicates()[HISTORY].value_counts(sort=False),
            stage=pd.Categorical.from_codes(newest["stage"], STAGES),
            previous_stage=pd.Categorical.from_codes(newest["previous"], STAGES),
        )
    ]


def _turns(past: pd.DataFrame) -> pd.DataFrame:
    """Rows at which rules turn true (1) or false (0)."""
    event, columns = past["event"], [HISTORY, "time"]
    looked, orders, told = (
        past.loc[event.isin(names), columns] for names in (["visit", "cart"], ["purchase"], ["referral", "review"])
    )

    def turn(rows: pd.DataFrame, rule: str, value: int, later: int = 0) -> pd.DataFrame:
        return rows.assign(time=rows["time"] + later, **{rule: value})

    idle, back = _idle(orders, LAPSED)
    silent, again = _idle(told, ADVOCATE)
    begins, ends = _retained(orders)
    return pd.concat(
        [
            past.loc[~same(past), columns],
            turn(looked[~same(looked)], "considers", 1),
            turn(orders[~same(orders)], "bought", 1),
            turn(orders[idle], "lapsed", 1, LAPSED),
            turn(orders[back], "lapsed", 0),
            turn(told[again | ~same(told)], "advocate", 1),
            turn(told[silent], "advocate", 0, ADVOCATE),
            turn(orders[begins], "retained", 1),
            turn(orders[ends], "retained", 0, RETAINED),
        ],
        ignore_index=True,
    )


def _idle(rows: pd.DataFrame, length: int) -> tuple[Any, Any]:
    """The rows after which nothing comes for so long, and those that end such a time."""
    back = same(rows) & (rows["time"].diff() > length)
    return back.shift(-1, fill_value=True) | ~same(rows, -1), back


def _retained(orders: pd.DataFrame) -> tuple[Any, Any]:
    """Where two purchases come to lie within the window, and the rows whose leaving it ends that."""
    again = same(orders) & (orders["time"].diff() < RETAINED)
    joined = again & again.shift(1, fill_value=False) & (orders["time"].diff(2) <= RETAINED)
    return again & ~joined, again.shift(-1, fill_value=False) & ~joined.shift(-2, fill_value=False)


def _changes(past: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """The rows at which the stage becomes another, with the one before (-1: none)."""
    rows = _turns(past)
    rows = rows[rows["time"] < cutoff].sort_values([HISTORY, "time"], ignore_index=True)
    top = ~same(rows)
    rows[RULES] = rows[RULES].where(~top, rows[RULES].fillna(0), axis=0).ffill()
    rows["stage"] = (rows[RULES].to_numpy() * np.arange(1, len(RULES) + 1)).max(axis=1).astype(int)
    rows = rows[~same(rows, -1) | (rows["time"] != rows["time"].shift(-1))]
    rows["previous"] = rows["stage"].shift(1, fill_value=-1).where(same(rows), -1)
    return rows[rows["stage"] != rows["previous"]]
