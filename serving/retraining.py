"""Models renewed by rule: outcomes judged, a worse champion rolled back, training where it is due, scores refreshed.

Safe to be run twice at once, because of a lease, and to be killed: each step either stands whole or is found
undone by the next attempt, which begins by looking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from features.errors import InputError
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from serving import judging, performance, watched
from serving.leases import Lease
from serving.realised import Realised
from serving.scorer import Scorer
from serving.store import Store
from training.drift_report import drift_report
from training.due import Rule, rules_of
from training.hindsight import against
from training.promote import promote
from training.recipe import Recipe
from training.tracking import CHALLENGER, CHAMPION, PREVIOUS, Tracking
from training.train import train

Report = Callable[[str], None]
_RENEW_SECONDS = 15.0


class BusyError(InputError):
    """Another retraining of the journey is under way."""


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
    """What a retraining found and did, in words."""

    rules: list[Rule] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    scored: bool = False
    due: bool = False

    @property
    def why(self) -> list[str]:
        """The rules that make it due; where none does, all of them."""
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
    with _alone(tools.store, journey.journey) as still_alone:
        story = Story()
        report("judging outcomes")
        reports = list(judging.judge_all(tools.store, journey, log, tools.tracking, lambda _: None))
        champions = _champions(tools)
        story.rolled_back = _roll_back(journey, log, tools, champions)
        champions = _champions(tools) if story.rolled_back else champions
        report("looking for drift")
        models = {name: served.model for name, served in champions.items()}
        drift = drift_report(journey, log, models) if models and journey.retrain.drift else None
        versions = {name: served.version for name, served in champions.items()}
        story.rules = rules_of(journey, log, models, drift, reversed(reports), versions, _tried(journey, tools))
        story.due = always or any(rule.due for rule in story.rules)
        if story.due:
            _train(journey, log, tools, story, report, still_alone)
        elif story.rolled_back:
            tools.tracking.end_story(tools.tracking.begin_story(journey.journey), story.to_json())
        if _stale(tools, journey):
            report("scoring")
            tools.score()
            story.scored = True
        if drift is not None:
            watched.keep(tools.store, journey.journey, drift.to_json())
        return story


def _train(
    journey: Journey, log: EventLog, tools: Tools, story: Story, report: Report, still_alone: Callable[[], None]
) -> None:
    """Train, register, let the gate decide; one run tells of it, also where it fails."""
    run_id = tools.tracking.begin_story(journey.journey)
    try:
        trained = train(journey, log, list(tasks(journey)), tools.recipe, tools.threads, report)
        still_alone()
        tools.tracking.register(journey, trained, run_id)
        for one in trained:
            decision = promote(tools.tracking, journey.journey, lambda: (journey, log), one.task, threads=tools.threads)
            verb = "promoted" if decision.promoted else "kept the champion"
            story.decisions.append(f"{decision.name} version {decision.version}: {verb}: {decision.words}")
    except BaseException as error:
        tools.tracking.end_story(run_id, story.to_json() | {"failed": str(error) or type(error).__name__}, failed=True)
        raise
    tools.tracking.end_story(run_id, story.to_json())


def _roll_back(journey: Journey, log: EventLog, tools: Tools, champions: Mapping[str, Any]) -> list[str]:
    """Make the champion before champion again where, on what happened, it would have been clearly ahead."""
    told = []
    newest = _newest_of(journey, log, tools, champions)
    for name, found in newest.items():
        before = tools.tracking.version(journey.journey, name, PREVIOUS)
        if before is None or int(before.version) == champions[name].version:
            continue
        said = judging.answered(found, name, journey)
        lead = against(journey, log, said, tools.tracking.model(before))
        if lead is None or lead.high >= 0:
            continue
        tools.tracking.rollback(journey.journey, name)
        words = (
            f"{name}: version {champions[name].version} was {-100 * lead.ahead:.1f} % behind version {before.version} "
            f"on what happened (95 %: {-100 * lead.high:.1f} to {-100 * lead.low:.1f}), which is champion again"
        )
        tools.tracking.tell(journey.journey, name, int(before.version), True, words)
        told.append(words)
    return told


def _newest_of(journey: Journey, log: EventLog, tools: Tools, champions: Mapping[str, Any]) -> dict[str, Realised]:
    """Per task the newest run of the champion of which the outcome is known."""
    found = {}
    for one in judging.realised_of(tools.store, journey, log):
        for name, version in one.run.versions.items():
            served = champions.get(name)
            if (
                served is not None
                and served.version == version
                and len(performance.asked(name, one.found, journey).rows)
            ):
                found[name] = one
    return found


def _tried(journey: Journey, tools: Tools) -> dict[str, dict[str, Any]]:
    """What the challengers say of themselves that the gate has judged."""
    found = {}
    for name in tasks(journey):
        version = tools.tracking.version(journey.journey, name, CHALLENGER)
        if version is not None and "decision" in version.tags:  # else it was killed before the gate
            found[name] = tools.tracking.model(version).about
    return found


def _champions(tools: Tools) -> dict[str, Any]:
    from features.errors import NoModelError

    try:
        return dict(tools.load().models)
    except NoModelError:
        return {}


def _stale(tools: Tools, journey: Journey) -> bool:
    """Whether the newest scores are not those of the champions."""
    versions = {}
    for name in tasks(journey):
        found = tools.tracking.version(journey.journey, name, CHAMPION)
        if found is not None:
            versions[name] = int(found.version)
    run = tools.store.latest_run(journey.journey)
    return bool(versions) and (run is None or run.versions != versions)


@contextmanager
def _alone(store: Store, journey: str) -> Iterator[Callable[[], None]]:
    """Hold the lease, renewed while the work goes on; yields a check that it is still ours."""
    lease, over = Lease(store, f"retraining of {journey}"), threading.Event()
    lost = threading.Event()
    if not lease.hold():
        raise BusyError(f"retraining of {journey}", "is under way elsewhere", do="wait for it; nothing was done here")

    def renew() -> None:
        while not over.wait(_RENEW_SECONDS):
            try:
                held = lease.hold()
            except InputError:
                continue  # the store is away; the lease holds for a while yet
            if not held:
                lost.set()
                return

    def check() -> None:
        if lost.is_set():
            raise BusyError(f"retraining of {journey}", "was taken over elsewhere", do="nothing was registered here")

    keeper = threading.Thread(target=renew, daemon=True)
    keeper.start()
    try:
        yield check
    finally:
        over.set()
        keeper.join()
        lease.release()
