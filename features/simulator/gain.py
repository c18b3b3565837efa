"""What contacting each customer is truly worth: the difference of two futures, computed, not drawn."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from features.journey import Campaign
from features.simulator.live import World
from features.simulator.population import Floats, activity, mean_value
from features.simulator.process import State, push, rates
from features.simulator.truth import fade, move, point


def true_gains(world: World, days: int) -> Floats:
    """Expected value over so many days that being contacted this morning adds, by customer of the world; costs apart.

    Nobody in the business can know it: it stands on the true traits, states and chances of taking the offer.
    """
    state = world.state
    calm = State(state.alive, np.zeros_like(state.friction), np.zeros_like(state.pending))
    more = _worth(world, calm, days, relieved=True) - _worth(world, state, days, relieved=False)
    return np.where(state.alive, world.accepts * more, 0.0)


def net_gains(world: World, days: int, costs: Campaign) -> Floats:
    """The same, less what the contact is expected to cost."""
    return true_gains(world, days) - (costs.contact_cost + world.accepts * world.state.alive * costs.incentive_cost)


def _worth(world: World, state: State, days: int, *, relieved: bool) -> Floats:
    """Expected value of each customer's purchases from today, of the customers who are there."""
    p, traits = world.parameters, world.traits
    mean = rates(traits, p)
    chances, found = point(state, len(p.friction_hazard)), np.zeros(len(traits))
    for number in range(days):
        day = world.today + timedelta(days=number)
        offered = relieved and number < world.response.relief_days  # or whoever took one before
        calmed = world.calmed((world.relieved > world.day + number) | offered)
        keep = (1 - push(calmed, p)) * (1 - calmed.base_hazard[:, None])
        pace = activity(traits, day)[:, None] * np.asarray(p.calm)
        buys = (mean["online"] + mean["store"])[:, None] * pace
        failed = -np.expm1(-mean["failed"][:, None] * pace)
        spoilt = -np.expm1(-buys * traits.bad_share[:, None])
        chances = fade(chances, p.fade_rate)
        found += (chances.sum(axis=2) * buys).sum(axis=1) * mean_value(traits, day, p)
        chances = move(chances, p.issue_rate, failed, spoilt) * keep[:, :, None]
    return found
