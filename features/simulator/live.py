"""The simulated business lived month by month, with customers who respond to being contacted.

Two worlds of one seed differ only by the contacts made in them: every customer has their own luck on every
day, whatever happened before. So what contacts change is the difference of two worlds, without noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from features.schema import CONTACTED, DAY, HOUR
from features.simulator.population import Flags, Floats, Ints, Parameters, Traits, draw_traits, mean_value
from features.simulator.process import COUNTS, History, State, step
from features.simulator.simulation import BUSINESS, PROPERTIES, START, brought, instants

_POISSON_AT_MOST, _TRIALS_AT_MOST = 40, 12
_CONTACT_HOUR = 9 * HOUR


@dataclass(frozen=True, slots=True)
class Response:
    """How customers respond to being contacted with an offer; fixed before any list was made.

    A customer who is still there takes it with a chance of their own. Whoever does has their trouble seen
    to (friction and a pending problem are gone) and leaves less easily for a while. Who has left does not
    come back, and who would have stayed takes the offer just the same.
    """

    accept: float = 0.4  # mean chance of taking it, of a beta distribution over customers
    relief_days: int = 56  # for so long ...
    hazard: float = 0.35  # ... the hazards of leaving are multiplied by this


class Luck:
    """One day's luck: draws that each customer would have had in any other course of events, too.

    Counts come by the inverse of their distribution from one uniform number per customer, so that
    another rate for one customer changes nobody else's.
    """

    def __init__(self, seed: int, day: int) -> None:
        self._rng = np.random.default_rng([seed, day])

    def random(self, size: int) -> Floats:
        """Uniform numbers."""
        return self._rng.random(size)

    def poisson(self, mean: Floats) -> Ints:
        """Poisson counts."""
        luck = self._rng.random(len(mean))
        term = np.exp(-mean)
        below, found = term.copy(), np.zeros(len(mean), np.int64)
        for count in range(1, _POISSON_AT_MOST):
            more = luck >= below
            if not more.any():
                break
            found += more
            term = term * mean / count
            below += term
        return found

    def binomial(self, trials: Ints, chance: Floats) -> Ints:
        """How many of some trials come out."""
        luck = self._rng.random((_TRIALS_AT_MOST, len(trials)))
        asked = np.arange(_TRIALS_AT_MOST)[:, None] < trials
        return np.asarray((asked & (luck < chance)).sum(axis=0), dtype=np.int64)


class World:
    """A business that goes on.

    Parameters
    ----------
    days
        Over which its customers arrive: as long as the world will last.
    """

    def __init__(
        self, customers: int, days: int, seed: int, start: date = START, response: Response | None = None
    ) -> None:
        rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)]
        self.parameters, self.response = Parameters(), response or Response()
        self.traits = draw_traits(rngs[0], customers, days, self.parameters)
        share = self.response.accept
        self.accepts = rngs[1].beta(3 * share, 3 * (1 - share), customers)
        self.names = pl.Series("customer_id", [f"c{number:05d}" for number in range(1, customers + 1)])
        self.start, self.day, self._seed = start, 0, seed
        self._state = State.empty(customers)
        self._relieved = np.zeros(customers, np.int64)  # until which day
        self._gone = np.full(customers, np.iinfo(np.int64).max // DAY, np.int64)
        self._happened: list[pl.DataFrame] = []
        self._bought = pl.DataFrame()
        self.value: list[float] = []  # expected value of each day's purchases
        self.worth = np.zeros(customers)  # the same by customer

    @property
    def today(self) -> date:
        """The day that begins."""
        return self.start + timedelta(days=self.day)

    @property
    def state(self) -> State:
        """Who is there, and in which state, this morning."""
        return self._state

    @property
    def relieved(self) -> Ints:
        """The day until which each customer leaves less easily for an offer they took; 0: they took none."""
        return self._relieved

    def advance(self, days: int) -> None:
        """Let so many days pass."""
        first, states, diary = self.day, [], []
        for _ in range(days):
            state = self._state.with_arrivals(self.traits.arrival == self.day)
            states.append(state)
            luck: np.random.Generator = Luck(self._seed, self.day)  # type: ignore[assignment]
            self._state, today = step(luck, self.calmed(self._relieved > self.day), state, self.today, self.parameters)
            worth = today.purchases * mean_value(self.traits, self.today, self.parameters)
            self.value.append(float(worth.sum()))
            self.worth += worth
            self._gone[today.left] = self.day + 1
            diary.append(today)
            self.day += 1
        history = History(
            start=self.start + timedelta(days=first),
            states=(*states, self._state),
            counts={name: np.array([one.counts[name] for one in diary]) for name in COUNTS},
            bad=np.array([one.bad for one in diary]),
            issue=np.array([one.issue for one in diary]),
            pushed=np.array([one.pushed for one in diary]),
            gone=self._gone - first,
        )
        self._happened.append(self._events(history, first))

    def contact(self, customers: Iterable[str]) -> Flags:
        """Contact customers with an offer this morning; who takes it, by customer of the world."""
        asked = np.isin(self.names.to_numpy(), list(customers))
        luck = np.random.default_rng([self._seed, self.day, 1]).random(len(asked))
        taken: Flags = asked & self._state.alive & (luck < self.accepts)
        calm, clear = np.where(taken, 0, self._state.friction), self._state.pending & ~taken
        self._state = State(self._state.alive, calm, clear)
        self._relieved[taken] = self.day + self.response.relief_days
        who = np.flatnonzero(asked)
        moment = self.day * DAY + _CONTACT_HOUR
        self._happened.append(
            pl.DataFrame({"customer": who, "time": np.full(len(who), moment, np.int64)}).with_columns(
                event=pl.lit(CONTACTED), channel=pl.lit("email")
            )
        )
        return taken

    def log(self, *, contacts: bool = True) -> pl.DataFrame:
        """What the business has learned of by now, in the canonical form; a later log has all of it and more."""
        end = self.day * DAY
        events = pl.concat(self._happened, how="diagonal")
        gone = pl.Series(self._gone[events["customer"].to_numpy()] * DAY)
        here = (pl.col("time") < gone) | pl.col("event").is_in([*BUSINESS, CONTACTED])
        known = pl.coalesce("known_at", "time") < end
        kept = events.filter(here & known & (contacts | (pl.col("event") != CONTACTED)))
        kept = kept.sort("time", "customer", "event", maintain_order=True)
        return kept.select(
            self.names.gather(kept["customer"]),
            instants(kept["time"], self.start),
            "event",
            "value",
            "channel",
            instants(kept["known_at"], self.start),
            *PROPERTIES,
        )

    def calmed(self, relieved: Flags) -> Traits:
        """The traits, with the hazards lowered of those whom an offer keeps for now."""
        factor = np.where(relieved, self.response.hazard, 1.0)
        return replace(
            self.traits,
            service_sensitivity=self.traits.service_sensitivity * factor,
            base_hazard=self.traits.base_hazard * factor,
        )

    def _events(self, history: History, first: int) -> pl.DataFrame:
        """Everything that these days bring, also what comes to pass of it after them."""
        rng = np.random.default_rng([self._seed, first, 2])
        earlier = self._bought.with_columns(pl.col("time") - first * DAY) if len(self._bought) else None
        events, bought = brought(rng, self._as_of(first), history, self.parameters, earlier)
        self._bought = bought.with_columns(pl.col("time") + first * DAY)
        return events.with_columns(pl.col("time", "known_at") + first * DAY)

    def _as_of(self, first: int) -> Traits:
        """The traits with days counted from `first`."""
        return replace(self.traits, arrival=self.traits.arrival - first, contact=self.traits.contact - first)
