"""Arrays: everything that counts of each event type say."""

from __future__ import annotations

import numpy as np

from benchmarks.features.arrays_frames import Array, Columns, Past, ratio
from benchmarks.features.world import FRICTION, OWN, TOUCHES, TYPES, WINDOWS

PLACE = {name: number for number, name in enumerate(TYPES)}


def counts(past: Past) -> Columns:
    """A column per feature, a row per history."""
    width = len(TYPES)
    key = past.history * width + past.kind
    size = past.size * width

    def table(found: Array) -> Array:
        return found.reshape(past.size, width)

    total = table(np.bincount(key, minlength=size))
    inside = {days: table(np.bincount(key[past.after(days)], minlength=size)) for days in WINDOWS}
    newest = np.full(size, -1, dtype=np.int64)
    newest[key] = past.time  # of several rows the last one stays, which is the newest
    first = np.full(past.size, -1, dtype=np.int64)
    first[past.history[::-1]] = past.time[::-1]
    return _features(past, total, inside, table(newest), past.since(first))


def _features(past: Past, total: Array, inside: dict[int, Array], newest: Array, tenure: Array) -> Columns:
    own, friction, touches = ([PLACE[name] for name in names] for names in (OWN, FRICTION, TOUCHES))
    bought = total[:, PLACE["purchase"]]
    months = np.maximum(tenure, 28) / 28
    found: Columns = {
        "tenure_days": tenure,
        "recency_days": past.since(newest[:, own + friction].max(axis=1)),
        "friction_recency_days": past.since(newest[:, friction].max(axis=1)),
        "touch_recency_days": past.since(newest[:, touches].max(axis=1)),
        "friction_per_purchase": ratio(total[:, friction].sum(axis=1), bought),
        "purchases_per_touch": ratio(bought, total[:, touches].sum(axis=1)),
    }
    for name in (*OWN, *FRICTION):
        found[f"{name}_recency_days"] = past.since(newest[:, PLACE[name]])
        found[f"{name}_per_28d"] = total[:, PLACE[name]] / months
    for name in OWN:
        found[f"{name}_trend_28d"] = ratio(inside[28][:, PLACE[name]], inside[56][:, PLACE[name]])
        found |= {f"{name}_{days}d": inside[days][:, PLACE[name]] for days in WINDOWS}
    found |= {f"{name}_112d": inside[112][:, PLACE[name]] for name in (*FRICTION, *TOUCHES)}
    found |= {f"friction_{days}d": inside[days][:, friction].sum(axis=1) for days in WINDOWS}
    return found | {f"touches_{days}d": inside[days][:, touches].sum(axis=1) for days in WINDOWS}
