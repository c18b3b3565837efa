"""Events as sorted histories, and which past each query sees."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
import polars as pl

from features import instants
from features.schema import CHANNEL, CUSTOMER, CUTOFF, EVENT, HISTORY, KNOWN_AT, POSITION, TIME

CUTOFFS_ONE_BY_ONE = 200  # distinct cutoffs up to which each is held against all events


@dataclass(frozen=True, slots=True)
class Ordered:
    """Events history by history in the order of `position`, and how many histories there are."""

    events: pl.DataFrame
    size: int

    def apart(self, queries: pl.DataFrame) -> Ordered:
        """Each query's own past as a history of its own, numbered as the queries are."""
        rows = self.events.drop(HISTORY).join(queries.select(CUSTOMER, CUTOFF, HISTORY), on=CUSTOMER)
        known = nw.from_native(rows).filter(instants.seen()).to_native()
        return Ordered(known.drop(CUTOFF).sort(HISTORY, POSITION), len(queries))


def ordered(events: pl.DataFrame) -> Ordered:
    """The events with `history`, int32, from 0; sorted anew only where they are not."""
    begins = _begins(events)
    if not _in_order(events, begins):
        events = events.sort(CUSTOMER, POSITION)
        begins = _begins(events)
    history = (begins.cast(pl.Int32).cum_sum() - 1).alias(HISTORY)
    return Ordered(events.with_columns(history), int(begins.sum()))


def _begins(events: pl.DataFrame) -> pl.Series:
    """Whether the row before is of another customer."""
    customer = events[CUSTOMER]
    return (customer != customer.shift(1)).fill_null(True)


def _in_order(events: pl.DataFrame, begins: pl.Series) -> bool:
    """Whether customers rise, and positions within each."""
    position, customers = events[POSITION], events[CUSTOMER].filter(begins)
    within = bool((begins | (position > position.shift(1))).all())
    return within and bool((customers > customers.shift(1)).fill_null(True).all())


def coded(log: Ordered) -> Ordered:
    """The log with event types and channels as categories, which compare several times faster than texts.

    Whatever a text may be compared with or filled by, a category may too.
    """
    names = [name for name in (EVENT, CHANNEL) if name in log.events.columns]
    return Ordered(
        log.events.with_columns(pl.col(n).cast(pl.Categorical(pl.Categories.random())) for n in names), log.size
    )


def plain(events: pl.DataFrame) -> pl.DataFrame:
    """The events with texts as they were."""
    coded = [name for name, kind in events.schema.items() if isinstance(kind, pl.Categorical)]
    return events.with_columns(pl.col(coded).cast(pl.String))


def numbered(queries: pl.DataFrame, log: Ordered) -> pl.DataFrame:
    """The queries with the number of their customer's history, in their order; `log.size` where there is none."""
    customers = log.events.select(CUSTOMER, HISTORY).filter(pl.col(HISTORY).rle_id().diff().fill_null(1) > 0)
    rows = queries.join(customers, on=CUSTOMER, how="left", maintain_order="left")
    return rows.with_columns(pl.col(HISTORY).fill_null(log.size))


def late(events: pl.DataFrame, queries: pl.DataFrame) -> pl.Series:
    """Per query: whether an event of a time before its cutoff was known at or after it only."""
    behind = events.lazy().filter(pl.col(KNOWN_AT) > pl.col(TIME)).select(HISTORY, TIME, KNOWN_AT).collect()
    if behind.is_empty() or queries.is_empty():
        return pl.repeat(False, len(queries), dtype=pl.Boolean, eager=True)
    rows, cutoffs = nw.from_native(behind), queries[CUTOFF].unique()
    if len(cutoffs) <= CUTOFFS_ONE_BY_ONE:
        found = pl.concat(
            rows.filter(instants.late(nw.lit(cutoff)))
            .to_native()
            .select(pl.col(HISTORY).unique(), pl.lit(cutoff, dtype=pl.Int64).alias(CUTOFF))
            for cutoff in cutoffs
        )
    else:
        pairs = nw.from_native(behind.join(queries.select(HISTORY, CUTOFF), on=HISTORY))
        found = pairs.filter(instants.late(nw.col(CUTOFF))).select(HISTORY, CUTOFF).to_native()
    marked = found.unique().with_columns(late=pl.lit(True))
    joined = queries.join(marked, on=[HISTORY, CUTOFF], how="left", maintain_order="left")
    return joined["late"].fill_null(False)
