"""Batch scoring: every customer of a log at its newest cutoff, into the store as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from features.check import check, report_json
from features.journey import Journey
from features.labels import population
from features.log import EventLog
from features.schema import CUSTOMER, TIME, to_microseconds
from serving import histories
from serving.answers import Answer
from serving.beside import Beside
from serving.catching_up import follow_stored
from serving.runs import Begun
from serving.scorer import Scorer
from serving.store import Options, Store
from serving.vector_log import OF_A_RUN, VectorLog

CUSTOMERS_AT_ONCE = 12_500  # as many as are explained at once


@dataclass(frozen=True, slots=True)
class Scored:
    """A run that was written."""

    run_id: int
    cutoff: int
    customers: int
    versions: dict[str, int]


def score(
    journey: Journey,
    log: EventLog,
    scorer: Scorer,
    store: Store,
    report: Callable[[int, int], None],
    begun: Begun | None = None,
    *,
    pages: bool = True,
) -> Scored:
    """Score everyone at the run's cutoff and store it; no answer is stored on failure.

    Each customer's history is stored beside, as the log has it. What is counted besides (journeys, KPIs, what
    came true) goes up to the log's `observed_until`, where it is complete.

    Parameters
    ----------
    journey
        Resolved with `log`.
    report
        Called with how many customers are done, and of how many.
    begun
        The run, begun while the log was read (`serving.beginning`); null: one at `observed_until` is begun now.
    pages
        Whether what the pages show of the whole log is made; it takes as long as the scores of some 1,000 customers.
    """
    to = _To(store, report, begun)
    customers = len(population(log.events, [to.cutoff(journey)]))
    beside = Beside(store, journey, log.profile, lambda: _report(journey, log), scorer.knows_until, pages=pages)
    return _score(journey, [log.events], customers, scorer, to, beside)


def score_parts(  # noqa: PLR0913, PLR0917 -- where it all comes from and where it goes
    journey: Journey,
    parts: Iterable[pl.DataFrame],
    customers: int,
    profile: pl.DataFrame | None,
    scorer: Scorer,
    store: Store,
    report: Callable[[int, int], None],
    begun: Begun | None = None,
    *,
    first: int | None = None,
) -> Scored:
    """The same of a log in parts, each with some of the customers and all of their events.

    `first` is the time of the log's first event; null: that of its first part.
    """
    beside = Beside(store, journey, profile, lambda: None, scorer.knows_until)
    beside.begins(first)
    return _score(journey, parts, customers, scorer, _To(store, report, begun), beside)


class _To(NamedTuple):
    """Where a run goes, who is told of it, and which run it is."""

    store: Store
    report: Callable[[int, int], None]
    begun: Begun | None

    def cutoff(self, journey: Journey) -> int:
        """The run's cutoff."""
        return self.begun.cutoff if self.begun else journey.observed_until_microseconds


def _report(journey: Journey, log: EventLog) -> dict[str, Any]:
    """The report on the part of the log that is complete."""
    log = replace(log, events=log.events.filter(pl.col(TIME) < journey.observed_until_microseconds))
    return report_json(check(journey, log), journey, log)


def _score(
    journey: Journey,
    parts: Iterable[pl.DataFrame],
    customers: int,
    scorer: Scorer,
    to: _To,
    beside: Beside,
) -> Scored:
    cutoff = to.cutoff(journey)
    follow_stored(to.store, journey, partial(_knows_until, scorer))  # before the oldest runs are forgotten
    stamp = datetime.now(UTC).replace(microsecond=0)
    done = _Counted(to.report, customers)
    vectors = VectorLog(to.store, scorer, share=OF_A_RUN / max(1, customers), events=False)
    run = _Run(scorer, stamp, vectors, done, partial(histories.write, to.store, journey.journey, cutoff), beside)
    answers = (answer for events in parts for answer in _answers(events, cutoff, run))
    scored_at, versions = to_microseconds(stamp), scorer.versions
    options = Options(journey.risk_bands, documents=beside.kept, begun=to.begun)
    run_id = to.store.write_run(journey.journey, cutoff, scored_at, versions, answers, beside.segments, options)
    vectors.write()
    return Scored(run_id, cutoff, done.number, scorer.versions)


def _knows_until(scorer: Scorer, task: str, version: int) -> int:
    if scorer.versions.get(task) != version:
        raise LookupError(f"version {version} of {task} is no champion; `journeycast outcomes` asks the registry")
    return scorer.knows_until[task]


class _Run(NamedTuple):
    """Who answers, the answers' stamp, who is told of it, and where the events go."""

    scorer: Scorer
    stamp: datetime
    vectors: VectorLog
    done: _Counted
    keep: Callable[[pl.DataFrame], None]
    beside: Beside


def _answers(events: pl.DataFrame, cutoff: int, run: _Run) -> Iterator[Answer]:
    run.beside.part(events)
    customers = population(events, [cutoff])
    held = events[CUSTOMER]  # in order, as are the customers: those scored at once stand together
    for start in range(0, len(customers), CUSTOMERS_AT_ONCE):
        asked = customers.slice(start, CUSTOMERS_AT_ONCE)
        first = held.search_sorted(asked[CUSTOMER].item(0), side="left")
        after = held.search_sorted(asked[CUSTOMER].item(-1), side="right")
        own = events.slice(first, after - first)
        run.keep(own.filter(own[CUSTOMER].is_in(asked[CUSTOMER].implode())))
        answers = run.scorer.predict(own, asked, scored_at=run.stamp, served=run.vectors.add)
        run.beside.answered(answers, run.done.of)
        yield from answers
        run.done.add(len(asked))


class _Counted:
    """How many customers are scored so far."""

    def __init__(self, report: Callable[[int, int], None], of: int) -> None:
        self._report, self.of, self.number = report, of, 0

    def add(self, customers: int) -> None:
        self.number += customers
        self._report(self.number, self.of)
