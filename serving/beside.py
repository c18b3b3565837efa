"""What is made of a log while it is scored, to be stored beside the answers: journeys, data, what came of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Connection

from features.event_counts import EventCounts
from features.journey import Journey
from features.maps import Maps
from serving import estimates, expectations
from serving.answers import Answer
from serving.documented import DATA, JOURNEY, Document, Kept
from serving.realised import Lookout, Realised
from serving.segments import Segments
from serving.store import Store

Report = Callable[[], dict[str, Any] | None]


class Beside:
    """Documents of one run, collected part by part.

    Parameters
    ----------
    journey
        Resolved with the log.
    profile
        One row per customer; null: the journey has none.
    report
        The usability report; null: nobody can make one of a log in parts.
    knows_until
        How far the model of each task knows the log, in microseconds.
    pages
        Whether what the pages show of the whole log (journeys, KPIs, data) is made; outcomes are in any case.
    """

    def __init__(
        self,
        store: Store,
        journey: Journey,
        profile: pl.DataFrame | None,
        report: Report,
        knows_until: Mapping[str, int],
        *,
        pages: bool = True,
    ) -> None:
        self._pages = pages
        self._maps, self._counts = Maps(journey, profile), EventCounts()
        self._lookout, self._report, self._knows_until = Lookout(store, journey), report, knows_until
        self._journey, self.segments = journey, Segments(journey.profile.segments if journey.profile else (), profile)
        self._expected: list[dict[str, Any]] = []

    def begins(self, first: int | None) -> None:
        """Say when a log in parts begins."""
        if first is not None:
            self._maps.begins(first)

    def part(self, events: pl.DataFrame) -> None:
        """Look at a part of the log."""
        if self._pages:
            self._maps.add(events)
            self._counts.add(events)
        self._lookout.add(events)

    def answered(self, answers: list[Answer], customers: int) -> None:
        """Look at answers of a run with so many `customers`."""
        asked = [answer for answer in answers if answer.cltv is not None]
        values = [answer.cltv.expected for answer in asked if answer.cltv is not None]
        if self._pages:
            self._maps.expected([answer.customer_id for answer in asked], values)
        drawn = [answer for answer in answers if expectations.drawn(answer.customer_id, customers)]
        held = self.segments.of([answer.customer_id for answer in drawn])
        self._expected += [expectations.row_of(*pair) for pair in zip(drawn, held, strict=True)]

    def kept(self) -> Iterator[Kept]:
        """Everything that was made."""
        if self._pages:
            for grouping, name, content in self._maps.documents():
                yield Document(JOURNEY, content, grouping, name)
            yield Document(DATA, self._counts.document() | {"report": self._report()})
        told = estimates.estimates(expectations.frame(self._expected), self._journey)
        yield _Expected(self._expected, self._journey, self._knows_until, told)
        for realised in self._lookout.found():
            yield _Judged(realised, self._journey)


class _Expected(NamedTuple):
    """What the run expects, to be compared once its horizons are over, and what it may be expected to reach."""

    rows: list[dict[str, Any]]
    journey: Journey
    knows_until: Mapping[str, int]
    estimates: dict[str, dict[str, Any]]

    def write(self, connection: Connection, run_id: int) -> None:
        """Store it."""
        run = expectations.followed(connection, run_id, self.knows_until)
        estimates.document(run, self.journey, self.estimates).write(connection, run_id)
        expectations.write(connection, run_id, self.rows, self.journey, self.knows_until)


class _Judged(NamedTuple):
    """What came of an earlier run."""

    realised: Realised
    journey: Journey

    def write(self, connection: Connection, _: int) -> None:
        """Store it."""
        self.realised.keep(connection, self.realised.report(self.journey))
