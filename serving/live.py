"""A simulated business run by its models month by month: scored, acted upon, judged, and trained anew when due.

Everything is done by what a real business uses: the journey's definition, the store, the registry, campaigns
with a hold-out. Only the customers are simulated, and respond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import select

from features.definition import read as read_journey
from features.errors import InputError, NoModelError
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog, read
from features.schema import HOUR
from features.simulator.live import World
from serving import batch, campaigns, events, outcomes, proposals, registry, retraining, sending
from serving.beginning import beginning
from serving.campaigns import CONTACT, HOLDOUT, Arm
from serving.filters import Filters
from serving.live_definition import HISTORY, MONTH, SEED, SHARE, Changes, cost, written
from serving.live_holdouts import Named
from serving.planning import Cut
from serving.proportions import Estimate
from serving.proposals import Proposal
from serving.retraining import Tools
from serving.rule_list import WORTH
from serving.store import Store, run_of
from serving.tables import scores
from training.promote import Accepted, promote
from training.recipe import Recipe
from training.tracking import CHAMPION, Tracking

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a live simulation keeps its log, its store and its models; `recipe` is what it trains by.

    `pages`: the home is to be shown by `serve`, so what the pages show besides the scores is made, too.
    """

    folder: Path
    store: Store
    tracking: Tracking
    models: Path
    threads: int
    recipe: Recipe
    pages: bool = True

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def place_at(folder: Path, threads: int, recipe: Recipe, *, figures: bool = True, pages: bool = True) -> Place:
    """A folder as a home of its own: log, store, registry, models.

    `figures` of each model and what the `pages` show besides the scores take most of the time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tracking = Tracking(f"sqlite:///{(folder / 'mlflow.db').resolve()}", folder / "artifacts", figures=figures)
    store = Store(f"sqlite:///{(folder / 'scores.db').resolve()}")
    return Place(folder, store, tracking, folder / "models", threads, recipe, pages)


@dataclass(frozen=True, slots=True)
class Month:
    """What happened in a month.

    `versions` are those that made the list (empty: no model has passed the gate, there is no list), `value` what
    customers were expected to spend in the month, `saved` what the newest campaign whose horizon is over saved
    against its hold-out (null: there is none). The rest is what the retraining said: what each rule found, why
    training was due (empty: it was not), what was decided.
    """

    day: str
    versions: dict[str, int]
    contacted: int
    held_out: int
    accepted: int
    cost: float
    value: float
    saved: dict[str, Any] | None
    rules: list[str]
    why: list[str]
    rolled_back: list[str]
    decisions: list[str]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


class Acted(NamedTuple):
    """A list acted upon: the campaign (null: nobody was contacted), its arms, who accepted, and the cost."""

    campaign: int | None = None
    contacted: Sequence[str] = ()
    held_out: Sequence[str] = ()
    accepted: int = 0
    cost: float = 0.0


class Business:
    """A simulated business with its definition, its log and its store.

    Parameters
    ----------
    capacity
        How many customers can be contacted in a month.
    holdout
        Share of the list that is not contacted, to compare with.
    changed
        Texts of the shipped definition and what stands in their place.
    """

    def __init__(
        self, world: World, place: Place, capacity: int, holdout: float = SHARE, changed: Changes = ()
    ) -> None:
        self.world, self.place, self._capacity, self._holdout = world, place, capacity, holdout
        self._changed = changed
        self.file = place.folder / "simulated.yml"
        self._named = Named(world.names)

    def live(self, months: int, report: Report) -> Iterator[Month]:
        """Let a year's history pass, train the first models, and go on month by month."""
        self.world.advance(HISTORY - self.world.day)
        sent: list[int] = []
        for _ in range(months):
            journey, log = self.read()
            told = partial(_dated, report, self.world.today.isoformat())
            story = retraining.retrain(journey, log, self.tools(journey, log), told)
            first = self._first(journey, log)
            saved = self._measured(sent, journey, log)
            told("the list")
            versions = self._versions(journey, log, story.scored and not first)
            acted = self._act(journey) if versions else Acted()
            sent += [] if acted.campaign is None else [acted.campaign]
            day, before = self.world.today.isoformat(), len(self.world.value)
            self.world.advance(MONTH)
            yield Month(
                day=day,
                versions=versions,
                contacted=len(acted.contacted),
                held_out=len(acted.held_out),
                accepted=acted.accepted,
                cost=acted.cost,
                value=float(np.sum(self.world.value[before:])),
                saved=saved,
                rules=[rule.words for rule in story.rules],
                why=story.why if story.due else [],
                rolled_back=story.rolled_back,
                decisions=[*story.decisions, *first],
            )

    def against_holdouts(self) -> Estimate | None:
        """What those contacted spent more than those held out since a list first named them; null: too few to tell."""
        return self._named.against(self.world.worth)

    def _first(self, journey: Journey, log: EventLog) -> list[str]:
        """Promote what the gate calls no better than a rule where a task has no model at all.

        As a person would (`promote --accept-grade C`): without any model of value a list knows churn alone, and
        leads to customers who bring nothing.
        """
        tracking, found = self.place.tracking, []
        for task in tasks(journey):
            if tracking.version(journey.journey, task, CHAMPION) is None:
                accepted, source = Accepted(grade_c=True), lambda: (journey, log)
                made = promote(tracking, journey.journey, source, task, accepted=accepted, threads=self.place.threads)
                found += [f"{made.told} (accepted: there was none)"] if made.promoted else []
        return found

    def read(self) -> tuple[Journey, EventLog]:
        """The journey and its log as they stand this morning, from the files a user would have."""
        # Contacts are not in the file: the store has them, as of any business.
        definition, base = written(self.world, self.file, self._changed, contacts=False)
        return read(definition, base, self.place.threads, events.stored(self.place.store, definition.journey))

    def tools(self, journey: Journey, log: EventLog) -> Tools:
        """What a retraining of today works with."""
        place = self.place
        return Tools(
            store=place.store,
            tracking=place.tracking,
            load=partial(self._scorer, journey, log),
            score=partial(self._score, journey, log),
            threads=place.threads,
            recipe=place.recipe,
        )

    def _scorer(self, journey: Journey, log: EventLog) -> Any:
        place = self.place
        return registry.load(journey.journey, place.tracking.uri, place.models, log.profile, place.threads)

    def _score(self, journey: Journey, log: EventLog) -> None:
        store, scorer = self.place.store, self._scorer(journey, log)
        with beginning(store, journey.journey) as begin:
            seen = read(*read_journey(self.file), self.place.threads, begin)
            batch.score(*seen, scorer, store, lambda done, of: None, begin.run, pages=self.place.pages)

    def _versions(self, journey: Journey, log: EventLog, scored: bool) -> dict[str, int]:
        """Score everyone, unless this has been done; the versions that did, none where no model is there."""
        try:
            if not scored:
                self._score(journey, log)
        except NoModelError:
            return {}
        run = self.place.store.latest_run(journey.journey)
        return {} if run is None else dict(run.versions)

    def _act(self, journey: Journey) -> Acted:
        """Cut the list, hold some out, contact the others."""
        now, costs = journey.observed_until_microseconds + 8 * HOUR, journey.campaign
        # A capacity counts contacts: those held out come besides.
        worth = Filters(minimum_cltv=self._worth(journey))
        asked = Proposal(f"month {self.world.today}", worth, costs, Cut(None, self._capacity), self._holdout, SEED)
        try:
            made = proposals.create(self.place.store, journey.journey, asked, now)
            done = sending.send(self.place.store, journey.journey, made.id, now + HOUR, "email", now + HOUR)
        except InputError:  # nobody is left to contact
            return Acted()
        contacted, held_out = (self._arm(done.id, arm) for arm in (CONTACT, HOLDOUT))
        self._named.note(contacted, held_out, self.world.worth)
        taken = int(self.world.contact(contacted).sum())
        return Acted(done.id, contacted, held_out, taken, cost(journey, len(contacted), taken))

    def _worth(self, journey: Journey) -> float | None:
        """What the most valuable third are expected to bring at least; null: nobody's value is known."""
        with self.place.store.transaction() as connection:
            run = run_of(connection, journey.journey)
            asked = select(scores.c.cltv_expected).where(scores.c.run_id == run.id, scores.c.churn_eligible)
            values = [value for value in connection.execute(asked).scalars() if value is not None]
        return float(np.quantile(values, 1 - WORTH)) if values else None

    def _arm(self, campaign_id: int, arm: Arm) -> list[str]:
        with self.place.store.transaction() as connection:
            return [row.customer_id for row in connection.execute(campaigns.of_campaign(campaign_id, arm))]

    def _measured(self, sent: list[int], journey: Journey, log: EventLog) -> dict[str, Any] | None:
        """The outcome of the oldest campaign not measured yet, which leaves the list; null: none is due."""
        found = self._measure(sent[0], journey, log) if sent else None
        if found is not None:
            sent.pop(0)
        return found

    def _measure(self, campaign_id: int, journey: Journey, log: EventLog) -> dict[str, Any] | None:
        """What the campaign saved, as soon as its horizon is over."""
        stored = campaigns.read(self.place.store, journey.journey, campaign_id)
        try:
            found = outcomes.measure(self.place.store, stored, journey, log, journey.observed_until_microseconds)
        except InputError:
            return None
        campaigns.write_outcome(self.place.store, campaign_id, found.model_dump())
        return found.model_dump(include={"begins", "verdict", "why", "difference", "saved_value", "more_value", "net"})


def _dated(report: Report, day: str, words: str, *_: int | None) -> None:
    report(f"{day}: {words}")
