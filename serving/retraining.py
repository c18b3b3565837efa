"""Models renewed by rule: outcomes judged, a worse champion rolled back, training where it is due, scores refreshed.

Safe to be run twice at once, because of a lease, and to be killed: each step either stands whole or is found
undone by the next attempt, which begins by looking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from features.errors import InputError, NoModelError
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from serving import judging, registry, watched
from serving.alone import alone
from serving.realised import Realised
from serving.rolling_back import RollBack, roll_back, rolled_back
from serving.scorer import Scorer, Served
from serving.store import Store
from training.drift_report import DriftReport, drift_report
from training.due import Rule, rules_of
from training.model import Model
from training.promote import promote
from training.recipe import Recipe
from training.tracking import CHALLENGER, Tracking
from training.train import train

Report = Callable[[str], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What a retraining works with.

    `load` gives the scorer of the champions, or raises `NoModelError`; `score` scores everyone and stores
    the run.
    """

    store: Store
    tracking: Tracking
    load: Callable[[], Scorer]
    score: Callable[[], None]
    threads: int
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(slots=True)
class Story:
    """What a retraining found and did, in words; `asked`: whatever the rules say."""

    rules: list[Rule] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    scored: bool = False
    due: bool = False
    asked: bool = False

    @property
    def why(self) -> list[str]:
        """The rules that make it due; where none does, all of them."""
        if self.asked:
            return ["asked for, whatever the rules say"]
        return [rule.words for rule in self.rules if rule.due] or [rule.words for rule in self.rules]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "due": "yes" if self.due else "no",
            "why": self.why,
            "rolled_back": self.rolled_back,
            "decisions": self.decisions,
            "scored": "yes" if self.scored else "no",
        } | {"rules": [asdict(rule) for rule in self.rules]}


def retrain(journey: Journey, log: EventLog, tools: Tools, report: Report, *, always: bool = False) -> Story:
    """Renew a journey's models where its rules say so; `always`: whatever they say.

    Raises
    ------
    BusyError
        Where another one holds the lease.
    """
    what = f"retraining of {journey.journey}"
    story = Story(asked=always)
    with alone(tools.store, what) as still_alone, _told(tools.tracking, journey.journey, story) as telling:
        story.decisions += _taken_up(journey, log, tools)
        report("judging outcomes")
        judged = judging.judge_all(tools.store, journey, log, tools.tracking, lambda _: None)
        champions = _rolled_back(journey, log, judged.found, tools, story, telling)
        report("looking for drift")
        models = {name: served.model for name, served in champions.items()}
        drift, untold = _drift(journey, log, models)
        if drift is not None:
            watched.keep(tools.store, journey.journey, drift.to_json())  # whatever becomes of the training
        versions = {name: served.version for name, served in champions.items()}
        rules = rules_of(journey, log, models, drift, reversed(judged.reports), versions, _tried(journey, tools))
        story.rules = [*rules, *untold]
        story.due = always or any(rule.due for rule in story.rules)
        if story.due or story.decisions:
            telling.begin()
        if story.due:
            report("training")
            trained = train(journey, log, list(tasks(journey)), tools.recipe, tools.threads, report)
            still_alone()
            made = tools.tracking.register(journey, trained, telling.begin())
            numbers = {one.task: new.version for one, new in zip(trained, made, strict=True)}
            story.decisions += [_decided(journey, log, tools, *one) for one in numbers.items()]
        if _stale(tools, journey, story.due):
            report("scoring")
            tools.score()
            story.scored = True
    return story


def _rolled_back(
    journey: Journey, log: EventLog, runs: Iterable[Realised], tools: Tools, story: Story, telling: _Telling
) -> dict[str, Served]:
    """The champions after those that got worse gave way, which the story tells; it is begun before anything changes."""
    moved, champions = False, _champions(tools)

    def intend(change: RollBack) -> None:
        tools.tracking.keep_intent(telling.begin(), change.task, (change.version, change.before), rolled_back(change))

    for done, words in roll_back(journey, log, runs, tools.tracking, champions, intend):
        (story.rolled_back if done else story.decisions).append(words)
        moved = True
    return _champions(tools) if moved else champions


