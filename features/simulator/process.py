"""What customers do, day by day: a Markov process small enough for its future to be computed exactly.

A customer who is there has a friction level (0 to 3) and perhaps one pending problem (a purchase that went
wrong and has not come to light). Each day, in this order:

1. friction fades by one level with a fixed chance;
2. a pending problem comes to light as an issue (a ticket, a return or a complaint) with a fixed chance;
3. sessions, carts, failed payments and purchases happen as independent Poisson counts, their rates set
   by the customer, the calendar and the friction level after step 1;
4. each purchase goes wrong with the customer's chance and is then pending;
5. friction rises by one for an issue and by one for failed payments;
6. the customer leaves with the hazard of that level, and never comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from features.simulator.population import Flags, Floats, Ints, Parameters, Traits, activity

COUNTS = ("browse", "left_cart", "failed", "online", "store")  # the Poisson counts of a day


@dataclass(frozen=True, slots=True)
class State:
    """The state at the first instant of a day, one element per customer."""

    alive: Flags  # arrived and not gone
    friction: Ints
    pending: Flags

    @classmethod
    def empty(cls, customers: int) -> State:
        """Nobody has arrived, nothing has happened."""
        return cls(np.zeros(customers, bool), np.zeros(customers, int), np.zeros(customers, bool))

    def with_arrivals(self, arriving: Flags) -> State:
        """The same with these customers there."""
        return State(self.alive | arriving, self.friction, self.pending)

    def take(self, customers: Ints) -> State:
        """The states of these customers, in this order."""
        return State(self.alive[customers], self.friction[customers], self.pending[customers])


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day, one element per customer."""

    counts: dict[str, Ints]
    bad: Ints  # purchases that went wrong
    issue: Flags  # a pending problem came to light
    left: Flags  # the customer left at the end of the day ...
    pushed: Flags  # ... because of friction

    @property
    def purchases(self) -> Ints:
        """Purchases, online and in the store."""
        return self.counts["online"] + self.counts["store"]


def rates(traits: Traits, parameters: Parameters) -> dict[str, Floats]:
    """Mean counts of an average day without friction."""
    online = traits.purchase_rate * traits.online_share
    carts = online / (parameters.cart_completion * (1 - parameters.payment_failure))
    failed = carts * parameters.payment_failure
    return {
        "browse": traits.browse_rate,
        "left_cart": carts - failed - online,
        "failed": failed,
        "online": online,
        "store": traits.purchase_rate * (1 - traits.online_share),
    }


def push(traits: Traits, parameters: Parameters) -> Floats:
    """Chance a day of leaving because of friction, (customers, friction levels)."""
    chances: Floats = -np.expm1(-np.outer(traits.service_sensitivity, parameters.friction_hazard))
    return chances


def step(
    rng: np.random.Generator, traits: Traits, state: State, day: date, parameters: Parameters
) -> tuple[State, Day]:
    """The next state and what happened on `day`; who is not alive does nothing."""
    p, n = parameters, len(traits)
    here = state.alive
    faded = np.maximum(0, state.friction - (rng.random(n) < p.fade_rate))
    issue = here & state.pending & (rng.random(n) < p.issue_rate)
    pace = activity(traits, day) * np.asarray(p.calm)[faded]
    counts = {name: rng.poisson(rate * pace * here) for name, rate in rates(traits, p).items()}
    bad = rng.binomial(counts["online"] + counts["store"], traits.bad_share)
    friction = np.minimum(len(p.friction_hazard) - 1, faded + issue + (counts["failed"] > 0))
    pushed = here & (rng.random(n) < push(traits, p)[np.arange(n), friction])
    left = pushed | (here & (rng.random(n) < traits.base_hazard))
    after = State(here & ~left, friction, (state.pending & ~issue) | (bad > 0))
    return after, Day(counts, bad, issue, left, pushed)


@dataclass(frozen=True, slots=True)
class History:
    """Everything that happened: arrays of (days, customers), and the states between the days."""

    start: date
    states: tuple[State, ...]  # at the first instant of each day and after the last
    counts: dict[str, Ints]
    bad: Ints
    issue: Flags
    pushed: Flags
    gone: Ints  # by customer: the first day of absence; one more than there are days: never left

    @property
    def days(self) -> list[date]:
        """The simulated days."""
        return [self.start + timedelta(days=day) for day in range(len(self.bad))]


def run(rng: np.random.Generator, traits: Traits, start: date, days: int, parameters: Parameters) -> History:
    """The life of every customer over `days` days."""
    state = State.empty(len(traits))
    states, diary = [], []
    for number in range(days):
        state = state.with_arrivals(traits.arrival == number)
        states.append(state)
        state, day = step(rng, traits, state, start + timedelta(days=number), parameters)
        diary.append(day)
    left = np.array([day.left for day in diary])
    return History(
        start=start,
        states=(*states, state),
        counts={name: np.array([day.counts[name] for day in diary]) for name in COUNTS},
        bad=np.array([day.bad for day in diary]),
        issue=np.array([day.issue for day in diary]),
        pushed=np.array([day.pushed for day in diary]),
        gone=np.where(left.any(axis=0), left.argmax(axis=0) + 1, days + 1),
    )
