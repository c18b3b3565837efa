"""Arrays: stages, from the instants at which a rule begins or ceases to hold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.features.arrays_counts import PLACE
from benchmarks.features.arrays_frames import Array, Columns, Past, last_rows, ratio, same, spread
from benchmarks.features.world import ADVOCATE, DAY, LAPSED, RETAINED, STAGES

RULES = ("considers", "bought", "retained", "advocate", "lapsed")


def features(past: Past) -> Columns:
    """A column per feature, a row per history."""
    history, time, stage, previous = _changes(past)
    last, moved = last_rows(history), previous >= 0
    whose = history[last]
    seen = np.bincount(history * len(STAGES) + stage, minlength=past.size * len(STAGES)).reshape(past.size, -1)
    recent = moved & (time >= past.cutoff - 112 * DAY)

    def number(chosen: Array) -> Array:
        return np.bincount(history[chosen], minlength=past.size)

    return {
        "stage": pd.Categorical.from_codes(spread(past.size, whose, stage[last], -1), STAGES),
        "previous_stage": pd.Categorical.from_codes(spread(past.size, whose, previous[last], -1), STAGES),
        "stage_days": spread(past.size, whose, (past.cutoff - time[last]) / DAY),
        "stages_seen": (seen > 0).sum(axis=1),
        "stage_changes_112d": number(recent),
        "stage_moves_back": ratio(number(moved & (stage < previous)), number(moved)),
    }


def _turns(past: Past) -> pd.DataFrame:
    """Rows at which rules turn true (1) or false (0)."""
    first = np.flatnonzero(~same(past.history))
    rows = [pd.DataFrame({"history": past.history[first], "time": past.time[first]})]

    def add(of: Past, chosen: Array, rule: str, value: int, later: int = 0) -> None:
        rows.append(pd.DataFrame({"history": of.history[chosen], "time": of.time[chosen] + later, rule: value}))

    looked = past.only(np.isin(past.kind, [PLACE["visit"], PLACE["cart"]]))
    add(looked, ~same(looked.history), "considers", 1)
    orders = past.only(past.kind == PLACE["purchase"])
    add(orders, ~same(orders.history), "bought", 1)
    idle, back = _idle(orders, LAPSED)
    add(orders, idle, "lapsed", 1, LAPSED)
    add(orders, back, "lapsed", 0)
    told = past.only(np.isin(past.kind, [PLACE["referral"], PLACE["review"]]))
    silent, again = _idle(told, ADVOCATE)
    add(told, again | ~same(told.history), "advocate", 1)
    add(told, silent, "advocate", 0, ADVOCATE)
    begins, ends = _retained(orders)
    add(orders, begins, "retained", 1)
    add(orders, ends, "retained", 0, RETAINED)
    return pd.concat(rows, ignore_index=True)


def _idle(rows: Past, length: int) -> tuple[Array, Array]:
    """The rows after which nothing comes for so long, and those that end such a time."""
    back = same(rows.history)
    back[1:] &= np.diff(rows.time) > length
    return np.append(back[1:] | (rows.history[1:] != rows.history[:-1]), True)[: len(back)], back


def _retained(orders: Past) -> tuple[Array, Array]:
    """Where two purchases come to lie within the window, and the rows whose leaving it ends that."""
    alike, time = same(orders.history), orders.time
    again, joined = np.zeros((2, len(time)), dtype=bool)
    again[1:] = alike[1:] & (np.diff(time) < RETAINED)
    joined[2:] = again[2:] & again[1:-1] & (time[2:] - time[:-2] <= RETAINED)
    ends = np.zeros(len(time), dtype=bool)
    ends[:-1] = again[1:]
    ends[:-2] &= ~joined[2:]
    return again & ~joined, ends


def _changes(past: Past) -> tuple[Array, Array, Array, Array]:
    """History, time, stage and the stage before (-1: none) of the rows at which the stage becomes another."""
    rows = _turns(past)
    rows = rows[rows["time"] < past.cutoff].sort_values(["history", "time"], ignore_index=True)
    history, time = rows["history"].to_numpy(), rows["time"].to_numpy()
    top = ~same(history)
    rows.loc[top, list(RULES)] = rows.loc[top, list(RULES)].fillna(0)
    rules = rows[list(RULES)].ffill().to_numpy()
    stage = (rules * np.arange(1, len(RULES) + 1)).max(axis=1).astype(np.int64)
    settled = np.append((history[1:] != history[:-1]) | (time[1:] != time[:-1]), True)[: len(time)]
    history, time, stage = history[settled], time[settled], stage[settled]
    previous = np.where(same(history), np.roll(stage, 1), -1)
    changed = stage != previous
    return history[changed], time[changed], stage[changed], previous[changed]
