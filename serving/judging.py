"""The outcomes of scoring runs: every run whose horizon is over judged, graded, stored and logged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from features.schema import CUSTOMER, to_text
from serving import performance
from serving.by_version import by_version
from serving.catching_up import follow_stored
from serving.performance import happened_digest
from serving.realised import Grades, Lookout, Realised, reports
from serving.store import Store
from training.hindsight import Answered, hindsight, ungradable
from training.model import knows_until
from training.tracking import Tracking

Report = Callable[[str], None]


class Judged(NamedTuple):
    """What came of runs, oldest first: a report of each, of each model version over all of its runs, and the rows."""

    reports: list[dict[str, Any]]
    versions: list[dict[str, Any]]
    found: list[Realised]


def judge_all(
    store: Store, journey: Journey, log: EventLog, tracking: Tracking | None, told: Report, at: int | None = None
) -> Judged:
    """What came of every run that is due, by what was known before `at` (default: all that is).

    Without `at` reports are stored, where what happened is not what the stored one says, and logged
    beside the training of the models. Doing it again, or after being stopped on the way, changes nothing.
    """
    if at is None and tracking is not None:
        follow_stored(store, journey, partial(_knows_until, tracking, journey.journey))
    lookout = Lookout(store, journey, at, anew=True)
    lookout.add(log.events)
    every = list(lookout.found())
    reports = list(_judged(every, store, journey, log, None if at is not None else tracking, told, keep=at is None))
    versions = by_version(every, journey)
    if at is None and tracking is not None:
        for one in versions:
            tracking.log_realised_version(journey.journey, one)
    return Judged(reports, versions, every)


def _knows_until(tracking: Tracking, journey: str, task: str, number: int) -> int | None:
    found = tracking.version(journey, task, number)
    if found is None:
        return None
    try:
        return knows_until(tracking.model(found).about)
    except Exception as problem:  # its files are away or damaged, and there are other runs to judge
        raise LookupError(f"version {number} of {task} cannot be read: {problem}") from problem


def _judged(
    every: Iterable[Realised],
    store: Store,
    journey: Journey,
    log: EventLog,
    tracking: Tracking | None,
    told: Report,
    *,
    keep: bool,
) -> Iterator[dict[str, Any]]:
    stored = _stored(store, journey) if keep else {}
    for found in every:
        digest = happened_digest(found.found)
        report = stored.get(found.run.run_id) if digest == found.run.digest else None
        if report is None or not _stands(report, found, journey, log):
            told(f"run {found.run.run_id} of {to_text(found.run.cutoff)[:10]}")
            report = found.report(journey, grades(found, journey, log))
            for name, task in _without_grade(report):
                task["not_graded"] = ungradable(journey, log, answered(found, name, journey))
            if keep:
                with store.transaction(writes=True) as connection:
                    found.keep(connection, report)
        if tracking is not None:
            tracking.log_realised(journey.journey, report)
        yield report


def _stands(report: Mapping[str, Any], found: Realised, journey: Journey, log: EventLog) -> bool:
    """Whether a stored report has all the grades there can be, as far as what happened since does not change it.

    A task without one says why; that is asked again, as the log may have got a past to fit rules on.
    """
    return all(
        task.get("not_graded", "") == ungradable(journey, log, answered(found, name, journey))
        for name, task in _without_grade(report)
    )


def _without_grade(report: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The tasks that could have earned a grade and have none."""
    return [(name, task) for name, task in report["tasks"].items() if not (task["grade"] or task["in_sample"])]


def _stored(store: Store, journey: Journey) -> dict[int, dict[str, Any]]:
    with store.transaction() as connection:
        return {report["run_id"]: report for report in reports(connection, journey.journey)}


def grades(found: Realised, journey: Journey, log: EventLog) -> Grades:
    """Per task the grade on what happened to those who were not contacted; a task in sample earns none."""
    fair = [name for name in tasks(journey) if name in found.run.versions and not found.run.in_sample(name)]
    return {name: hindsight(journey, log, answered(found, name, journey)) for name in fair}


def answered(found: Realised, name: str, journey: Journey) -> Answered:
    """What a task said of those who were not contacted, and what came of it."""
    judged = performance.judged(name, found.found, journey)
    customers, cutoff, complete_until = judged.rows[CUSTOMER], found.run.cutoff, found.run.complete_until
    return Answered(name, cutoff, complete_until, customers, judged.predicted, judged.labels, judged.weight)