def _drift(journey: Journey, log: EventLog, models: Mapping[str, Model]) -> tuple[DriftReport | None, list[Rule]]:
    """The drift report, or a rule that says why there is none: training may be what mends it."""
    if not (models and journey.retrain.drift):
        return None, []
    try:
        return drift_report(journey, log, models), []
    except Exception as problem:
        _log.warning("drift could not be told: %s", problem, exc_info=not isinstance(problem, InputError))
        return None, [Rule(False, f"drift could not be told: {problem or type(problem).__name__}")]


class _Telling:
    """The one run that tells a story, begun as soon as there is something to tell."""

    def __init__(self, tracking: Tracking, journey: str) -> None:
        self._tracking, self._journey = tracking, journey
        self._run_id: str | None = None

    def begin(self) -> str:
        """The run's id."""
        if self._run_id is None:
            self._run_id = self._tracking.begin_story(self._journey)
        return self._run_id

    def end(self, story: dict[str, Any], status: str) -> None:
        """Tell the story where it was begun."""
        if self._run_id is not None:
            self._tracking.end_story(self._run_id, story, status)


@contextmanager
def _told(tracking: Tracking, journey: str, story: Story) -> Iterator[_Telling]:
    """Tell the story, also where it fails; nothing where there was nothing to tell."""
    telling = _Telling(tracking, journey)
    try:
        yield telling
    except BaseException as error:
        telling.end(story.to_json() | {"failed": str(error) or type(error).__name__}, "FAILED")
        raise
    telling.end(story.to_json(), "FINISHED")


def _decided(journey: Journey, log: EventLog, tools: Tools, task: str, number: int) -> str:
    """What the gate says of a version that a retraining registered: one trained by hand since has another number."""
    decision = promote(tools.tracking, journey.journey, lambda: (journey, log), task, number, threads=tools.threads)
    verb = "promoted" if decision.promoted else "not promoted"
    return f"{decision.name} version {decision.version}: {verb}: {decision.words}"


def _taken_up(journey: Journey, log: EventLog, tools: Tools) -> list[str]:
    """Go on where a retraining was killed or failed: the gate decides on what it registered, its story is closed."""
    decisions = []
    for name in tasks(journey):
        number = tools.tracking.undecided(journey.journey, name)
        if number is not None:
            decisions.append(_decided_or_why_not(journey, log, tools, name, number))
    for run_id in tools.tracking.open_stories(journey.journey):
        told: dict[str, Any] = {"failed": "killed; the next decides on what it had registered"}
        if rolled := tools.tracking.intents_done(journey.journey, run_id):
            told["rolled_back"] = rolled
        tools.tracking.end_story(run_id, told, "KILLED")
    return decisions


def _decided_or_why_not(journey: Journey, log: EventLog, tools: Tools, task: str, number: int) -> str:
    """What the gate says; where it fails, why: that failed before, and must not keep anybody from training anew."""
    try:
        return _decided(journey, log, tools, task, number)
    except Exception as problem:
        _log.warning("%s version %s could not be decided: %s", task, number, problem, exc_info=True)
        return f"{task} version {number}: could not be decided: {problem or type(problem).__name__}"


def _tried(journey: Journey, tools: Tools) -> dict[str, dict[str, Any]]:
    """What the challengers say of themselves that the gate has judged."""
    found = {}
    for name in tasks(journey):
        version = tools.tracking.version(journey.journey, name, CHALLENGER)
        if version is not None and "decision" in version.tags:  # else it was killed before the gate
            found[name] = tools.tracking.model(version).about
    return found


def _champions(tools: Tools) -> dict[str, Served]:
    try:
        return dict(tools.load().models)
    except NoModelError:
        return {}


def _stale(tools: Tools, journey: Journey, due: bool) -> bool:
    """Whether the newest scores are not those of the champions, or older than the log that was trained on."""
    versions = registry.champions(journey.journey, tools.tracking.uri, tasks(journey))
    run = tools.store.latest_run(journey.journey)
    older = (
        run is None or run.versions != versions or (due and run.complete_until < journey.observed_until_microseconds)
    )
    return bool(versions) and older
