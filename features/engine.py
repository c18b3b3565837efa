"""Vectors from sorted histories: tables are derived once for all cutoffs, aggregates looked up in ranges.

`features.relational` says the same by joining and grouping, for engines that have no order, and is
the oracle of this one. Customers whose news came late (known at or after a cutoff, of a time before
it) saw another past at that cutoff than at later ones: such a (customer, cutoff) is a history of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import narwhals as nw
import polars as pl

from features.aggregates import Aggregate
from features.feature import PROFILE, Feature, Table
from features.histories import HISTORY, Sorted
from features.instants import KEYS
from features.lookups import Lookups
from features.ordering import Ordered, late, numbered, ordered
from features.schema import CUSTOMER, TIME

Native = TypeVar("Native", pl.DataFrame, pl.LazyFrame)
Derive = Callable[[pl.DataFrame], list[pl.DataFrame]]


def build(
    events: pl.DataFrame, cutoffs: pl.DataFrame, features: Iterable[Feature], profile: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per (customer, cutoff), one column per feature.

    Parameters
    ----------
    events
        The internal event log of `features.schema`.
    cutoffs
        `customer_id` and `cutoff`, unique pairs; further columns are kept, unless a feature has
        their name.
    features
        What to build, in the order of the columns.
    profile
        One row per customer; without it profile features are null.

    Returns
    -------
    polars.DataFrame
        The rows of `cutoffs`, in their order, with a column per feature. A count is 0 where the
        past is empty; what cannot be known is null. The same bits in every run, whatever the number
        of threads or of other rows.
    """
    wanted = tuple(features)
    names = {f.name for f in wanted}
    kept = cutoffs.select(name for name in cutoffs.columns if name not in names)
    tables = by_table(wanted)
    found = aggregated(events, kept.select(KEYS), tables, lambda log: [derived(log, *table) for table in tables])
    return finished(kept.hstack(found), kept.columns, wanted, profile)


def by_table(features: Sequence[Feature]) -> list[tuple[Table, list[Aggregate]]]:
    """The tables that features look at, each with the distinct aggregates wanted of it."""
    found: dict[str, tuple[Table, dict[str, Aggregate]]] = {}
    for feature in features:
        if feature.of is not PROFILE:
            _, parts = found.setdefault(feature.of.name, (feature.of, {}))
            parts |= {part.name: part for part in feature.value.parts}
    return [(table, list(parts.values())) for table, parts in found.values()]


def derived(log: pl.DataFrame, table: Table, parts: Sequence[Aggregate]) -> pl.DataFrame:
    """The table's history, time and columns of one sorted log."""
    rows = table.derive(nw.from_native(log, eager_only=True), Sorted())
    found: pl.DataFrame = rows.select(*columns(parts)).to_native()
    return found


def columns(parts: Sequence[Aggregate]) -> list[nw.Expr]:
    """What the aggregates look at, row by row, each expression once, named by what it says."""
    found = {repr(expr): expr for part in parts for expr in (part.of, part.where) if expr is not None}
    return [nw.col(HISTORY), nw.col(TIME).alias(TIME), *(expr.alias(name) for name, expr in found.items())]


def aggregated(
    events: pl.DataFrame, queries: pl.DataFrame, tables: Sequence[tuple[Table, list[Aggregate]]], derive: Derive
) -> pl.DataFrame:
    """A column per aggregate, a row per query, in its order."""
    if not tables:
        return pl.DataFrame()
    log = ordered(events)
    asked = numbered(queries, log)
    own = late(log.events, asked)
    if not own.any():
        return _looked_up(log, asked, tables, derive)
    apart = asked.filter(own).with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias(HISTORY))
    together = _looked_up(log, asked.filter(~own), tables, derive)
    found = pl.concat([together, _looked_up(log.apart(apart), apart, tables, derive)])
    place = pl.concat([(~own).arg_true(), own.arg_true()])
    return found[place.arg_sort()]


def _looked_up(
    log: Ordered, queries: pl.DataFrame, tables: Sequence[tuple[Table, list[Aggregate]]], derive: Derive
) -> pl.DataFrame:
    found: dict[str, pl.Series] = {}
    for (table, parts), rows in zip(tables, derive(log.events), strict=True):
        found |= Lookups(table.name, rows, log.size, queries).all(parts)
    return pl.DataFrame(found)


def finished(built: Native, kept: Sequence[str], features: Sequence[Feature], profile: Native | None) -> Native:
    """The features from their aggregates: arithmetic, types, and what stands in place of null. Lazy frames may be."""
    if profile is not None and any(f.of is PROFILE for f in features):
        built = built.join(profile, on=CUSTOMER, how="left", maintain_order="left")
    unknown = nw.lit(None, dtype=nw.String)
    values = (unknown if f.of is PROFILE and profile is None else f.value.expr(f.of.name) for f in features)
    done = (typed(f, value).alias(f.name) for f, value in zip(features, values, strict=True))
    return nw.from_native(built).select(*kept, *done).to_native()


def typed(feature: Feature, column: nw.Expr) -> nw.Expr:
    """Numbers as float64, with `empty` in place of null."""
    column = column if feature.unit == "category" else column.cast(nw.Float64)
    return column if feature.empty is None else column.fill_null(feature.empty)
