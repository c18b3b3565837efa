"""Vectors by joining and grouping: for engines without an order of rows, and the oracle of `features.engine`.

Any engine that Narwhals speaks to lazily builds these vectors; Spark does, for businesses that outgrow
one machine. Every event is repeated for each later cutoff of its customer.

Rows are moved between machines by customer only: keys begin with the customer, and so do all windows
and groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import narwhals as nw

from features.aggregates import COUNTS, Aggregate, column
from features.arithmetic import columns_of
from features.engine import aggregates
from features.feature import PROFILE, Feature, Table
from features.grouping import grouped
from features.histories import Keyed
from features.instants import KEYS, past
from features.schema import CUSTOMER, CUTOFF, TIME

Frame = nw.LazyFrame[Any]


def build(events: Frame, cutoffs: Frame, features: Iterable[Feature], profile: Frame | None = None) -> Frame:
    """One row per (customer, cutoff), one column per feature, in no order.

    The same as `features.engine.build` to a relative 1e-9: numbers are added up in another order.
    """
    keys = cutoffs.select(*KEYS)
    return of_past(past(events, keys), keys, features, profile)


def of_past(known: Frame, keys: Frame, features: Iterable[Feature], profile: Frame | None = None) -> Frame:
    """As `build`, from `features.instants.past` of events and cutoffs: it is read once for every table."""
    wanted = tuple(features)
    tables, built = aggregates(wanted), keys
    for table, parts in tables:
        built = built.join(_of_table(known, table, parts), on=list(KEYS), how="left")
    counts = [column(table.name, part) for table, parts in tables for part in parts if part.kind in COUNTS]
    built = built.with_columns(nw.col(name).fill_null(0).cast(nw.Float64) for name in counts) if counts else built
    if profile is not None and any(f.of is PROFILE for f in wanted):
        built = built.join(profile, on=CUSTOMER, how="left")
    return built.select(*KEYS, *columns_of(wanted, profile is not None))


def _of_table(known: Frame, table: Table, parts: list[Aggregate]) -> Frame:
    """The aggregates of one table, a row per (customer, cutoff) that has any of its rows."""
    rows = table.derive(known.drop("age"), Keyed(KEYS)).filter(nw.col(TIME) < nw.col(CUTOFF))
    rows = rows.with_columns(age=nw.col(CUTOFF) - nw.col(TIME))
    return grouped(rows, table.name, table.order_by, parts)
