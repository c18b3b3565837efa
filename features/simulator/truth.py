"""What nobody in the business knows: each customer's true chances, worth and reason for leaving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from features.simulator.population import Floats, Parameters, Traits, activity, mean_value
from features.simulator.process import State, push, rates

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Truth:
    """The simulated customers as they really are.

    `left_at` is [customer_id, left_at]: the midnight from which on the customer does nothing more;
    null: still there at the end. `causes` is [customer_id, time, cause], one row for each customer
    whom friction drove away: the last friction event before they left, and its type. `traits_table`
    has the traits, one row per customer.
    """

    start: date
    parameters: Parameters
    traits: Traits
    states: tuple[State, ...]  # by day; one more than there are days
    customers: pl.Series
    left_at: pl.DataFrame
    causes: pl.DataFrame

    def churn_probability(self, cutoff: datetime, horizon_days: int) -> pl.DataFrame:
        """True probability of no purchase in the horizon: [customer_id, probability].

        Given the customer's traits and true state (gone, friction, pending problem) at the cutoff.
        One row per customer reached before the cutoff; 1 for those who are gone. The cutoff is a
        midnight in UTC within the simulated days, else a ValueError.
        """
        bought = np.zeros(len(self.traits))
        for present, _, buys in self._futures(cutoff, horizon_days, until_purchase=True):
            bought += (present * -np.expm1(-buys)).sum(axis=1)
        return self._answer(cutoff, probability=np.maximum(0.0, 1 - bought))

    def expected_value(self, cutoff: datetime, horizon_days: int) -> pl.DataFrame:
        """True expected value of the purchases in the horizon, refunds apart: [customer_id, value].

        Rows, conditions and errors as in `churn_probability`.
        """
        value = np.zeros(len(self.traits))
        for present, day, buys in self._futures(cutoff, horizon_days, until_purchase=False):
            value += (present * buys).sum(axis=1) * mean_value(self.traits, day, self.parameters)
        return self._answer(cutoff, value=value)

    def traits_table(self) -> pl.DataFrame:
        """One row per customer: when they left, why, and their traits (`arrival`, `contact`: day numbers)."""
        traits = {name: getattr(self.traits, name) for name in Traits.__slots__}
        causes = self.causes.rename({"time": "cause_time"})
        return pl.DataFrame({"customer_id": self.customers, **traits}).join(
            self.left_at.join(causes, on="customer_id", how="left"), on="customer_id", how="left", maintain_order="left"
        )

    def _day(self, cutoff: datetime) -> int:
        naive = cutoff.astimezone(UTC).replace(tzinfo=None) if cutoff.tzinfo else cutoff
        days, rest = divmod(naive - datetime.combine(self.start, time()), _DAY)
        if rest or not 0 <= days < len(self.states):
            last = self.start + timedelta(days=len(self.states) - 1)
            raise ValueError(f"cutoff {cutoff} is not a midnight (UTC) from {self.start} to {last}")
        return days

    def _answer(self, cutoff: datetime, **column: Floats) -> pl.DataFrame:
        reached = pl.Series(self.traits.contact < self._day(cutoff))
        return pl.DataFrame({"customer_id": self.customers, **column}).filter(reached)

    def _futures(
        self, cutoff: datetime, horizon_days: int, until_purchase: bool
    ) -> Iterator[tuple[Floats, date, Floats]]:
        """Each day of the horizon: chances of each friction level after fading, the day, purchases expected there.

        Chances and purchases are (customers, friction levels). With `until_purchase` the chances are
        those of being there **and** having bought nothing so far.
        """
        first, p = self._day(cutoff), self.parameters
        chances = point(self.states[first], len(p.friction_hazard))
        usual = rates(self.traits, p)
        keep = (1 - push(self.traits, p)) * (1 - self.traits.base_hazard[:, None])
        for number in range(first, first + horizon_days):
            if number > first:
                chances[self.traits.arrival == number, 0, 0] = 1.0
            day = self.start + timedelta(days=number)
            pace = activity(self.traits, day)[:, None] * np.asarray(p.calm)
            buys = (usual["online"] + usual["store"])[:, None] * pace
            chances = fade(chances, p.fade_rate)
            yield chances.sum(axis=2), day, buys
            failed = -np.expm1(-usual["failed"][:, None] * pace)
            if until_purchase:
                chances = chances * np.exp(-buys)[:, :, None]
                spoilt = np.zeros_like(buys)
            else:
                spoilt = -np.expm1(-buys * self.traits.bad_share[:, None])
            chances = move(chances, p.issue_rate, failed, spoilt) * keep[:, :, None]


def point(state: State, levels: int) -> Floats:
    """All chance on the present state: (customers, friction levels, no or one problem pending)."""
    chances = np.zeros((len(state.alive), levels, 2))
    chances[np.arange(len(state.alive)), state.friction, state.pending.astype(int)] = state.alive
    return chances


def fade(chances: Floats, rate: float) -> Floats:
    """Step 1 of a day."""
    faded = chances * (1 - rate)
    faded[:, 0] += rate * chances[:, 0]
    faded[:, :-1] += rate * chances[:, 1:]
    return faded


def move(chances: Floats, issue_rate: float, failed: Floats, spoilt: Floats) -> Floats:
    """Steps 2 to 5 of a day; `failed` and `spoilt` are the chances of a failed payment and a bad purchase.

    Both depend on the friction level before it rises, so each part is weighed first and lifted then.
    """
    clear, hidden = chances[:, :, 0], chances[:, :, 1]
    after = np.zeros_like(chances)
    for part, again, rises in (
        (clear, spoilt, 0),
        (hidden * issue_rate, spoilt, 1),
        (hidden * (1 - issue_rate), np.ones_like(spoilt), 0),
    ):
        for chance, more in ((1 - failed, 0), (failed, 1)):
            after[:, :, 0] += _rise(part * chance * (1 - again), rises + more)
            after[:, :, 1] += _rise(part * chance * again, rises + more)
    return after


def _rise(chances: Floats, levels: int) -> Floats:
    """Friction `levels` higher, at most the highest."""
    for _ in range(levels):
        lifted = np.zeros_like(chances)
        lifted[:, 1:] = chances[:, :-1]
        lifted[:, -1] += chances[:, -1]
        chances = lifted
    return chances
