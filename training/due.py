"""Whether a journey's models are due to be trained anew, by the journey's own rules, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from features.journey import Journey, duration_text
from features.labels import tasks
from features.log import EventLog
from features.schema import DAY
from training.drift_report import DriftReport
from training.model import Model, knows_until


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: whether it makes training due, and why or why not."""

    due: bool
    words: str


def rules_of(
    journey: Journey,
    log: EventLog,
    champions: Mapping[str, Model],
    drift: DriftReport | None,
    reports: Iterable[Mapping[str, Any]],
    versions: Mapping[str, int],
    tried: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Rule]:
    """Every rule of the journey with its verdict.

    Parameters
    ----------
    champions
        The models that answer, by task; a task of the journey that has none is due, unless the gate has just
        refused one.
    reports
        Reports on what came of runs, the newest first, graded; see `serving.judging`.
    versions
        Of the champions, by task.
    tried
        What the challengers say of themselves that the gate has judged. Where they knew the log up to less than a step
        of cutoffs ago, drift and grades are no reason to train again: it would come to the same.
    """
    tried = tried or {}
    missing = [name for name in tasks(journey) if name not in champions]
    found = [_missing(journey, name, tried.get(name)) for name in missing]
    how, abouts = journey.retrain, [model.about for model in champions.values()]
    if not abouts:
        return found
    if how.age is not None:
        found.append(_age(journey, abouts, how.age))
    if how.new_data is not None:
        found.append(_new_data(log, abouts, how.new_data))
    world = [Rule(drift.alarm, f"drift: {drift.words}")] if how.drift and drift is not None else []
    world += _grades(reports, versions, how.grade) if how.grade is not None else []
    days = min((_days_since(journey, about) for about in tried.values()), default=float("inf"))
    return found + [_unless_tried(rule, days, journey.cutoffs.every / timedelta(days=1)) for rule in world]


def _unless_tried(rule: Rule, days: float, step: float) -> Rule:
    if not rule.due or days >= step:
        return rule
    return Rule(False, f"{rule.words}; but models were trained on data up to {days:.0f} days ago")


def _missing(journey: Journey, name: str, refused: Mapping[str, Any] | None) -> Rule:
    if refused is None:
        return Rule(True, f"{name} has no champion")
    days = _days_since(journey, refused)
    limit = journey.retrain.age
    told = f"{name} has no champion: the gate refused one that knows the log up to {days:.0f} days ago"
    return Rule(limit is not None and days >= limit / timedelta(days=1), told)


def _days_since(journey: Journey, about: Mapping[str, Any]) -> float:
    """How far the log has come since a model was trained."""
    return (journey.observed_until_microseconds - knows_until(about)) / DAY


def _age(journey: Journey, abouts: list[dict[str, Any]], limit: timedelta) -> Rule:
    days = max(_days_since(journey, about) for about in abouts)
    words = f"age: the oldest champion knows the log up to {days:.0f} days ago, {duration_text(limit)} are allowed"
    return Rule(days >= limit / timedelta(days=1), words)


def _new_data(log: EventLog, abouts: list[dict[str, Any]], limit: float) -> Rule:
    known = min(int(about["log"]["rows"]) for about in abouts)
    share = (len(log.events) - known) / max(known, 1)
    return Rule(
        share >= limit,
        f"new data: {100 * share:.0f} % more events than were trained on, {100 * limit:.0f} % are allowed",
    )


def _grades(reports: Iterable[Mapping[str, Any]], versions: Mapping[str, int], worst: str) -> list[Rule]:
    """Per task the newest grade on what happened that the champion earned."""
    found: dict[str, Rule] = {}
    for report in reports:
        for name, told in report["tasks"].items():
            grade = told["grade"]
            if name in found or grade is None or told["version"] != versions.get(name):
                continue
            words = f"grade of {name} on what happened after {report['cutoff'][:10]}: {grade['words']}"
            found[name] = Rule(grade["letter"] > worst, f"{words}; {worst} is asked for")
    silent = sorted(set(versions) - set(found))
    return [*found.values(), *(Rule(False, f"grade of {name}: no outcome is known yet") for name in silent)]
