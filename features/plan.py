"""The vectors of a few customers at once, fast: every query plan is built once, for all requests.

For one customer, building the expressions of a catalogue costs several times what running them does.
The plans stand over tables that hold the request's own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from features.arithmetic import computable, computed, queried, texts_of, wanted
from features.engine import aggregates, build, looked_up, planned
from features.feature import Feature
from features.held import Held
from features.instants import KEYS, seen
from features.journey import Journey
from features.lookups import Asked, Found, Values
from features.ordering import Ordered
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF, HISTORY, POSITION

FEW = 8  # cutoffs up to which one after another is the faster way
AS_WRITTEN = pl.QueryOptFlags.none()  # a plan is optimised anew for every run, which costs more than so few rows do


class Plan:
    """`features.engine.build` with its plans kept; safe to share between threads, one run at a time.

    Parameters
    ----------
    journey
        Decides the columns of the log.
    features
        What to build.
    profile
        One row per customer, where the journey has profile features.
    """

    def __init__(self, journey: Journey, features: Sequence[Feature], profile: pl.DataFrame | None = None) -> None:
        self._lock, self._profile = Lock(), profile
        schema = from_records([], journey)[0].schema
        self._columns, self._events = list(schema), Held({**schema, HISTORY: pl.Int32, CUTOFF: pl.Int64})
        self._features, self._tables = tuple(features), [Asked(*each) for each in aggregates(features)]
        past = nw.from_native(self._events.rows()).filter(seen()).to_native().drop(CUTOFF).sort(POSITION)
        log = past.cache()  # found once for all tables
        self._log = [log, *(planned(log, asked) for asked in self._tables)]
        blank = self._found(pl.DataFrame(schema=schema), "", 0)
        self._computed = [f for f in features if computable(f, texts_of(blank))]
        self._rest = [f for f in features if f not in self._computed]
        keys = {CUSTOMER: pl.String, CUTOFF: pl.Int64}
        self._aggregates = Held(keys | {name: _dtype(blank[name]) for name in wanted(self._rest)})
        self._queried = queried(self._aggregates.rows(), self._rest, profile) if self._rest else None
        self._schema = self._types(blank)

    def run(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        """The vectors of `cutoffs`, as `build` gives them."""
        keys = cutoffs.select(KEYS)
        if len(cutoffs) > FEW:
            return build(events, keys, self._features, self._profile)
        known = events if events.columns == self._columns else events[self._columns]
        with self._lock:
            rows = [self._row(known, *key) for key in keys.iter_rows()]
        return pl.from_dicts(rows, schema=self._schema)

    def _row(self, events: pl.DataFrame, customer: str, cutoff: int) -> dict[str, float | str | None]:
        found = self._found(events, customer, cutoff)
        row: dict[str, float | str | None] = {CUSTOMER: customer, CUTOFF: cutoff}
        row |= {name: _plain(values[0]) for name, values in computed(self._computed, found).items()}
        return row | self._others(customer, cutoff, found)

    def _others(self, customer: str, cutoff: int, found: Found) -> dict[str, float | str | None]:
        """The features that only a query computes."""
        if self._queried is None:
            return {}
        schema = self._aggregates.frame.schema
        row = {CUSTOMER: customer, CUTOFF: cutoff, **{name: found[name][0] for name in schema.names()[2:]}}
        self._aggregates.frame = pl.from_dicts([row], schema=schema)
        return self._queried.collect(engine="in-memory", optimizations=AS_WRITTEN).row(0, named=True)

    def _found(self, events: pl.DataFrame, customer: str, cutoff: int) -> Found:
        """The aggregates of one customer, whose past is the only history."""
        of_customer = events[CUSTOMER] == customer
        own = events if of_customer.all() else events.filter(of_customer)  # a request mostly has but one customer
        beside = [
            pl.Series(HISTORY, np.zeros(len(own), dtype=np.int32)),
            pl.Series(CUTOFF, np.full(len(own), cutoff)),
        ]
        self._events.frame = own.hstack(beside)
        log, *tables = pl.collect_all(self._log, engine="in-memory", optimizations=AS_WRITTEN)
        query = pl.DataFrame({CUTOFF: [cutoff], HISTORY: [0]}, schema={CUTOFF: pl.Int64, HISTORY: pl.Int32})
        return looked_up(Ordered(log, 1), query, self._tables, lambda _: [partial(_held, rows) for rows in tables])

    def _types(self, blank: Found) -> pl.Schema:
        found = computed(self._computed, blank)
        types: dict[str, Any] = {name: _dtype(values) for name, values in found.items()}
        types.update({} if self._queried is None else self._queried.collect_schema())
        keys = {CUSTOMER: pl.String, CUTOFF: pl.Int64}
        return pl.Schema(keys | {feature.name: types[feature.name] for feature in self._features})


def _dtype(values: Values) -> Any:
    return pl.String if isinstance(values, pl.Series) else pl.Float64


def _plain(value: float | str | None) -> float | str | None:
    """The value with None for nan."""
    return None if value is None or value != value else value  # noqa: PLR0124


def _held(rows: pl.DataFrame) -> pl.DataFrame:
    return rows
