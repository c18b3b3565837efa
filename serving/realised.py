"""What runs expected against what happened, once their horizons are over."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import orjson
import polars as pl
from sqlalchemy import Connection, select, update

from features.instants import KEYS, mature, microseconds
from features.journey import Journey
from features.labels import LABEL, Task, label, tasks
from features.schema import CONTACTED, CUSTOMER, CUTOFF, DAY, EVENT, TIME
from serving import expectations, performance, standing_for
from serving.expectations import Followed
from serving.store import Store
from serving.tables import outcomes
from training.examples import known
from training.grades import Grade

Grades: TypeAlias = Mapping[str, Grade | None]
_OUTCOME = {"churn": "churned", "next_stage": "became", "cltv": "value"}
_KINDS: dict[str, pl.DataType] = {"churned": pl.Float64(), "became": pl.String(), "value": pl.Float64()}


class Realised(NamedTuple):
    """A run with what it expected and what came of it: `found` is as `performance.asked` wants it."""

    run: Followed
    found: pl.DataFrame
    judged_until: int

    def report(self, journey: Journey, grades: Grades | None = None) -> dict[str, Any]:
        """What `performance.report` says of it."""
        return performance.report(self.run, journey, self.found, self.judged_until, grades or {})

    def keep(self, connection: Connection, report: dict[str, Any]) -> None:
        """Store the report; one that stands already is replaced."""
        packed = zlib.compress(orjson.dumps(report, option=orjson.OPT_SERIALIZE_NUMPY), 6)
        values = {"judged_until": self.judged_until, "report": packed}
        values["digest"] = performance.happened_digest(self.found)
        connection.execute(update(outcomes).where(outcomes.c.run_id == self.run.run_id).values(values))


class Lookout:
    """Looks, part by part of a log, at what became of the customers of runs whose horizons are over.

    Nothing counts as over that the log is not complete for, however far a run's cutoff has gone ahead.

    Parameters
    ----------
    journey
        Resolved with the log.
    at
        As of an instant: nothing is used that was not known before it, no run that was not there yet, or one of whose
        models was not; default: all that is known by now of what happened before `observed_until`, as in labels.
    anew
        Also runs of which a report stands that lacks nothing: late events may have changed it.
    """

    def __init__(self, store: Store, journey: Journey, at: int | None = None, *, anew: bool = False) -> None:
        self._journey, end, self._travels = journey, journey.observed_until_microseconds, at is not None
        self.at = end if at is None else min(at, end)
        with store.transaction() as connection:
            runs = expectations.of_journey(connection, journey.journey)
            due = [run for run in runs if self._due(run) and (anew or self._lacks(run))]
            self._expected = {run.run_id: expectations.read(connection, run.run_id) for run in due}
            followed = [rows[CUSTOMER] for rows in self._expected.values()]
            self._followed = pl.concat(followed).unique() if followed else pl.Series(dtype=pl.String)
            self._listed = self._lists(connection, due)
        self._runs = {run.run_id: run for run in due}
        self._parts: dict[int, list[pl.DataFrame]] = {run.run_id: [] for run in due}

    def add(self, events: pl.DataFrame) -> None:
        """Look at a part of the log: some of the customers, with all of their events."""
        if not self._runs:
            return
        events = events.filter(pl.col(CUSTOMER).is_in(self._followed.implode()))  # a part of a large log, once
        seen = known(events, self.at) if self._travels else events
        customers = events[CUSTOMER].unique().implode()
        rows = {run_id: told.filter(pl.col(CUSTOMER).is_in(customers)) for run_id, told in self._expected.items()}
        rows = {run_id: some for run_id, some in rows.items() if len(some)}
        labels, contacts = self._labels(rows, seen), seen.filter(pl.col(EVENT) == CONTACTED)
        for run_id, some in rows.items():
            self._parts[run_id].append(self._outcomes(self._runs[run_id], some, labels, contacts))

    def found(self) -> Iterator[Realised]:
        """Every run that is due, oldest first, with the customers the log has."""
        for run_id, run in self._runs.items():
            if self._parts[run_id]:
                yield Realised(run, self._with_draws(run, pl.concat(self._parts[run_id]).sort(CUSTOMER)), self.at)

    def _with_draws(self, run: Followed, rows: pl.DataFrame) -> pl.DataFrame:
        """What became of customers with their draws, which say how many each stands for."""
        draws = {
            performance.drawn(name): standing_for.drawn(self._listed, rows[CUSTOMER], *self._span(run, task))
            for name, task in tasks(self._journey).items()
        }
        return rows.with_columns(**draws)

    def _lists(self, connection: Connection, due: list[Followed]) -> pl.DataFrame:
        spans = [self._span(run, task) for run in due for task in tasks(self._journey).values()]
        begins, ends = min((begin for begin, _ in spans), default=0), max((end for _, end in spans), default=0)
        at = self.at if self._travels else None
        return standing_for.lists(connection, self._journey.journey, begins, ends, self._followed, at)

    def _span(self, run: Followed, task: Task) -> tuple[int, int]:
        """When a contact tells on what came of a run: within a horizon, or so little before it that they rest.

        Of each task its own: to leave out whoever was contacted after it would leave out by what came of them.
        """
        return run.cutoff - int(self._journey.campaign.rest_days * DAY), run.cutoff + microseconds(task.within)

    def _over(self, run: Followed, at: int) -> dict[str, Task]:
        """The tasks whose horizon is over at an instant."""
        return {
            name: task
            for name, task in tasks(self._journey).items()
            if name in run.versions and mature(run.cutoff, task.within, at)
        }

    def _due(self, run: Followed) -> bool:
        there = not self._travels or run.there_since <= self.at
        return there and bool(self._over(run, self.at))

    def _lacks(self, run: Followed) -> bool:
        return run.judged_until is None or len(self._over(run, self.at)) > len(self._over(run, run.judged_until))

    def _labels(self, rows: Mapping[int, pl.DataFrame], events: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Per task what came of the customers of every run whose horizon is over, by one look at the log."""
        found = {}
        for name, task in tasks(self._journey).items():
            over = [run_id for run_id in rows if name in self._over(self._runs[run_id], self.at)]
            if over:
                keys = pl.concat([_keys(rows[run_id], self._runs[run_id].cutoff) for run_id in over])
                found[name] = label(task, self._journey, events, keys.unique(maintain_order=True))
        return found

    def _outcomes(
        self, run: Followed, rows: pl.DataFrame, labels: Mapping[str, pl.DataFrame], contacts: pl.DataFrame
    ) -> pl.DataFrame:
        keys, over = _keys(rows, run.cutoff), self._over(run, self.at)
        columns = []
        for name, column in _OUTCOME.items():
            if name in over:
                came = keys.join(labels[name], on=KEYS, how="left", maintain_order="left")[LABEL]
                columns.append(came.cast(_KINDS[column]).alias(column))
            else:
                columns.append(pl.Series(column, [None] * len(rows), dtype=_KINDS[column]))
        for name, task in tasks(self._journey).items():
            reached = _contacted(contacts, rows, *self._span(run, task))
            columns.append(reached.alias(performance.contacted(name)))
        return rows.with_columns(*columns)


def _keys(rows: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    return rows.select(CUSTOMER, pl.lit(cutoff, dtype=pl.Int64).alias(CUTOFF))


def _contacted(contacts: pl.DataFrame, rows: pl.DataFrame, begins: int, ends: int) -> pl.Series:
    """Who was contacted between two instants."""
    within = contacts.filter((pl.col(TIME) >= begins) & (pl.col(TIME) < ends))
    return rows[CUSTOMER].is_in(within[CUSTOMER].unique().implode())


def reports(connection: Connection, journey: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The stored reports of a journey, that of the newest cutoff first."""
    order = (outcomes.c.cutoff.desc(), outcomes.c.run_id.desc())
    stored = select(outcomes.c.report).where(outcomes.c.journey == journey, outcomes.c.report.is_not(None))
    found = connection.execute(stored.order_by(*order).limit(limit)).scalars()
    return [orjson.loads(zlib.decompress(packed)) for packed in found]
