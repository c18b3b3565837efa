"""Events as sorted histories, and which past each query sees."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
import polars as pl

from features import instants
from features.schema import CUSTOMER, CUTOFF, HISTORY, KNOWN_AT, POSITION, TIME

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
    if not _in_order(events):
        events = events.sort(CUSTOMER, POSITION)
    rows = events.with_columns(pl.col(CUSTOMER).rle_id().cast(pl.Int32).alias(HISTORY))
    return Ordered(rows, 0 if rows.is_empty() else int(rows[HISTORY][-1]) + 1)


def _in_order(events: pl.DataFrame) -> bool:
    """Whether customers rise, and positions within each."""
    customer, before = pl.col(CUSTOMER), pl.col(CUSTOMER).shift(1)
    follows = (customer > before) | ((customer == before) & (pl.col(POSITION) > pl.col(POSITION).shift(1)))
    return bool(events.select(follows.all()).item())


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
