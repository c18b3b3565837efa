"""The journey of everyone and of every group, made from a log as a whole or in parts.

A group is the value of one of the profile's segments (the most frequent ones), or who churned and who
stayed after the newest cutoff whose churn horizon is over; those two are compared up to that cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import narwhals as nw
import polars as pl

from features import journey_map, kpis
from features.cutoffs import grid
from features.instants import mature, past_at
from features.journey import Journey
from features.map_document import document
from features.ordering import Ordered, ordered
from features.schema import CUSTOMER, CUTOFF, HISTORY, TIME
from features.tallies import EVERYONE, Groups, merged

OUTCOME = "outcome"  # the grouping of those who churned and those who stayed
VALUES = 12  # groups of a segment: its most frequent values


class Maps:
    """Tallies of a log's parts, each with some of the customers and all of their events.

    Parameters
    ----------
    journey
        Resolved with the log.
    profile
        One row per customer; null: the journey has none.
    """

    def __init__(self, journey: Journey, profile: pl.DataFrame | None = None) -> None:
        self._journey, self._cutoff = journey, journey.observed_until_microseconds
        names = journey.profile.segments if journey.profile and profile is not None else []
        self._profile = _frequent(profile, names) if profile is not None and names else None
        self._segments = list(names)
        self._tallies: list[pl.DataFrame] = []
        self._first: int | None = None

    def begins(self, first: int) -> None:
        """Say when the log begins, where its parts do not all begin then; before the first part."""
        self._first = first

    def add(self, events: pl.DataFrame) -> None:
        """Count a part's events, as `features.log.read` gives them."""
        known: pl.DataFrame = nw.to_native(past_at(nw.from_native(events), self._cutoff)).drop(CUTOFF, "age")
        if known.is_empty():
            return
        log = ordered(known)
        changes = journey_map.changes_of(self._journey, log, self._cutoff)
        groups = Groups(self._segments_of(log))
        found = self._mapped(log, changes, self._cutoff, groups)
        found += kpis.tally(self._journey, known, log, self._cutoffs(known), groups)
        found += self._by_outcome(known, log, changes, groups)
        self._tallies = [merged([*self._tallies, *found])]

    def expected(self, customer_ids: list[str], values: list[float | None]) -> None:
        """Count what customers are expected to be worth, as CLTV at the newest cutoff."""
        rows = pl.DataFrame(
            {CUSTOMER: customer_ids, "value": values}, schema={CUSTOMER: pl.String, "value": pl.Float64}
        )
        rows = rows.drop_nulls().with_row_index(HISTORY).with_columns(pl.col(HISTORY).cast(pl.Int32))
        marked = rows.with_columns(
            name=pl.lit("cltv"), top=pl.lit("top"), bottom=pl.lit("bottom"), at=pl.lit(self._cutoff, dtype=pl.Int64)
        )
        groups = Groups(self._of_customers(rows[CUSTOMER]))
        sums = groups.tally(marked, "kpi", ["name", "top"], at="at", sum_of="value")
        counts = groups.tally(marked, "kpi", ["name", "bottom"], at="at")
        self._tallies = [merged([*self._tallies, sums, counts])]

    def documents(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Grouping, group and map: everyone first (both names empty), then group by group."""
        found = merged(self._tallies)
        for (grouping, group), rows in found.group_by("grouping", "group", maintain_order=True):
            if grouping == EVERYONE or rows.filter(pl.col("what") == "reached").height or not self._journey.stages:
                yield str(grouping), str(group), document(self._journey, rows)

    def _mapped(self, log: Ordered, changes: pl.DataFrame, cutoff: int, groups: Groups) -> list[pl.DataFrame]:
        histories = pl.DataFrame({HISTORY: pl.Series(range(log.size), dtype=pl.Int32)})
        return [
            groups.tally(histories, "customers"),
            *journey_map.stages(self._journey, log, changes, cutoff, groups),
            *journey_map.moves(changes, groups),
            *journey_map.touchpoints(log, changes, groups),
        ]

    def _by_outcome(
        self, known: pl.DataFrame, log: Ordered, changes: pl.DataFrame, groups: Groups
    ) -> list[pl.DataFrame]:
        """Friction and what came of it; and the map of those who churned and those who stayed, up to the cutoff."""
        cutoff = self._newest_mature(known)
        if cutoff is None:
            return []
        found = journey_map.outcomes(self._journey, known, log, cutoff)
        troubles = journey_map.friction(self._journey, log, changes, found, cutoff, groups)
        before: pl.DataFrame = nw.to_native(past_at(nw.from_native(log.events), cutoff)).drop(CUTOFF, "age")
        outcome = pl.DataFrame({HISTORY: pl.Series(range(log.size), dtype=pl.Int32)})
        outcome = outcome.join(found, on=HISTORY, how="left", maintain_order="left")
        own_groups = Groups({OUTCOME: outcome["outcome"]}, everyone=False)
        then = Ordered(before, log.size)
        mapped = [
            *self._mapped(then, changes.filter(pl.col(TIME) < cutoff), cutoff, own_groups),
            *kpis.tally(self._journey, known, then, [c for c in self._cutoffs(known) if c <= cutoff], own_groups),
        ]
        return [*troubles, *mapped]

    def _cutoffs(self, known: pl.DataFrame) -> list[int]:
        first = int(known[TIME].min()) if self._first is None else self._first  # type: ignore[arg-type]
        return grid(self._journey, first)[-kpis.MOST :] or [self._cutoff]

    def _newest_mature(self, known: pl.DataFrame) -> int | None:
        task = self._journey.tasks.churn
        if task is None:
            return None
        over = [cutoff for cutoff in self._all(known) if mature(cutoff, task.within, self._cutoff)]
        return over[-1] if over else None

    def _all(self, known: pl.DataFrame) -> list[int]:
        first = int(known[TIME].min()) if self._first is None else self._first  # type: ignore[arg-type]
        return grid(self._journey, first)

    def _segments_of(self, log: Ordered) -> dict[str, pl.Series]:
        customers = log.events.group_by(HISTORY).agg(pl.col(CUSTOMER).first()).sort(HISTORY)[CUSTOMER]
        return self._of_customers(customers)

    def _of_customers(self, customers: pl.Series) -> dict[str, pl.Series]:
        if self._profile is None:
            return {}
        rows = customers.to_frame(CUSTOMER).join(self._profile, on=CUSTOMER, how="left", maintain_order="left")
        return {name: rows[name] for name in self._segments}


def _frequent(profile: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The profile's segments, null where the value is none of the most frequent."""
    found = profile.select(CUSTOMER, *names)
    for name in names:
        values = found[name].drop_nulls().value_counts(sort=True)[name].head(VALUES)
        found = found.with_columns(pl.when(pl.col(name).is_in(values.implode())).then(pl.col(name)).alias(name))
    return found
