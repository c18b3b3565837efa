"""Vectors from sorted histories: tables are derived once for all cutoffs, aggregates looked up in ranges.

`features.relational` says the same by joining and grouping, for engines that have no order, and is
the oracle of this one. Customers whose news came late (known at or after a cutoff, of a time before
it) saw another past at that cutoff than at later ones: such a (customer, cutoff) is a history of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import narwhals as nw
import polars as pl

from features.aggregates import COUNTS, Aggregate
from features.feature import PROFILE, Feature, Table
from features.histories import Sorted
from features.instants import KEYS, seen
from features.lookups import Asked, Lookups, Values
from features.ordering import Ordered, late, numbered, ordered
from features.schema import CUSTOMER, CUTOFF, HISTORY, POSITION

Native = TypeVar("Native", pl.DataFrame, pl.LazyFrame)
Derive = Callable[[pl.DataFrame], Sequence[Callable[[], pl.DataFrame]]]
TOGETHER = 100_000  # events from which tables are worth a thread each


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
    asked = [Asked(*each) for each in aggregates(wanted)]
    found = aggregated(events, kept.select(KEYS), asked, lambda log: [partial(derived, log, table) for table in asked])
    return finished(kept.hstack(known(found)), kept.columns, wanted, profile)


def aggregates(features: Sequence[Feature]) -> list[tuple[Table, list[Aggregate]]]:
    """The tables that features look at, each with the distinct aggregates wanted of it."""
    found: dict[str, tuple[Table, dict[str, Aggregate]]] = {}
    for feature in features:
        if feature.of is not PROFILE:
            _, parts = found.setdefault(feature.of.name, (feature.of, {}))
            parts |= {part.name: part for part in feature.value.parts}
    return [(table, list(parts.values())) for table, parts in found.values()]


def derived(log: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    """A table's columns of one sorted log."""
    rows = asked.table.derive(nw.from_native(log, eager_only=True), Sorted())
    found: pl.DataFrame = rows.select(*asked.columns).to_native()
    return found


def aggregated(events: pl.DataFrame, queries: pl.DataFrame, tables: Sequence[Asked], derive: Derive) -> pl.DataFrame:
    """A column per aggregate, a row per query, in its order; nan stands for null."""
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


def aggregated_of_one(
    events: pl.DataFrame, query: pl.DataFrame, tables: Sequence[Asked], derive: Derive
) -> pl.DataFrame:
    """The same for one query: its past is the only history."""
    (customer, cutoff), history = query.row(0), pl.lit(0, dtype=pl.Int32).alias(HISTORY)
    own = events.lazy().filter(pl.col(CUSTOMER) == customer).with_columns(pl.lit(cutoff, dtype=pl.Int64).alias(CUTOFF))
    past = nw.from_native(own).filter(seen()).to_native().drop(CUTOFF).sort(POSITION)
    log = Ordered(past.with_columns(history).collect(), 1)
    return _looked_up(log, query.with_columns(history), tables, derive)


def _looked_up(log: Ordered, queries: pl.DataFrame, tables: Sequence[Asked], derive: Derive) -> pl.DataFrame:
    def one(work: tuple[Asked, Callable[[], pl.DataFrame]]) -> dict[str, Values]:
        asked, rows = work
        return Lookups(rows(), log.size, queries).all(asked.groups)

    work = zip(tables, derive(log.events), strict=True)
    if len(log.events) < TOGETHER:
        found = [one(each) for each in work]
    else:
        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
            found = list(pool.map(one, work))
    values = {name: values for table in found for name, values in table.items()}
    if len(queries) == 1:  # a frame of one row is made sooner from a row
        row, texts = {n: v[0] for n, v in values.items()}, {n for n, v in values.items() if isinstance(v, pl.Series)}
        return pl.from_dicts([row], schema={name: pl.String if name in texts else pl.Float64 for name in row})
    return pl.DataFrame(values)


def known(found: Native) -> Native:
    """Aggregates with null for nan."""
    return found.with_columns(pl.col(pl.Float64).fill_nan(None))


def finished(built: Native, kept: Sequence[str], features: Sequence[Feature], profile: Native | None) -> Native:
    """The features from their aggregates: arithmetic, types, and what stands in place of null. Lazy frames may be."""
    if profile is not None and any(f.of is PROFILE for f in features):
        built = built.join(profile, on=CUSTOMER, how="left", maintain_order="left")
    return nw.from_native(built).select(*kept, *columns_of(features, profile is not None)).to_native()


def columns_of(features: Iterable[Feature], has_profile: bool) -> Iterator[nw.Expr]:
    """The features' columns from those of their aggregates; a profile's are unknown where there is none."""
    unknown = nw.lit(None, dtype=nw.String)
    for feature in features:
        value = unknown if feature.of is PROFILE and not has_profile else feature.value.expr(feature.of.name)
        yield (value if _is_count(feature) else _typed(feature, value)).alias(feature.name)


def _is_count(feature: Feature) -> bool:
    """Whether the feature is a bare count or total: a float64 that is never null."""
    return feature.value.bare and feature.value.parts[0].kind in COUNTS


def _typed(feature: Feature, column: nw.Expr) -> nw.Expr:
    """Numbers as float64, with `empty` in place of null."""
    column = column if feature.unit == "category" else column.cast(nw.Float64)
    return column if feature.empty is None else column.fill_null(feature.empty)
