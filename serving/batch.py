"""Batch scoring: every customer of a log at its newest cutoff, into the store in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from features.journey import Journey
from features.labels import population
from features.log import EventLog
from features.schema import CUSTOMER, to_microseconds
from serving.answers import Answer
from serving.scorer import Scorer
from serving.segments import Segments
from serving.store import Store
from serving.vector_log import OF_A_RUN, VectorLog

CUSTOMERS_AT_ONCE = 12_500  # as many as are explained at once


@dataclass(frozen=True, slots=True)
class Scored:
    """A run that was written."""

    run_id: int
    cutoff: int
    customers: int
    versions: dict[str, int]


def score(journey: Journey, log: EventLog, scorer: Scorer, store: Store, report: Callable[[int, int], None]) -> Scored:
    """Score everyone at the log's `observed_until` and store the run; nothing is stored on failure.

    Parameters
    ----------
    journey
        Resolved with `log`.
    report
        Called with how many customers are done, and of how many.
    """
    cutoff = journey.observed_until_microseconds
    customers = population(log.events, [cutoff])
    stamp = datetime.now(UTC).replace(microsecond=0)
    vectors = VectorLog(store, scorer, share=OF_A_RUN / max(1, len(customers)), events=False)
    answers = _answers(log.events, customers, scorer, stamp, report, vectors)
    segments = Segments(journey.profile.segments if journey.profile else (), log.profile)
    scored_at = to_microseconds(stamp)
    run_id = store.write_run(journey.journey, cutoff, scored_at, scorer.versions, answers, segments)
    vectors.write()
    return Scored(run_id, cutoff, len(customers), scorer.versions)


def _answers(
    events: pl.DataFrame,
    customers: pl.DataFrame,
    scorer: Scorer,
    stamp: datetime,
    report: Callable[[int, int], None],
    vectors: VectorLog,
) -> Iterator[Answer]:
    held = events[CUSTOMER]  # in order, as are the customers: each part's events stand together
    for start in range(0, len(customers), CUSTOMERS_AT_ONCE):
        asked = customers.slice(start, CUSTOMERS_AT_ONCE)
        first = held.search_sorted(asked[CUSTOMER].item(0), side="left")
        after = held.search_sorted(asked[CUSTOMER].item(-1), side="right")
        yield from scorer.predict(events.slice(first, after - first), asked, scored_at=stamp, served=vectors.add)
        report(min(start + CUSTOMERS_AT_ONCE, len(customers)), len(customers))
