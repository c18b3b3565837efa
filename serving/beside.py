"""What is made of a log while it is scored, to be stored beside the answers: journeys, data, realised outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from features.event_counts import EventCounts
from features.journey import Journey
from features.maps import Maps
from serving.answers import Answer
from serving.documented import DATA, JOURNEY, Document
from serving.realised import Realised
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
    """

    def __init__(self, store: Store, journey: Journey, profile: pl.DataFrame | None, report: Report) -> None:
        self._maps, self._counts = Maps(journey, profile), EventCounts()
        self._realised, self._report = Realised(store, journey), report

    def begins(self, first: int | None) -> None:
        """Say when a log in parts begins."""
        if first is not None:
            self._maps.begins(first)

    def part(self, events: pl.DataFrame) -> None:
        """Look at a part of the log."""
        self._maps.add(events)
        self._counts.add(events)
        self._realised.add(events)

    def answered(self, answers: list[Answer]) -> None:
        """Look at answers."""
        asked = [answer for answer in answers if answer.cltv is not None]
        values = [answer.cltv.expected for answer in asked if answer.cltv is not None]
        self._maps.expected([answer.customer_id for answer in asked], values)

    def documents(self) -> Iterator[Document]:
        """Everything that was made."""
        for grouping, name, content in self._maps.documents():
            yield Document(JOURNEY, content, grouping, name)
        yield Document(DATA, self._counts.document() | {"report": self._report()})
        yield from self._realised.documents()
