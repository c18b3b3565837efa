"""Vectors from sorted histories: tables are derived once for all cutoffs, aggregates looked up in ranges.

`features.relational` says the same by joining and grouping, for engines that have no order, and is
the oracle of this one. Customers whose news came late (known at or after a cutoff, of a time before
it) saw another past at that cutoff than at later ones: such a (customer, cutoff) is a history of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.exceptions import NarwhalsError
from numpy.typing import NDArray

from features.aggregates import Aggregate
from features.arithmetic import computable, computed, queried, texts_of, wanted
from features.feature import PROFILE, Feature, Table
from features.held import Held
from features.histories import Single, Sorted
from features.instants import KEYS
from features.lookups import Asked, Found, Lookups, Values
from features.ordering import Ordered, coded, late, numbered, ordered, plain
from features.schema import CHANNEL, EVENT, HISTORY, POSITION, TIME

Derive = Callable[[pl.DataFrame], Sequence[Callable[[], pl.DataFrame]]]
WHOLE_ROWS = pl.QueryOptFlags(predicate_pushdown=False)  # what a filter reads is read
NARROW = (HISTORY, POSITION, TIME, EVENT, CHANNEL)
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
    features = tuple(features)
    names = {f.name for f in features}
    kept = cutoffs.select(name for name in cutoffs.columns if name not in names)
    asked = [Asked(*each) for each in aggregates(features)]
    found = aggregated(events, kept.select(KEYS), asked, lambda log: [partial(derived, log, table) for table in asked])
    return kept.hstack(finished(kept.select(KEYS), found, features, profile))


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
    try:
        return _derived(log.select(needed(plain(log.clear()).schema, asked)), asked)
    except (pl.exceptions.PolarsError, NarwhalsError):
        # A business's own table may ask of a text what a code is not, or compute a column that nothing needs.
        return _derived(plain(log), asked)


def _derived(log: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    rows = asked.table.derive(nw.from_native(log, eager_only=True), Sorted())
    found: pl.DataFrame = rows.select(*asked.columns).to_native()
    return found


def planned(events: pl.LazyFrame, asked: Asked) -> pl.LazyFrame:
    """The same of one history, as a plan."""
    rows = asked.table.derive(nw.from_native(events), Single())
    found: pl.LazyFrame = rows.select(*asked.columns).to_native()
    return found


def needed(schema: Mapping[str, Any], asked: Asked) -> list[str]:
    """The columns of a log that a table is derived from: those that its plan reads, and those that are cheap."""
    log = Held(schema)
    planned(log.rows(), asked).collect(optimizations=WHOLE_ROWS)
    return [name for name in schema if name in log.read or name in NARROW]


def aggregated(events: pl.DataFrame, queries: pl.DataFrame, tables: Sequence[Asked], derive: Derive) -> Found:
    """A column per aggregate, a row per query, in its order."""
    log = coded(ordered(events))
    asked = numbered(queries, log)
    own = late(log.events, asked)
    if not own.any():
        return looked_up(log, asked, tables, derive)
    apart = asked.filter(own).with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias(HISTORY))
    together = looked_up(log, asked.filter(~own), tables, derive)
    alone = looked_up(log.apart(apart), apart, tables, derive)
    place = pl.concat([(~own).arg_true(), own.arg_true()]).arg_sort().to_numpy()
    return {name: _merged(together[name], alone[name], place) for name in together}


def _merged(first: Values, second: Values, place: NDArray[Any]) -> Values:
    if isinstance(first, pl.Series):
        return first.append(pl.Series(second))[place]
    found: Values = np.concatenate([first, np.asarray(second)])[place]
    return found


def looked_up(log: Ordered, queries: pl.DataFrame, tables: Sequence[Asked], derive: Derive) -> Found:
    """The same, where each query's past is the beginning of its history."""

    def one(work: tuple[Asked, Callable[[], pl.DataFrame]]) -> Found:
        asked, rows = work
        return Lookups(asked, rows(), log.size, queries).all()

    work = zip(tables, derive(log.events), strict=True)
    if len(log.events) < TOGETHER:
        found = [one(each) for each in work]
    else:
        with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
            found = list(pool.map(one, work))
    return {name: values for table in found for name, values in table.items()}


def finished(
    keys: pl.DataFrame, found: Found, features: Sequence[Feature], profile: pl.DataFrame | None
) -> pl.DataFrame:
    """The features from their aggregates; `keys` are the queries'."""
    texts = texts_of(found)
    at_once = [f for f in features if computable(f, texts)]
    done = computed(at_once, found)
    rest = [f for f in features if f.name not in done]
    if rest:
        beside = keys.with_columns(pl.Series(name, found[name]) for name in wanted(rest))
        done |= queried(beside.lazy(), rest, profile).collect().to_dict()
    return pl.DataFrame({f.name: done[f.name] for f in features}, nan_to_null=True)
