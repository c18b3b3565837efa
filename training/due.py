"""Whether a journey's models are due to be trained anew, by the journey's own rules, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from features.journey import Journey, duration_text
from features.labels import tasks
from features.log import EventLog
from features.schema import DAY
from training.drift_report import DriftReport
from training.model import Model, knows_until

_Abouts: TypeAlias = Sequence[Mapping[str, Any]]  # what models say of themselves


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
        What the challengers say of themselves that the gate has judged, by task. Age and new data count from the newest
        of them on: one that was refused would be refused again. Where they knew the log up to less than a step of
        cutoffs ago, drift and grades are no reason to train again: it would come to the same.
    """
    tried = tried or {}
    missing = [name for name in tasks(journey) if name not in champions]
    found = [_missing(journey, log, name, tried.get(name)) for name in missing]
    how, abouts = journey.retrain, [model.about for model in champions.values()]
    if not abouts:
        return found
    newest = [max(model.about, tried.get(name, model.about), key=knows_until) for name, model in champions.items()]
    if how.age is not None:
        found.append(_age(journey, abouts, newest, how.age))
    if how.new_data is not None:
        found.append(_new_data(journey, log, abouts, newest, how.new_data))
    world = [Rule(drift.alarm, f"drift: {drift.words}")] if how.drift and drift is not None else []
    world += _grades(reports, versions, how.grade) if how.grade is not None else []
    days = min((_days_since(journey, about) for about in tried.values()), default=float("inf"))
    return found + [_unless_tried(rule, days, journey.cutoffs.every / timedelta(days=1)) for rule in world]


def _unless_tried(rule: Rule, days: float, step: float) -> Rule:
    if not rule.due or days >= step:
        return rule
    return Rule(False, f"{rule.words}; but models were trained on data up to {days:.0f} days ago")


def _missing(journey: Journey, log: EventLog, name: str, refused: Mapping[str, Any] | None) -> Rule:
    if refused is None:
        return Rule(True, f"{name} has no champion")
    days, share, how = _days_since(journey, refused), _more(log, refused), journey.retrain
    told = f"{name} has no champion: the gate refused one that knows the log up to {days:.0f} days ago"
    older = how.age is not None and days >= how.age / timedelta(days=1)
    return Rule(older or (how.new_data is not None and share >= how.new_data), told)


def _days_since(journey: Journey, about: Mapping[str, Any]) -> float:
    """How far the log has come since a model was trained."""
    return (journey.observed_until_microseconds - knows_until(about)) / DAY


def _more(log: EventLog, about: Mapping[str, Any]) -> float:
    """How many more events there are than a model was trained on, as a share of these."""
    known = int(about["log"]["rows"])
    return (len(log.events) - known) / max(known, 1)


def _age(journey: Journey, abouts: _Abouts, newest: _Abouts, limit: timedelta) -> Rule:
    days, since = (max(_days_since(journey, about) for about in each) for each in (abouts, newest))
    words = f"age: the oldest champion knows the log up to {days:.0f} days ago, {duration_text(limit)} are allowed"
    most = limit / timedelta(days=1)
    return _unless_refused(Rule(days >= most, words), since >= most, since)


def _new_data(journey: Journey, log: EventLog, abouts: _Abouts, newest: _Abouts, limit: float) -> Rule:
    share, since = (max(_more(log, about) for about in each) for each in (abouts, newest))
    words = f"new data: {100 * share:.0f} % more events than were trained on, {100 * limit:.0f} % are allowed"
    days = max(_days_since(journey, about) for about in newest)
    return _unless_refused(Rule(share >= limit, words), since >= limit, days)


def _unless_refused(rule: Rule, again: bool, days: float) -> Rule:
    """The rule, if it is due by what was tried since the champion, too."""
    if again or not rule.due:
        return rule
    return Rule(False, f"{rule.words}; but the gate refused models that know it up to {days:.0f} days ago")


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
