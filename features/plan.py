"""One query plan for many requests: built once over sources that yield the request's own rows.

For one customer, building the expressions costs several times what running them does; the plan is
the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import polars as pl
from polars.io.plugins import register_io_source

from features.feature import Feature, build, collect
from features.journey import Journey
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF

_SCHEMA = {CUSTOMER: pl.String, CUTOFF: pl.Int64}


class Plan:
    """`features.feature.build` with its plan kept; safe to share between threads, one run at a time.

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
        self._rows: dict[str, pl.DataFrame] = {}
        self._lock = Lock()
        self._columns = from_records([], journey)[0].schema
        events = register_io_source(self._source("events"), schema=self._columns)
        cutoffs = register_io_source(self._source("cutoffs"), schema=pl.Schema(_SCHEMA))
        self._plan = build(events, cutoffs, features, None if profile is None else profile.lazy())

    def run(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        """The vectors of `cutoffs`, as `build` gives them."""
        with self._lock:
            self._rows = {"events": events.select(self._columns.names()), "cutoffs": cutoffs.select(list(_SCHEMA))}
            try:
                return collect(self._plan)
            finally:
                self._rows = {}

    def _source(self, name: str) -> Callable[..., Iterator[pl.DataFrame]]:
        def rows(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            frame = self._rows[name]
            frame = frame if predicate is None else frame.filter(predicate)
            frame = frame if with_columns is None else frame.select(with_columns)
            yield frame if n_rows is None else frame.head(n_rows)

        return rows
