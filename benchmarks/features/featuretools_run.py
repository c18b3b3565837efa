"""The features of `simulated` that featuretools can express, at one cutoff, written to win.

Runs in an environment of its own (`featuretools.txt`) and knows nothing of ours:
`python featuretools_run.py EVENTS.parquet CUTOFF OUTPUT.parquet RUNS` writes the vectors and prints the
seconds of each run. Features are defined one by one, without `dfs`, so that nothing is made that is not
asked for; a window is a `training_window`, whose features are computed together.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import featuretools as ft
import pandas as pd
from featuretools import primitives as p

OWN = ("visit", "cart", "purchase", "rating", "nps", "review", "referral")
FRICTION = ("ticket", "payment_failed", "refund", "complaint")
TOUCHES = ("ad_seen", "email_sent")
WINDOWS = (7, 28, 56, 112)
Named = dict[str, ft.FeatureBase]


def entities(log: pd.DataFrame) -> ft.EntitySet:
    """Customers and their events."""
    found = ft.EntitySet("journey")
    kinds = {"event": "Categorical", "channel": "Categorical", "product": "Categorical", "topic": "Categorical"}
    found.add_dataframe(dataframe_name="events", dataframe=log, index="number", time_index="time", logical_types=kinds)
    customers = log[["customer_id"]].drop_duplicates()
    found.add_dataframe(dataframe_name="customers", dataframe=customers, index="customer_id")
    return found.add_relationship("customers", "customer_id", "events", "customer_id")


class Maker:
    """Aggregates of the events of one customer."""

    def __init__(self, es: ft.EntitySet) -> None:
        self._events = es["events"].ww
        self._type = ft.Feature(self._events["event"])

    def make(self, column: str, primitive: type | p.AggregationPrimitive, event: str | None = None) -> ft.Feature:
        """An aggregate of a column, of all events or of one type."""
        where = None if event is None else self._type == event
        base = ft.Feature(self._events[column])
        return ft.Feature(base, parent_dataframe_name="customers", primitive=primitive, where=where)


def windowed(es: ft.EntitySet, days: int) -> Named:
    """What is asked of one window."""
    make = Maker(es).make
    types = (*OWN, *FRICTION, *TOUCHES) if days == 112 else OWN
    found: Named = {f"{name}_{days}d": make("number", p.Count, name) for name in types}
    found[f"spend_{days}d"] = make("value", p.Sum, "purchase")
    found[f"order_value_{days}d"] = make("value", p.Mean, "purchase")
    if days == 28:
        found |= {f"{name}_mean_28d": make(name, p.Mean) for name in ("items", "discount")}
    return found


def lifetime(es: ft.EntitySet) -> Named:
    """What is asked of the whole past."""
    make = Maker(es).make
    seconds = p.TimeSinceLast(unit="seconds")
    found: Named = {f"{name}_recency_days": make("time", seconds, name) for name in (*OWN, *FRICTION)}
    found["tenure_days"] = make("time", p.TimeSinceFirst(unit="seconds"))
    found["purchase_tenure_days"] = make("time", p.TimeSinceFirst(unit="seconds"), "purchase")
    orders = {"median": p.Median, "max": p.Max, "std": p.Std}
    found |= {f"order_value_{name}": make("value", kind, "purchase") for name, kind in orders.items()}
    found["last_order_value"] = make("value", p.Last, "purchase")
    for name in ("rating", "nps"):
        found |= {f"{name}_mean": make(name, p.Mean), f"{name}_min": make(name, p.Min)}
    found |= {f"{name}_mean": make(name, p.Mean) for name in ("items", "discount")}
    return found | {f"{name}_kinds": make(name, p.NumUnique) for name in ("product", "topic")}


def matrix(named: Named, es: ft.EntitySet, cutoff: pd.Timestamp, days: int | None) -> pd.DataFrame:
    """The values at the cutoff, named."""
    rows = ft.calculate_feature_matrix(
        list(named.values()),
        es,
        cutoff_time=cutoff,
        training_window=None if days is None else ft.Timedelta(days, "d"),
        include_cutoff_time=False,
    )
    return rows.set_axis(list(named), axis=1)


def vectors(log: pd.DataFrame, cutoff: pd.Timestamp) -> pd.DataFrame:
    """One row per customer."""
    es = entities(log)
    everything = matrix(lifetime(es), es, cutoff, None)
    recency = [name for name in everything if name.endswith(("recency_days", "tenure_days"))]
    everything[recency] /= 86_400
    kinds = [name for name in everything if name.endswith("_kinds")]
    everything[kinds] = everything[kinds].astype(float).replace(0, float("nan"))  # none is unknown here
    return everything.join([matrix(windowed(es, days), es, cutoff, days) for days in WINDOWS])


def main() -> None:
    """Run and say how long it took."""
    source, cutoff, output, runs = sys.argv[1:]
    warnings.simplefilter("ignore")
    log = pd.read_parquet(source)
    took = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        found = vectors(log.copy(deep=False), pd.Timestamp(int(cutoff), unit="us"))
        took.append(time.perf_counter() - start)
    found.reset_index().to_parquet(output)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
