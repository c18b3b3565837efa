"""The vectors of a few customers at once, fast: every query plan is built once, for all requests.

For one customer, building the expressions of a catalogue costs several times what running them does.
The plans stand over sources that yield the request's own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

import narwhals as nw
import polars as pl
from polars.io.plugins import register_io_source

from features.engine import aggregated, aggregated_of_one, aggregates, build, finished, known
from features.feature import Feature
from features.histories import Keyed
from features.instants import KEYS
from features.journey import Journey
from features.lookups import Asked
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF, HISTORY

FEW = 20  # cutoffs up to which a kept plan is the faster way
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
        self._columns = from_records([], journey)[0].columns
        self._features, self._tables = tuple(features), [Asked(*each) for each in aggregates(features)]
        self._events = _Source({**from_records([], journey)[0].schema, HISTORY: pl.Int32})
        self._derived = [_derived(self._events.rows(), asked) for asked in self._tables]
        blank = self._found(
            self._events.frame.drop(HISTORY), pl.DataFrame(schema={CUSTOMER: pl.String, CUTOFF: pl.Int64})
        )
        self._aggregates = _Source(dict(blank.schema))
        held = None if profile is None else profile.lazy()
        self._finished = finished(known(self._aggregates.rows()), KEYS, self._features, held)

    def run(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        """The vectors of `cutoffs`, as `build` gives them."""
        if len(cutoffs) > FEW:
            return build(events, cutoffs.select(KEYS), self._features, self._profile)
        with self._lock:
            self._aggregates.frame = self._found(events[self._columns], cutoffs[list(KEYS)])
            return self._finished.collect(engine="in-memory", optimizations=AS_WRITTEN)

    def _found(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        find = aggregated_of_one if len(cutoffs) == 1 else aggregated
        return cutoffs.hstack(find(events, cutoffs, self._tables, self._derive))

    def _derive(self, log: pl.DataFrame) -> list[Callable[[], pl.DataFrame]]:
        self._events.frame = log
        return [
            partial(_held, rows) for rows in pl.collect_all(self._derived, engine="in-memory", optimizations=AS_WRITTEN)
        ]


def _derived(events: pl.LazyFrame, asked: Asked) -> pl.LazyFrame:
    """`features.engine.derived` as a plan, by window functions: a plan knows no row before."""
    rows = asked.table.derive(nw.from_native(events), Keyed((HISTORY,), sort=True))
    found: pl.LazyFrame = rows.select(*asked.columns).to_native()
    return found


def _held(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


class _Source:
    """A table that plans read, put in anew for every run."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = pl.Schema(schema)
        self.frame = pl.DataFrame(schema=self._schema)

    def rows(self) -> pl.LazyFrame:
        """A plan that reads what is held when it runs."""
        return register_io_source(self._read, schema=self._schema)

    def _read(
        self, with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        frame = self.frame
        frame = frame if predicate is None else frame.filter(predicate)
        frame = frame if with_columns is None else frame.select(with_columns)
        yield frame if n_rows is None else frame.head(n_rows)
