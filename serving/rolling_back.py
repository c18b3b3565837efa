"""A champion that got worse in the world gives way to the one before it, by what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from scipy.stats import norm

from features.errors import InputError
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from serving import judging, performance
from serving.proportions import COVERAGE
from serving.realised import Realised
from serving.scorer import Scorer, Served
from training.grades import Lead
from training.hindsight import against
from training.model import knows_until
from training.renewal import asked_else, question
from training.tracking import PREVIOUS, ROLLED_BACK, ChampionMovedError, Tracking

Champions = Mapping[str, Served]


@dataclass(frozen=True, slots=True)
class RollBack:
    """A champion that gives way to the version before it, and why in words."""

    task: str
    version: int
    before: int
    words: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """How far a champion was ahead of the version before it, after so many looks at it."""

    before: int
    looks: int
    lead: Lead


def roll_back(
    journey: Journey,
    log: EventLog,
    runs: Iterable[Realised],
    tracking: Tracking,
    champions: Champions,
    intend: Callable[[RollBack], None] = lambda _: None,
) -> Iterator[tuple[bool, str]]:
    """Make the champion before champion again where, on what happened, it would have been clearly ahead.

    Compared is the newest of the champion's `runs` (oldest first) whose outcome is known, by the customers who were not
    contacted. Each run is looked at once, and a champion that is as good as the one before is left with a chance of
    2.5 % at most in all of its life: see `_behind`. A version that was itself rolled back, or that has learned from
    what happened then, is no measure; nor is one that was asked another question than the journey asks, or cannot
    be served beside the other champions.

    Yields whether a champion was rolled back and the words of it; it is not where somebody changed the champion while
    this compared. `intend` is told of each before anything is changed.
    """
    newest = _newest_of(journey, runs, champions) if journey.retrain.roll_back else {}
    for name, found in newest.items():
        number, asked = champions[name].version, _asked(journey, log, name, found, tracking, champions)
        if asked is None:
            continue
        if _behind(asked.lead, asked.looks + 1):
            change = RollBack(name, number, asked.before, _words(name, number, asked.before, asked.lead))
            intend(change)
            try:
                tracking.rollback(journey.journey, name, (number, asked.before))
            except ChampionMovedError:
                yield False, f"{change.words}; left as it is: the champion was changed by hand meanwhile"
                continue
            told = rolled_back(change)
            tracking.tell(journey.journey, name, asked.before, True, told)
            yield True, told
        # Last: killed before, the next attempt looks again. Whoever brings back by hand what was left keeps it.
        tracking.keep_look(journey.journey, name, number, asked.looks + 1, found.run.cutoff)


def rolled_back(change: RollBack) -> str:
    """The words of a roll-back that was done."""
    return f"{change.words}, which is champion again"


def _asked(
    journey: Journey, log: EventLog, name: str, found: Realised, tracking: Tracking, champions: Champions
) -> _Asked | None:
    """The champion beside the one before it on a run that was not looked at yet; None: the two cannot be compared."""
    number = champions[name].version
    present = tracking.version(journey.journey, name, number)
    before = tracking.version(journey.journey, name, PREVIOUS)
    if present is None or before is None or ROLLED_BACK in before.tags or int(before.version) == number:
        return None
    looks, until = tracking.looked(present)
    if found.run.cutoff <= until:
        return None
    model = tracking.model(before)
    replaced = {**champions, name: Served(model, int(before.version))}
    if knows_until(model.about) > found.run.cutoff or not _may_answer(journey, log, name, champions, replaced):
        return None
    lead = against(journey, log, judging.answered(found, name, journey), model)
    return None if lead is None else _Asked(int(before.version), looks, lead)


def _words(name: str, number: int, before: int, lead: Lead) -> str:
    return (
        f"{name}: version {number} was {-100 * lead.ahead:.1f} % behind version {before} "
        f"on what happened (95 %: {-100 * lead.high:.1f} to {-100 * lead.low:.1f})"
    )


def _behind(lead: Lead, look: int) -> bool:
    """Whether a lead is below zero beyond chance at a champion's so many-eth look.

    A chance of 2.5 % is spent over all looks, however many there will be: a half of it on the first, a sixth on the
    second, 1 / (look * (look + 1)) on each. So it holds although the runs tell of the same customers.
    """
    chance = (1 - COVERAGE) / 2
    wider = float(norm.isf(chance / (look * (look + 1))) / norm.isf(chance))  # than the interval of one look
    return lead.ahead + wider * (lead.high - lead.ahead) < 0


def _may_answer(journey: Journey, log: EventLog, name: str, champions: Champions, replaced: Champions) -> bool:
    """Whether both versions of a task answer what the journey asks, and the one before can be served in place."""
    asked = question(name, journey)
    if any(asked_else(name, each[name].model.about, asked) for each in (champions, replaced)):
        return False
    try:
        Scorer(replaced, log.profile, own=journey.own)
    except InputError:
        return False
    return True


def _newest_of(journey: Journey, runs: Iterable[Realised], champions: Champions) -> dict[str, Realised]:
    """Per task the newest run of the champion of which the outcome is known, of those that are not in sample."""
    found = {}
    for one in runs:
        for name, version in one.run.versions.items():
            served = champions.get(name)
            if served is None or served.version != version or name not in tasks(journey):
                continue
            if not one.run.in_sample(name) and len(performance.asked(name, one.found, journey).rows):
                found[name] = one
    return found
